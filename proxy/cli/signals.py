"""Which signal asks for what, of a server and of a command that ends by itself.

    SIGINT, SIGTERM   stop in order; a second one skips the waiting, never the storing of a refresh
    SIGQUIT           the same
    SIGHUP            on a terminal, whose window was closed: stop in order; elsewhere: reload

One that was ignored when the program started (nohup, a shell's background job) stays ignored.
"""

import signal
import sys

import click

from proxy.cli.exits import Exit, InterruptedCommandError

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


def end_on_signals() -> None:
    """Make the first signal to end raise InterruptedCommandError; further ones change nothing."""

    def end(_number: int, _frame: object) -> None:
        for number in numbers:
            signal.signal(number, lambda _number, _frame: None)
        raise InterruptedCommandError

    numbers = heeded(*STOPPING, HANGUP)
    for number in numbers:
        signal.signal(number, end)


def end_quietly_on_signals() -> None:
    """Make a signal that comes before anything is started end the program with 0."""

    def end(_number: int, _frame: object) -> None:
        raise click.exceptions.Exit(Exit.DONE)

    def reload_later(_number: int, _frame: object) -> None:
        """Do nothing: the configuration is about to be read anyway."""

    for number in heeded(*STOPPING):
        signal.signal(number, end)
    for number in heeded(HANGUP):
        signal.signal(number, end if on_terminal() else reload_later)
