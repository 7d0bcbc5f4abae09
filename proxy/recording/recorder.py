"""Records exchanges as they pass: for the inspector, and for a HAR file.

A tap sees a request as the caller sent it and the answer as SmartRecruiters gave it; credentials
are masked before anything is kept. Bodies are kept up to a size each, and up to a size in total:
bytes beyond it are counted, not kept.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from proxy.recording.exchange import Body, Headers, Message, RecordedExchange, Timings
from proxy.recording.har import CREDENTIALS, MASK
from proxy.recording.har_writer import HarWriter
from proxy.recording.keep import Keep
from proxy.system.clock import Clock
from proxy.telemetry.traffic import RequestRecord

logger = logging.getLogger(__name__)

# Bytes kept of a body in a HAR file, and of all bodies that are being recorded at one moment.
RECORDED_BODY = 16 * 1024 * 1024
AT_ONCE = 64 * 1024 * 1024
RESEND = b"x-srproxy-resend"


class Asked(Protocol):
    """What is looked at of a request's head."""

    @property
    def headers(self) -> list[tuple[bytes, bytes]]: ...
    @property
    def fields(self) -> dict[bytes, bytes]: ...


class Answered(Protocol):
    """What is looked at of an answer's head."""

    @property
    def status(self) -> int: ...
    @property
    def reason(self) -> bytes: ...
    @property
    def headers(self) -> list[tuple[bytes, bytes]]: ...


class Recorder:
    """Collects what taps saw; what is recorded may change at any time."""

    def __init__(self, clock: Clock, keep: Keep, writer: HarWriter | None = None) -> None:
        self._clock = clock
        self._keep = keep
        self._writer = writer
        self.max_body = 0
        self.inspecting = False
        self._left = AT_ONCE
        self._resent: dict[bytes, str | None] = {}

    @property
    def is_wanted(self) -> bool:
        """Tell whether exchanges are recorded at all."""
        return self.inspecting or self._writer is not None

    def configure(self, *, inspecting: bool, max_body: int) -> None:
        """Keep exchanges for the inspector from now on, or no longer: then what was kept goes."""
        if inspecting and not self.inspecting:
            logger.warning(
                "inspecting headers and bodies of the last requests are kept in memory, and shown "
                "at /-/; turn it off by inspect.enabled: false"
            )
        if not inspecting:
            self._keep.clear()
        self.inspecting, self.max_body = inspecting, max_body

    def tap_for(
        self, head: Asked, record: RequestRecord, origin: Callable[[], bytes]
    ) -> "Recording | None":
        """Return the tap of one exchange, or None while nothing is recorded."""
        resend = head.fields.get(RESEND)
        if resend is not None and resend in self._resent:
            self._resent[resend] = record.request_id
        if not self.is_wanted:
            return None
        limit = max(self.max_body if self.inspecting else 0, RECORDED_BODY if self._writer else 0)
        return Recording(self, self._clock, head, record, origin().decode("latin-1"), limit)

    # ── requests that are sent again ──

    def expect(self, nonce: bytes) -> None:
        """Watch for the request that carries this nonce in X-SRProxy-Resend (never forwarded)."""
        self._resent[nonce] = None

    def seen(self, nonce: bytes) -> str | None:
        """Return the id of the request that carried the nonce; it is watched for no longer."""
        return self._resent.pop(nonce, None)

    # ── calls of a tap ──

    def take(self, size: int) -> int:
        """Return how many of `size` bytes may be kept, and count them."""
        taken = min(size, self._left)
        self._left -= taken
        return taken

    def finished(self, exchange: RecordedExchange, taken: int) -> None:
        """Take an exchange that has ended, complete or not."""
        self._left += taken
        if self._writer is not None and exchange.complete:
            self._writer.add(exchange)
        if self.inspecting:
            self._keep.add(_trimmed(exchange, self.max_body) if self._writer else exchange)


class Recording:
    """The tap of one exchange (gateway/forward/seams.py)."""

    __slots__ = (
        "_answer", "_clock", "_limit", "_origin", "_reason", "_record", "_recorder",
        "_request", "_started_at", "_status", "_taken", "_waited",
    )  # fmt: skip

    def __init__(
        self,
        recorder: Recorder,
        clock: Clock,
        head: Asked,
        record: RequestRecord,
        origin: str,
        limit: int,
    ) -> None:
        self._recorder = recorder
        self._clock = clock
        self._record = record
        self._origin = origin
        self._limit = limit
        self._request = _Growing(_masked(head.headers))
        self._answer = _Growing([])
        self._status, self._reason = 0, ""
        self._taken = 0
        self._started_at = clock.monotonic()
        self._waited = 0.0

    def sent(self, data: bytes) -> None:
        """See a piece of the request's body."""
        self._add(self._request, data)

    def head(self, head: Answered) -> None:
        """See the answer's head; the last one counts, where the request was sent again."""
        self._status, self._reason = head.status, head.reason.decode("latin-1")
        self._answer.headers = _masked(head.headers)
        self._waited = self._clock.monotonic() - self._started_at

    def data(self, data: bytes) -> None:
        """See a piece of the answer's body."""
        self._add(self._answer, data)

    def end(self, *, complete: bool) -> None:
        """See the end."""
        record, total = self._record, self._clock.monotonic() - self._started_at
        waited = self._waited or total
        exchange = RecordedExchange(
            id=record.request_id,
            at=record.at,
            method=record.method,
            url=self._origin + record.target.decode("latin-1"),
            request=self._request.message(),
            status=self._status,
            reason=self._reason,
            response=self._answer.message(),
            timings=Timings(
                held=record.held,
                connect=max(0.0, waited - record.held - record.upstream_duration),
                wait=record.upstream_duration,
                receive=total - waited,
            ),
            complete=complete,
            record=record,
        )
        self._recorder.finished(exchange, self._taken)

    def _add(self, body: "_Growing", data: bytes) -> None:
        body.size += len(data)
        room = self._limit - body.kept
        if room > 0:
            taken = self._recorder.take(min(len(data), room))
            self._taken += taken
            body.kept += taken
            body.pieces.append(data[:taken])
            if taken < min(len(data), room):
                self._limit = 0  # a gap must not look like the whole: nothing more is kept


class _Growing:
    """The headers and the body of a message while it passes."""

    __slots__ = ("headers", "kept", "pieces", "size")

    def __init__(self, headers: Headers) -> None:
        self.headers = headers
        self.pieces: list[bytes] = []
        self.kept = 0
        self.size = 0

    def message(self) -> Message:
        return Message(self.headers, Body(b"".join(self.pieces), self.size))


def _masked(headers: list[tuple[bytes, bytes]]) -> Headers:
    found = []
    for raw_name, raw_value in headers:
        name = raw_name.decode("latin-1")
        lower = name.lower()
        if lower.startswith("x-srproxy-resend"):
            continue
        value = MASK if lower in CREDENTIALS else raw_value.decode("latin-1")
        found.append((name, value))
    return found


def _trimmed(exchange: RecordedExchange, limit: int) -> RecordedExchange:
    """Return the exchange with its bodies cut to what the inspector keeps."""

    def trim(message: Message) -> Message:
        body = message.body
        return Message(message.headers, Body(body.data[:limit], body.size))

    return replace(exchange, request=trim(exchange.request), response=trim(exchange.response))
