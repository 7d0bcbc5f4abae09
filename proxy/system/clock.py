"""The clock, which is passed in: tests need not wait, and no other module reads the time.

`proxy.cli` makes the real one; tests make one that they move.
"""

from typing import Protocol


class Clock(Protocol):
    """The wall clock for what is stored, and the monotonic clock for durations."""

    def now(self) -> float:
        """Return seconds since the epoch, on the wall clock (may jump either way)."""
        ...

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes backwards (may stand still in suspend)."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` on the monotonic clock."""
        ...
