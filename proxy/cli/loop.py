"""The commands that need an event loop: which one, and what signals do while it runs.

Apart from session, so that commands without a loop do not import asyncio (50 ms).
"""

import asyncio
import importlib
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from proxy.cli.exits import InterruptedCommandError
from proxy.cli.signals import HANGUP, STOPPING, heeded, on_terminal

T = TypeVar("T")


def fast_loop() -> asyncio.AbstractEventLoop:
    """Make the fastest event loop that this machine has."""
    try:
        uvloop = importlib.import_module("uvloop")
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def run_async(main: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine; the first signal to end cancels it and lets it clean up.

    Further signals change nothing: a refresh under way is stored, which takes `oauth.timeout` at
    most.
    """
    interrupted = False

    async def guarded() -> T:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()

        def interrupt() -> None:
            nonlocal interrupted
            if not interrupted and task is not None:
                interrupted = True
                task.cancel()

        # They stay to the end of the loop.
        for number in heeded(*STOPPING, HANGUP):
            loop.add_signal_handler(number, interrupt)
        return await main

    with asyncio.Runner() as runner:
        try:
            return runner.run(guarded())
        except asyncio.CancelledError:
            if interrupted:
                raise InterruptedCommandError from None
            raise


@dataclass(frozen=True, slots=True)
class Asked:
    """What signals have asked a server for."""

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    force: asyncio.Event = field(default_factory=asyncio.Event)
    reload: asyncio.Event = field(default_factory=asyncio.Event)


@contextmanager
def asked_by_signals() -> Iterator[Asked]:
    """Set the events of an Asked as signals come."""
    asked = Asked()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        (asked.force if asked.stop.is_set() else asked.stop).set()

    for number in heeded(*STOPPING):
        loop.add_signal_handler(number, stop)
    # A closed window sends SIGHUP more than once (kernel and shell), so it never forces.
    hang_up = asked.stop.set if on_terminal() else asked.reload.set
    for number in heeded(HANGUP):
        loop.add_signal_handler(number, hang_up)
    # They stay to the end of the loop: nothing may keep a refresh from being stored.
    yield asked
