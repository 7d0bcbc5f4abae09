"""`srproxy run -- CMD`: a command with a proxy of its own, for scripts and CI."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

import click

from proxy.cli.exits import CommandError, Exit
from proxy.cli.help import examples
from proxy.cli.server import Presence, Server, find_server
from proxy.cli.session import Session, sandbox_option, with_session
from proxy.cli.signals import heeded

VARIABLE = "SMARTRECRUITERS_BASE_URL"
PASSED_ON = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
# Which spelling is read differs from tool to tool.
EXCEPTIONS = ("no_proxy", "NO_PROXY")
INTERVAL = 0.2


@click.command(
    epilog=examples(
        "srproxy run -- python sync_candidates.py",
        """srproxy run -- sh -c 'curl "$SMARTRECRUITERS_BASE_URL/users/me"'""",
    ),
    context_settings={"ignore_unknown_options": True},
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=30,
    show_default=True,
    metavar="S",
    help="Seconds to wait until the proxy is ready.",
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- CMD ARG…")
@sandbox_option
@with_session
def run(session: Session, timeout: float, command: Sequence[str]) -> int:
    """Start the proxy, wait until it is ready, run CMD, stop; exits with CMD's code.

    CMD finds the proxy's address in SMARTRECRUITERS_BASE_URL, and NO_PROXY keeps its calls to that
    address off an outbound proxy. Signals are passed on to it. Where
    the proxy of this configuration runs already, CMD uses that one.
    """
    program = shutil.which(command[0], path=session.environ.get("PATH"))
    if program is None:
        raise CommandError(f"{command[0]}: there is no such program", Exit.USAGE)
    umask = os.umask(0o077)
    os.umask(umask)
    return _run(session, timeout, [program, *command[1:]], umask)


def _run(session: Session, timeout: float, command: Sequence[str], umask: int) -> int:
    with _some_proxy(session) as server:
        _until_ready(server, timeout)
        return _call(session, command, server.base_url, umask)


@contextmanager
def _some_proxy(session: Session) -> Iterator[Server]:
    config = session.config_for_server
    # By TCP only: a base URL cannot name a Unix socket.
    who, running = find_server(config, unix=False)
    if who is Presence.STRANGER and running is not None:
        raise CommandError(
            f"{running.place} is taken by another program; stop it, or set listen.port to "
            "another number (0 picks a free one)"
        )
    if running is not None:
        yield running
        return
    if config.listen.host is None:
        raise CommandError(
            "listen.host is null, and a base URL cannot name a Unix socket; set "
            "SRPROXY_LISTEN__HOST=localhost",
            Exit.USAGE,
        )
    from proxy.cli.hosting import hosted  # only where none runs

    with hosted(session) as own:
        yield own


def _until_ready(server: Server, timeout: float) -> None:
    until = time.monotonic() + timeout
    while (reason := server.ready()) is not None:
        if reason.startswith("login_required"):
            raise CommandError(
                "login required: run srproxy login once, then this again", Exit.LOGIN_REQUIRED
            )
        if time.monotonic() >= until:
            raise CommandError(f"not ready after {timeout:g} s: {reason}")
        time.sleep(INTERVAL)


def _call(session: Session, command: Sequence[str], base_url: str, umask: int) -> int:
    child: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def pass_on(number: int, _frame: object) -> None:
        # The terminal sends what its keys raise to the whole foreground group.
        if number in (signal.SIGINT, signal.SIGQUIT) and _on_terminal():
            return
        if child is None:
            early.append(number)
        else:
            child.send_signal(number)

    # They stay to the end: once CMD is gone, nothing may keep the proxy from storing a refresh.
    for number in heeded(*PASSED_ON):
        signal.signal(number, pass_on)
    # Ours keeps what we write private; CMD has its own umask.
    environ = _environment(session.environ, base_url)
    child = subprocess.Popen(command, env=environ, umask=umask)  # noqa: S603 - what was asked for
    for missed in early:
        child.send_signal(missed)
    code = child.wait()
    # As shells report it: 128 plus the signal's number.
    return 128 - code if code < 0 else code


def _environment(environ: Mapping[str, str], base_url: str) -> Mapping[str, str]:
    """Return CMD's environment: an outbound proxy is for others, not for the way to us."""
    given = [found for name in EXCEPTIONS if (found := environ.get(name))]
    exceptions = ",".join(dict.fromkeys([*given, urlsplit(base_url).hostname or ""]))
    return {**environ, VARIABLE: base_url, **dict.fromkeys(EXCEPTIONS, exceptions)}


def _on_terminal() -> bool:
    try:
        return sys.stdin.isatty() and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False
