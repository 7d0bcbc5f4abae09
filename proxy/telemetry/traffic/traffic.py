"""Finished requests: counted, listed and logged in batches, when no request waits for it."""

import asyncio
import re
import secrets
from collections import deque
from collections.abc import Callable
from typing import Final

from proxy.telemetry.logs import Output
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.record import RequestRecord
from proxy.telemetry.traffic.access_log import AccessLog

DELAY: Final = 0.1  # seconds, at most, until everything is written
# Records are counted and formatted 8 or more at a time, which costs each of them less, right after
# a request was sent upstream: its answer must be waited for anyway.
BATCH: Final = 8
# Lines are written 128 at a time. Where nothing is sent upstream, as when all calls are refused, no
# more records than this wait.
MOST_PENDING: Final = 128
RECENT: Final = 200
REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
NOT_REQUEST_ID: Final = re.compile(rb"[^A-Za-z0-9._:/+=@-]")
TRACEPARENT: Final = re.compile(rb"[0-9a-f-]{1,128}")


class Traffic:
    """What goes through, counted, listed and logged."""

    def __init__(self, metrics: Metrics, output: Output | None = None) -> None:
        """Log requests to `output`; with None there is no access log."""
        if output is not None:
            metrics.lines_lost = output.lines_lost
        self._metrics = metrics
        self._log = AccessLog(output) if output is not None else None
        self._recent: deque[RequestRecord] = deque(maxlen=RECENT)
        self._pending: list[RequestRecord] = []
        self._timer: asyncio.TimerHandle | None = None
        self._subscribers: tuple[Callable[[RequestRecord], None], ...] = ()
        self._own_id = secrets.token_hex(4) + "-"
        self._number = 0
        metrics.before = self._tell
        if output is not None:
            output.before = self.flush

    @property
    def in_flight(self) -> int:
        """Return how many requests are under way."""
        return self._metrics.in_flight

    def request_id(self, given: bytes | None) -> str:
        """Return the id for our log: from the caller's `X-Request-ID`, or a new one."""
        if given is None:
            self._number = number = self._number + 1
            return f"{self._own_id}{number}"
        if REQUEST_ID.fullmatch(given) is None:
            given = NOT_REQUEST_ID.sub(b"", given[:256])[:128]
            if not given:
                return self.request_id(None)
        return given.decode()

    @staticmethod
    def traceparent(given: bytes | None) -> str | None:
        """Return a `traceparent` for our log if it has the form of one."""
        if given is None or TRACEPARENT.fullmatch(given) is None:
            return None
        return given.decode()

    def started(self) -> None:
        """Note that a request is under way; each is followed by one `finished`."""
        self._metrics.in_flight += 1

    def finished(self, record: RequestRecord) -> None:
        """Publish the record of a request that has ended in whatever way."""
        self._metrics.in_flight -= 1
        pending = self._pending
        pending.append(record)
        if self._timer is None:
            self._arm()
        elif len(pending) >= MOST_PENDING:
            self.flush()
        for subscriber in self._subscribers:
            subscriber(record)

    def catch_up(self) -> None:
        """Format pending records if 8 or more wait. Call right after sending a request upstream."""
        if len(self._pending) >= BATCH:
            self._tell()
            if self._log is not None and len(self._log) >= MOST_PENDING:
                self._log.write()

    def recent(self) -> list[RequestRecord]:
        """Return the last records, oldest first."""
        self._tell()
        return list(self._recent)

    def subscribe(self, subscriber: Callable[[RequestRecord], None]) -> Callable[[], None]:
        """Have each finished record handed over; return what ends that."""
        self._subscribers = (*self._subscribers, subscriber)

        def unsubscribe() -> None:
            self._subscribers = tuple(s for s in self._subscribers if s is not subscriber)

        return unsubscribe

    def flush(self) -> None:
        """Count, list and log what is pending, and write it; also to be called at the end."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._tell()
        if self._log is not None:
            self._log.write()

    def _tell(self) -> None:
        pending, self._pending = self._pending, []
        self._metrics.observe(pending)
        self._recent.extend(pending)
        if self._log is not None:
            self._log.add(pending)

    def _arm(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
        else:
            self._timer = loop.call_later(DELAY, self.flush)
