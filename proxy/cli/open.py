"""`srproxy open`: the status page, in a browser."""

import click

from proxy.cli.browser import has_browser, open_browser
from proxy.cli.exits import CommandError, Exit
from proxy.cli.help import examples
from proxy.cli.server import Presence, find_server, page_address
from proxy.cli.session import Session, sandbox_option, with_session

# For the browser to be called; one of text, or a new one, returns only when it is closed.
PATIENCE = 5.0


@click.command(
    "open",
    epilog=examples(
        "srproxy open",
        "srproxy open -c config.yaml",
        environ=("BROWSER    the browser to open",),
    ),
)
@sandbox_option
@with_session
def open_(session: Session) -> Exit:
    """Open the status page of the running server; without a browser here, print its address."""
    config = session.config_for_server
    who, _ = find_server(config, unix=False)
    if who is not Presence.OURS:
        raise CommandError("the server is not running here; start it by `srproxy serve`")
    page = page_address(config, "/-/")
    if has_browser(session.environ):
        session.terminal.say(f"Opening {page}")
        open_browser(page).join(PATIENCE)
    else:
        click.echo(page)
    return Exit.DONE
