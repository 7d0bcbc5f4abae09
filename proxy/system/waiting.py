"""Small helpers for asyncio: close later, cancel and wait, wait unless forced."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any


def later(close: Callable[[], object]) -> Callable[[], Coroutine[Any, Any, None]]:
    """Make a coroutine function of a plain one."""

    async def closing() -> None:
        close()

    return closing


def cancelling(task: asyncio.Task[None]) -> Callable[[], Coroutine[Any, Any, None]]:
    """Make a coroutine function that cancels a task and waits for its end."""

    async def cancel() -> None:
        task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await task

    return cancel


async def unless(force: asyncio.Event, work: Any) -> bool:
    """Await `work` to its end, or cancel it when `force` is set; tell whether it ended."""
    task = asyncio.ensure_future(work)
    forced = asyncio.ensure_future(force.wait())
    try:
        await asyncio.wait({task, forced}, return_when=asyncio.FIRST_COMPLETED)
        return bool(task.done())
    finally:
        for one in (task, forced):
            one.cancel()
        await asyncio.gather(task, forced, return_exceptions=True)
