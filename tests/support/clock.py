"""A clock that a test moves; sleepers wake when it reaches their time."""

import asyncio
import heapq
import itertools


class FakeClock:
    """Both hands at rest until `advance` (time passes) or `jump` (the wall clock is set)."""

    def __init__(self, now: float = 1_790_000_000.0) -> None:
        self._now = now
        self._monotonic = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._monotonic + seconds, next(self._numbers), future))
        await future

    def jump(self, seconds: float) -> None:
        """Set the wall clock, as NTP, a person or a suspend does."""
        self._now += seconds

    async def advance(self, seconds: float) -> None:
        """Let time pass, sleeper by sleeper, each of which gets to run.

        Days pass in larger steps, as on a machine that is very busy.
        """
        until = self._monotonic + seconds
        step = seconds / 500 if seconds > 10_000 else 0.0
        while self._sleepers and self._sleepers[0][0] <= until:
            self._move_to(min(until, self._sleepers[0][0] + step))
            while self._sleepers and self._sleepers[0][0] <= self._monotonic:
                _, _, future = heapq.heappop(self._sleepers)
                if not future.done():
                    future.set_result(None)
            await self._let_run()
        self._move_to(until)
        await self._let_run()

    def _move_to(self, monotonic: float) -> None:
        self._now += max(0.0, monotonic - self._monotonic)
        self._monotonic = max(self._monotonic, monotonic)

    async def _let_run(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)
