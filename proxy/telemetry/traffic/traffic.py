"""What goes through: told to the metrics, the live list and the access log, out of its own way."""

import asyncio
import re
import secrets
from collections import deque
from collections.abc import Callable

from proxy.telemetry.logs import Output
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.traffic.access_log import AccessLog
from proxy.telemetry.traffic.record import RequestRecord

HOLD = 0.1  # seconds, at most, until everything is written
# So many together cost each of them less. They are told when a request has just been sent, whose
# answer must be waited for anyway.
HELD = 8
# As many lines are written together; and as many records wait where nothing is sent in between, as
# when all are refused.
MOST_HELD = 128
RECENT = 200
REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
NOT_REQUEST_ID = re.compile(rb"[^A-Za-z0-9._:/+=@-]")
TRACEPARENT = re.compile(rb"[0-9a-f-]{1,128}")


class Traffic:
    """What goes through, counted, listed and logged."""

    def __init__(self, metrics: Metrics, output: Output | None = None) -> None:
        """Log to `output` what it takes of requests; with None there is no access log."""
        if output is not None:
            metrics.lines_lost = output.lines_lost
        self._metrics = metrics
        self._log = AccessLog(output) if output is not None else None
        self._recent: deque[RequestRecord] = deque(maxlen=RECENT)
        self._held: list[RequestRecord] = []
        self._timer: asyncio.TimerHandle | None = None
        self._subscribers: tuple[Callable[[RequestRecord], None], ...] = ()
        self._prefix = secrets.token_hex(4) + "-"
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
            return f"{self._prefix}{number:x}"
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
        """Take the record of a request that has ended in whatever way."""
        self._metrics.in_flight -= 1
        held = self._held
        held.append(record)
        if self._timer is None:
            self._arm()
        elif len(held) >= MOST_HELD:
            self.flush()
        for subscriber in self._subscribers:
            subscriber(record)

    def catch_up(self) -> None:
        """Do a part of what is due, if it is worth it; for moments that cost nobody anything."""
        if len(self._held) >= HELD:
            self._tell()
            if self._log is not None and len(self._log) >= MOST_HELD:
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
        """Count, list and log what is held back, and write it; also to be called at the end."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._tell()
        if self._log is not None:
            self._log.write()

    def _tell(self) -> None:
        held, self._held = self._held, []
        self._metrics.observe(held)
        self._recent.extend(held)
        if self._log is not None:
            self._log.add(held)

    def _arm(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
        else:
            self._timer = loop.call_later(HOLD, self.flush)
