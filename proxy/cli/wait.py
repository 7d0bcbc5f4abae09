"""`srproxy wait`: until the server is ready, for scripts and for containers that start together."""

import time

import click

from proxy.cli.exits import Exit, tell
from proxy.cli.help import examples
from proxy.cli.server import PROBE_TIMEOUT, Presence, addresses, find_server
from proxy.cli.session import Session, sandbox_option, with_session
from proxy.cli.terminal import clock_face
from proxy.config import Config

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
    return _wait(session, timeout)


def _wait(session: Session, timeout: float) -> Exit:
    config, clock, terminal = session.config_for_server, session.clock, session.terminal
    if config.listen.unix_socket is None and not addresses(config):
        tell("error: listen.port is 0: nobody can know the port; set one, or a unix_socket")
        return Exit.USAGE
    until = clock.monotonic() + timeout
    while True:
        left = max(0.0, until - clock.monotonic())
        reason = _reason(config, min(PROBE_TIMEOUT, max(left, 0.5)))
        if reason is None or clock.monotonic() >= until:
            break
        terminal.progress(f"waiting until ready, {clock_face(left)} left: {reason}")
        time.sleep(min(INTERVAL, max(0.01, left)))
    terminal.clear()
    if reason is None:
        return Exit.DONE
    tell(f"error: not ready after {timeout:g} s: {reason}")
    return Exit.FAILED


def _reason(config: Config, patience: float) -> str | None:
    """Say why the server is not ready; None where it is."""
    who, server = find_server(config, timeout=patience)
    if server is None:
        return "nobody listens there"
    if who is Presence.STRANGER:
        return f"another program answers at {server.place}"
    try:
        return server.ready(patience)
    except OSError as error:
        return str(error) or "no answer"
