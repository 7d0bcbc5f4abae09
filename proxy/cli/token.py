"""`srproxy token`: an access token for tools that want one themselves."""

import sys

import click

from proxy.cli.exits import Exit
from proxy.cli.help import examples
from proxy.cli.local import lasting_credential
from proxy.cli.session import Session, account_option, sandbox_option, with_session


@click.command(
    epilog=examples(
        'curl -H "$(srproxy token --header)" https://api.smartrecruiters.com/users/me',
        "TOKEN=$(srproxy token)",
    )
)
@click.option("--header", is_flag=True, help="Print the whole header: Authorization: Bearer …")
@click.option(
    "--min-valid",
    type=click.FloatRange(min=0),
    metavar="S",
    help="Good for at least S seconds more, refreshed first where it must be.  [default: "
    "tokens.refresh_margin, at most half of its lifetime]",
)
@click.option("--yes", is_flag=True, help="Print to a terminal without asking.")
@account_option
@sandbox_option
@with_session
def token(session: Session, header: bool, min_valid: float | None, yes: bool, account: str) -> Exit:
    """Print a fresh access token, for tools that want one; it lives half an hour.

    Taken and, where needed, renewed under the same lease as the server's. On a terminal, where it
    would stay in the scrollback, you are asked first.
    """
    if not yes and sys.stdout.isatty() and sys.stdin.isatty():
        question = "The token would stay in this terminal's scrollback. Print it?"
        if not click.confirm(question, err=True):
            return Exit.FAILED
    line = lasting_credential(session, account, min_valid).lines.decode("latin-1").rstrip()
    # A bearer token, or a SmartRecruiters API key: the header's name tells which.
    click.echo(line if header else line.partition(": ")[2].removeprefix("Bearer "))
    return Exit.DONE
