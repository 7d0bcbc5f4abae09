"""`srproxy replay`: the answers of a HAR file, without network, grant or configuration."""

import asyncio
from pathlib import Path

import click

from proxy.cli.exits import Exit, tell
from proxy.cli.help import examples
from proxy.cli.loop import asked_by_signals
from proxy.cli.session import Session, with_session
from proxy.cli.signals import end_quietly_on_signals

PORT = 8080
HOST = "localhost"


@click.command(
    epilog=examples(
        "srproxy serve --record day.har     # first, with a grant",
        "srproxy replay day.har             # then, without network or account",
        "srproxy replay day.har --port 0    # prints the address it picked",
    )
)
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE.har")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=PORT,
    show_default=True,
    help="Port to listen on; 0 picks a free one.",
)
@click.option(
    "--host",
    default=HOST,
    show_default=True,
    help="Host to listen on; localhost is both loopback families.",
)
@with_session
def replay(_session: Session, file: Path, port: int, host: str) -> Exit:
    """Serve the answers recorded in FILE.har, of this proxy, a browser, Postman or mitmproxy.

    A request gets the answer recorded for its method, path, query (in any order) and body; the same
    request again gets the next one, then the last. What was not recorded is answered 404
    `not_recorded`, with the nearest that was.
    """
    end_quietly_on_signals()
    asyncio.run(_replay(file, port, host))
    return Exit.DONE


async def _replay(file: Path, port: int, host: str) -> None:
    from proxy.control.replaying import read_tape, serving  # slow to import, and not for --help

    tape = read_tape(file, tell)
    with asked_by_signals() as asked:
        async with serving(tape, host, port) as address:
            if port == 0:
                click.echo(address)
            tell(f"{tape.count} recorded answers at {address}; Ctrl-C ends it")
            await asked.stop.wait()
