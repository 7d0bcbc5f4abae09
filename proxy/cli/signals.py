"""Which signal asks for what, of a server and of a command that ends by itself.

    SIGINT, SIGTERM   stop in order; a second one skips the waiting, never the storing of a refresh
    SIGQUIT           the same
    SIGHUP            on a terminal, whose window was closed: stop in order; elsewhere: reload

One that was ignored when the program started (nohup, a shell's background job) stays ignored.
"""

import asyncio
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import click

from proxy.cli.exits import Exit

STOPPING = ("SIGINT", "SIGTERM", "SIGQUIT")
HANGUP = "SIGHUP"


def heeded(*names: str) -> list[signal.Signals]:
    """Return those signals that this system has and that were not ignored at the start."""
    known = [signal.Signals[name] for name in names if name in signal.Signals.__members__]
    return [number for number in known if signal.getsignal(number) is not signal.SIG_IGN]


def on_terminal() -> bool:
    """Tell whether a person's terminal is one of the standard streams."""
    return any(
        stream is not None and not stream.closed and stream.isatty()
        for stream in (sys.stdin, sys.stdout, sys.stderr)
    )


@dataclass(frozen=True, slots=True)
class Asked:
    """What signals have asked a server for."""

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    force: asyncio.Event = field(default_factory=asyncio.Event)
    reload: asyncio.Event = field(default_factory=asyncio.Event)


def end_quietly_on_signals() -> None:
    """Make a signal that comes before anything is started end the program with 0."""

    def end(_number: int, _frame: object) -> None:
        raise click.exceptions.Exit(Exit.DONE)

    def reload_later(_number: int, _frame: object) -> None:
        """Do nothing: what is about to be read is new enough."""

    for number in heeded(*STOPPING):
        signal.signal(number, end)
    for number in heeded(HANGUP):
        signal.signal(number, end if on_terminal() else reload_later)


@contextmanager
def asked_by_signals() -> Iterator[Asked]:
    """Set the events of an Asked as signals come."""
    asked = Asked()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        (asked.force if asked.stop.is_set() else asked.stop).set()

    for number in heeded(*STOPPING):
        loop.add_signal_handler(number, stop)
    # A closed window sends it more than once, by the kernel and by the shell: it forces nothing.
    hang_up = asked.stop.set if on_terminal() else asked.reload.set
    for number in heeded(HANGUP):
        loop.add_signal_handler(number, hang_up)
    # They stay to the end of the loop: nothing may keep a refresh from being stored.
    yield asked
