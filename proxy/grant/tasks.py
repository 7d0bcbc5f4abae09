"""The tasks of one TokenManager: no caller cancels them, and `finish` waits for them."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from proxy.system.clock import Clock


class Tasks:
    """Tasks that outlive whoever asked for them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._running: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()

    @property
    def stopping(self) -> bool:
        """Tell whether the program is stopping."""
        return self._stopping.is_set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task that its caller's cancellation does not cancel."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    async def pause(self, seconds: float) -> bool:
        """Wait, or until the program stops; tell whether it does."""
        sleep = asyncio.ensure_future(self._clock.sleep(seconds))
        stop = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({sleep, stop}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()
            stop.cancel()
        return self.stopping

    async def finish(self) -> None:
        """Announce that the program stops, and wait for all tasks to end."""
        self._stopping.set()
        while self._running:
            await asyncio.wait(set(self._running))

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # else asyncio complains where nobody waits for the task any more
