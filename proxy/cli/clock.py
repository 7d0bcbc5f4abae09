"""The real clock: the one place that reads the machine's time."""

import time


class SystemClock:
    """The wall clock (seconds since the epoch) and the monotonic clock."""

    # Not wrapped in methods of our own: a request reads them a dozen times.
    now = staticmethod(time.time)  # noqa: TID251 - the one place
    monotonic = staticmethod(time.monotonic)

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        import asyncio  # not for the commands that have no event loop

        await asyncio.sleep(seconds)
