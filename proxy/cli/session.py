"""What every command starts from: environment, configuration, folders, clock, terminal.

The only reader of `os.environ`; everything below is handed what it needs.
"""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, update_wrapper
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import click

from proxy.cli.clock import SystemClock
from proxy.cli.exits import CommandError, Exit, tell
from proxy.cli.signals import end_on_signals
from proxy.cli.terminal import Terminal
from proxy.config import Config
from proxy.config.loading import FILE_NAME, Loaded, find_file, load
from proxy.config.names import DEFAULT_ACCOUNT
from proxy.errors import ConfigurationError

NAME = "smartrecruiters-proxy"
# A running sandbox leaves its configuration in a private folder of this name.
SANDBOX_PREFIX = "srproxy-sandbox-"
SANDBOX_FILE = "config.yaml"
SANDBOX_HELP = "Act on the `srproxy sandbox` that runs in another terminal."

P = ParamSpec("P")
R = TypeVar("R")


@dataclass
class Session:
    """One run of a command."""

    file: Path | None = None
    # What the command itself sets, by dotted key; and whether the usual places are looked at.
    flags: Mapping[str, str] = field(default_factory=dict)
    search: bool = True
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))  # noqa: TID251
    clock: SystemClock = field(default_factory=SystemClock)

    @cached_property
    def loaded(self) -> Loaded:
        """Load the configuration, once; ConfigurationError ends the command with 2."""
        return self._load()

    @cached_property
    def config_for_server(self) -> Config:
        """Return the configuration as far as going through the running server needs it.

        The server has the secrets; a shell beside a systemd unit has not (LoadCredential). Where
        none runs, `config` says what is missing.
        """
        try:
            return self.config
        except ConfigurationError as error:
            try:
                return self._load(secrets_needed=False).config
            except ConfigurationError:
                raise error from None

    def _load(self, *, secrets_needed: bool = True) -> Loaded:
        try:
            loaded = load(
                self.file,
                self.environ,
                self.user_folder,
                flags=self.flags,
                search=self.search,
                secrets_needed=secrets_needed,
            )
        except ConfigurationError as error:
            raise self._with_where_we_looked(error) from None
        if loaded.passed_over is not None:
            tell(
                f"using {loaded.file}, your own, and not ./{loaded.passed_over} "
                f"(to use that one: -c {loaded.passed_over})"
            )
        return loaded

    def _with_where_we_looked(self, error: ConfigurationError) -> ConfigurationError:
        """Name the missing file where there is none, before the keys that are missing then."""
        if not self.search or find_file(self.file, self.environ, self.user_folder).path:
            return error
        keyed = any(name.startswith("SRPROXY_") for name in self.environ)
        if keyed and not any(": is missing" in problem for problem in error.problems):
            return error  # the environment alone is enough: a file would not mend what is wrong
        folder = self.user_folder()
        places = [str(folder / FILE_NAME)] if folder else []
        places += [f"./{FILE_NAME}", "the variables SRPROXY_…"]
        looked = f"no configuration file is there (looked for {', '.join(places)})"
        remedy = "srproxy init writes one; srproxy sandbox needs none; -c FILE names another"
        return ConfigurationError([f"{looked}: {remedy}", *(error.problems if keyed else ())])

    def user_folder(self) -> Path | None:
        """Return the folder of the user's own configuration; None where there is no home."""
        return _below_home("user_config_path")

    @property
    def config(self) -> Config:
        """Return the configuration."""
        return self.loaded.config

    @cached_property
    def state_folder(self) -> Path:
        """Return where the user's state goes; `tokens.path` has the last word on tokens."""
        tokens = self.config.tokens
        folder = tokens.path or _below_home("user_state_path")
        if folder is None and tokens.store == "file":
            what = "is not set, and this user has no home folder to keep the grant in"
            raise ConfigurationError([f"tokens.path: {what}; accepted: a folder that is kept"])
        return folder or Path()

    @cached_property
    def terminal(self) -> Terminal:
        """Return the terminal on stderr, or the pipe in its place."""
        return Terminal(sys.stderr, self.environ)


def _below_home(which: str) -> Path | None:
    """Return one of the user's folders; None where this user has no home."""
    import platformdirs  # not where -c and tokens.path say it all

    try:
        folder: Path = getattr(platformdirs, which)(NAME)
    except RuntimeError:
        return None
    return folder if folder.is_absolute() else None


def with_session(
    command: Callable[Concatenate[Session, P], R],
) -> Callable[P, R]:
    """Give a command its `-c FILE` and its Session."""

    @click.option(
        "-c",
        "--config",
        "config_file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Configuration file.  [env: SRPROXY_CONFIG; default: config.yaml in the "
        "user's config folder, else ./config.yaml]",
    )
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        end_on_signals()
        file = kwargs.pop("config_file", None)
        if kwargs.pop("use_sandbox", False):
            file = find_sandbox()
        assert file is None or isinstance(file, Path)  # noqa: S101 - click made it one
        session = Session(file)
        _check_account(session, kwargs.get("account"))
        return command(session, *args, **kwargs)

    return update_wrapper(run, command)


def sandbox_option(command: Callable[P, R]) -> Callable[P, R]:
    """Add `--sandbox`, for commands that can act on a sandbox running in another terminal."""

    return click.option("--sandbox", "use_sandbox", is_flag=True, help=SANDBOX_HELP)(command)


def find_sandbox() -> Path:
    """Return the configuration that the newest running sandbox of this user has left."""
    import tempfile

    found = []
    for folder in Path(tempfile.gettempdir()).glob(f"{SANDBOX_PREFIX}*"):
        file = folder / SANDBOX_FILE
        try:
            private = folder.lstat()
            # Anybody may make a folder of this name there: only our own, closed to others, counts.
            if private.st_uid == os.getuid() and private.st_mode & 0o077 == 0:
                found.append((file.stat().st_mtime, file))
        except OSError:
            continue
    if not found:
        raise CommandError("no sandbox is running here; start one by `srproxy sandbox`")
    return max(found)[1]


def account_option(command: Callable[P, R]) -> Callable[P, R]:
    """Add `--account NAME`; `with_session` refuses a name that is not configured."""
    return click.option(
        "--account",
        default=DEFAULT_ACCOUNT,
        show_default=True,
        metavar="NAME",
        help="Whose grant.",
    )(command)


def _check_account(session: Session, name: object) -> None:
    if name in (None, DEFAULT_ACCOUNT) or name in session.config_for_server.accounts:
        return
    known = ", ".join(session.config_for_server.accounts)
    raise CommandError(f"there is no account {name!r}; configured: {known}", Exit.USAGE)
