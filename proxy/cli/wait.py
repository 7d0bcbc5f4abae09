"""`srproxy wait`: until the server is ready, for scripts and for containers that start together."""

import asyncio

import click

from proxy.cli.exits import Exit, tell
from proxy.cli.help import examples
from proxy.cli.server import Presence, addresses, find_server
from proxy.cli.session import Session, run_async, sandbox_option, with_session
from proxy.cli.terminal import clock_face

INTERVAL = 0.2


@click.command(
    epilog=examples(
        "srproxy wait && curl http://localhost:8080/users/me",
        "srproxy wait --timeout 5 -c config.yaml",
    )
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=60,
    show_default=True,
    metavar="S",
    help="Seconds to wait at most.",
)
@sandbox_option
@with_session
def wait(session: Session, timeout: float) -> Exit:
    """Wait until the server lets calls through: exit 0 then, 1 at the time-out.

    Asks GET /-/ready of the configured address or Unix socket, which calls nobody else.
    """
    return run_async(_wait(session, timeout))


async def _wait(session: Session, timeout: float) -> Exit:
    config, clock, terminal = session.config_for_server, session.clock, session.terminal
    if config.listen.unix_socket is None and not addresses(config):
        tell("error: listen.port is 0: nobody can know the port; set one, or a unix_socket")
        return Exit.USAGE
    until = clock.monotonic() + timeout
    reason = "nobody listens"
    while True:
        left = max(0.0, until - clock.monotonic())
        try:
            async with asyncio.timeout(max(left, 0.5)):
                who, server = await find_server(config)
                if server is None:
                    reason = "nobody listens there"
                elif who is Presence.STRANGER:
                    reason = f"another program answers at {server.place}"
                else:
                    told = await server.ready()
                    if told is None:
                        terminal.clear()
                        return Exit.DONE
                    reason = told
        except OSError as error:
            reason = str(error) or "no answer"
        if clock.monotonic() >= until:
            terminal.clear()
            tell(f"error: not ready after {timeout:g} s: {reason}")
            return Exit.FAILED
        terminal.progress(f"waiting until ready, {clock_face(left)} left: {reason}")
        await clock.sleep(min(INTERVAL, max(0.01, left)))
