"""The clock as a seam: time is handed in, so that tests need not wait and no module reads it.

`proxy.cli` makes the real one; tests make one whose hands they move.
"""

from typing import Protocol


class Clock(Protocol):
    """Two hands: the wall clock for what is stored, the monotonic one for durations."""

    def now(self) -> float:
        """Return seconds since the epoch, on the wall clock (may jump either way)."""
        ...

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes backwards (may stand still in suspend)."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` on the monotonic clock."""
        ...
