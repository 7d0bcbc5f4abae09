"""The command line: `srproxy`. Commands are loaded when they are called, so that help is quick."""

import importlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from proxy import __version__
from proxy.cli.exits import run_command
from proxy.system.process import collector_paused, open_standard_streams

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

PROGRAM = "srproxy"
VERBOSE = "proxy.cli.verbose"
# In working order: as a person meets them. Each lives in the module named beside it.
COMMANDS = {
    "sandbox": ("proxy.cli.sandbox", "Try the whole product on an embedded SmartRecruiters."),
    "init": ("proxy.cli.init", "Write a first configuration."),
    "check": ("proxy.cli.check", "Test the set-up and say how to mend it."),
    "serve": ("proxy.cli.serve", "Run the proxy."),
    "login": ("proxy.cli.login", "Authorize once, in a browser or by pasting an address."),
    "open": ("proxy.cli.open", "Open the status page."),
    "status": ("proxy.cli.grant", "Show what is known of the grant."),
    "token": ("proxy.cli.token", "Print a fresh access token."),
    "wait": ("proxy.cli.wait", "Wait until the server is ready."),
    "run": ("proxy.cli.run", "Run a command with a proxy of its own."),
    "replay": ("proxy.cli.replay", "Serve the answers recorded in a HAR file."),
    "logout": ("proxy.cli.grant", "Forget the grant."),
    "operations": ("proxy.cli.operations", "List what SmartRecruiters' API can be asked."),
    "export": ("proxy.cli.bundle", "Move the grant out, into an encrypted bundle."),
    "import": ("proxy.cli.bundle", "Take a grant from an encrypted bundle."),
}
# The command's function, where its name is not the command's.
FUNCTION_NAMES = {"import": "import_", "open": "open_"}


class LazyGroup(click.Group):
    """A group that knows its commands' names and one-line helps without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names in working order, not in the alphabet's."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the module that has the command."""
        if cmd_name not in COMMANDS:
            return None
        with collector_paused():
            module = importlib.import_module(COMMANDS[cmd_name][0])
        command = getattr(module, FUNCTION_NAMES.get(cmd_name, cmd_name))
        assert isinstance(command, click.Command)  # noqa: S101 - a table of our own
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list["CompletionItem"]:
        """Complete a command's name, importing none of them."""
        from click.shell_completion import CompletionItem

        named = [
            CompletionItem(name, help=text)
            for name, (_, text) in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return named + click.Command.shell_complete(self, ctx, incomplete)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one may have been meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib  # only for a slip

            if close := difflib.get_close_matches(args[0], COMMANDS, n=1):
                told = f"{error.message} Did you mean '{close[0]}'?"
                raise click.UsageError(told, ctx) from None
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the exit codes and where configuration comes from."""
        formatter.write_paragraph()
        formatter.write(EPILOG)


EPILOG = """\
Examples:
  srproxy sandbox --auto-approve
  srproxy serve -c config.yaml

Every key of the configuration also comes by the environment: SRPROXY_ and its path
joined by two underscores (SRPROXY_OAUTH__CLIENT_ID); every secret also by a file
(SRPROXY_OAUTH__CLIENT_SECRET_FILE). NO_COLOR is honoured.

Completion:  eval "$(_SRPROXY_COMPLETE=bash_source srproxy)"    (or zsh_source, fish_source)

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 login required,
130 interrupted.
"""


def _note_verbose(ctx: click.Context, _: click.Parameter, given: bool) -> None:
    ctx.meta[VERBOSE] = given


def _print_version(ctx: click.Context, _: click.Parameter, given: bool) -> None:
    if not given or ctx.resilient_parsing:
        return
    click.echo(f"{PROGRAM}, version {__version__}")
    if ctx.meta[VERBOSE]:
        from proxy.system.build import build_kind

        python = f"{sys.implementation.name} {'.'.join(map(str, sys.version_info[:3]))}"
        click.echo(f"build: {build_kind()}, {python}")
    ctx.exit()


@click.group(
    name=PROGRAM,
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit; with -v, how it was built too.",
)
@click.option(
    "-v",
    "is_verbose",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    hidden=True,
    callback=_note_verbose,
)
def cli() -> None:
    """A local proxy for the SmartRecruiters API: authorize once, call as often as you like."""


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    open_standard_streams()

    def command(arguments: Sequence[str] | None) -> object:
        return cli.main(arguments, prog_name=PROGRAM, standalone_mode=False)

    return run_command(command, sys.argv[1:] if args is None else args)
