"""`srproxy wait`: until the server is ready, for scripts and for containers that start together."""

import time
from pathlib import Path

import click

from proxy.cli.exits import CommandError, Exit, tell
from proxy.cli.help import examples
from proxy.cli.server import PROBE_TIMEOUT, Presence, addresses, find_server
from proxy.cli.session import SANDBOX_HELP, Session, find_sandbox, with_session
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
@click.option("--sandbox", is_flag=True, help=SANDBOX_HELP)
@with_session
def wait(session: Session, timeout: float, sandbox: bool) -> Exit:
    """Wait until the server lets calls through: exit 0 then, 1 at the time-out.

    Asks GET /-/ready of the configured address or Unix socket, which calls nobody else.
    """
    until = time.monotonic() + timeout
    if sandbox:
        session.file = _started_sandbox(until)
    return _wait(session, timeout, until)


def _started_sandbox(until: float) -> Path:
    """Wait for a sandbox too: `srproxy sandbox & srproxy wait --sandbox`."""
    while True:
        try:
            return find_sandbox()
        except CommandError:
            if time.monotonic() >= until:
                raise
        time.sleep(INTERVAL)


def _wait(session: Session, timeout: float, until: float) -> Exit:
    config, terminal = session.config_for_server, session.terminal
    if config.listen.unix_socket is None and not addresses(config):
        tell("error: listen.port is 0: nobody can know the port; set one, or a unix_socket")
        return Exit.USAGE
    while True:
        left = max(0.0, until - time.monotonic())
        reason = _reason(config, min(PROBE_TIMEOUT, max(left, 0.5)))
        if reason is None or time.monotonic() >= until:
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
