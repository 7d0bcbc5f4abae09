"""The store's last error, the back-off after failures, and the warning before a grant ends."""

import logging
import math
import secrets
from collections.abc import Callable

from proxy.errors import StoreError
from proxy.grant.backoff import backoff
from proxy.grant.lifecycle import instant, warning_days
from proxy.grant.stores.record import Record
from proxy.system.clock import Clock

logger = logging.getLogger(__name__)

chance = secrets.SystemRandom().random


class Trouble:
    """The store's last error, and one back-off for all that fails, on the monotonic clock."""

    def __init__(self, account: str, clock: Clock, jitter: Callable[[], float] = chance) -> None:
        self._account = account
        self._clock = clock
        self._jitter = jitter
        self._attempts = 0
        self._retry_at = -math.inf
        self.error: StoreError | None = None
        # A successful read does not clear a write error; only a successful write does.
        self.is_read_error = False

    def store_failed(self, error: StoreError, *, writing: bool) -> None:
        """Remember an error; a failed write also waits before the next."""
        if self.error is None or str(error) != str(self.error):
            logger.error("store_unavailable account=%s error=%s", self._account, error)
        self.error, self.is_read_error = error, not writing
        if writing:
            self._attempts += 1
            self.back_off(self._attempts)

    def store_works(self) -> None:
        """Forget the error."""
        if self.error is not None:
            logger.info("store_available account=%s", self._account)
        self.error, self._attempts = None, 0

    def delay(self, attempts: int, retry_after: float | None = None) -> float:
        """Return the seconds to wait after so many failed attempts in a row."""
        return backoff(attempts, self._jitter(), retry_after)

    def back_off(self, attempts: int, retry_after: float | None = None) -> None:
        """Try nothing until the delay after so many failed attempts is over."""
        self.wait(self.delay(attempts, retry_after))

    def wait(self, seconds: float) -> None:
        """Try nothing for so long."""
        self._retry_at = self._clock.monotonic() + max(0.0, seconds)

    def left(self) -> float:
        """Return the seconds until the next try; 0 when it is due."""
        return max(0.0, self._retry_at - self._clock.monotonic())

    def may_retry(self) -> bool:
        """Tell whether something may be tried now."""
        return self._clock.monotonic() >= self._retry_at

    def retry_after(self) -> int:
        """Return what to tell a caller: whole seconds, at least one."""
        return max(1, math.ceil(self.left()))


class EndWarning:
    """Logs once that a grant's end is 7, 3 and 1 days away."""

    def __init__(self) -> None:
        self._days: int | None = None

    def look(self, record: Record | None, now: float) -> None:
        """Log if the grant's end has come nearer."""
        if record is None or record.tokens is None or record.ended is not None:
            self._days = None
            return
        ends_at = record.tokens.refresh_expires_at
        days = warning_days(ends_at, now)
        if days is not None and (self._days is None or days < self._days):
            logger.warning(
                "grant_ending account=%s within_days=%d expires_at=%s",
                record.account,
                days,
                instant(ends_at),
            )
        self._days = days
