"""Server-sent events behind the status page: the state and each request, as they change.

Each connection begins with a snapshot of everything, so that a page which was cut off, by a restart
or by sleep, is whole again without a history of events; a Last-Event-ID is not needed and harmless.
While nothing happens a reader still gets something every second and a half: silence says that the
proxy is gone. A reader too slow to keep up is cut off, and comes back to a fresh snapshot. Memory
is bounded; one that reads nothing at all is cut off by the front.
"""

import asyncio
import contextlib
import json
import math
from collections.abc import AsyncGenerator
from typing import Any

from proxy.config.names import DEFAULT_ACCOUNT
from proxy.control.context import ControlContext, is_inspecting
from proxy.control.filters import Filter
from proxy.control.login.outcomes import LoginFailure, LoginNews
from proxy.control.overview import overview
from proxy.control.owners import Owners
from proxy.control.rendering import prepare
from proxy.control.status import status_json
from proxy.control.status_page import limits_section
from proxy.control.traffic_list import row
from proxy.errors import Problem
from proxy.messages import Request, Stream
from proxy.telemetry.traffic import RequestRecord, describe

# The page says after four seconds of silence that the proxy is not running.
HEARTBEAT = 1.5
# What may wait for one reader.
MOST_WAITING = 256
MOST_FAILURES = 8
RETRY_MILLISECONDS = 1500
# How often the meter of limits is read while there is traffic.
METER_INTERVAL = 1.0

Event = tuple[str, Any]


class Events:
    """All open event streams."""

    def __init__(self, context: ControlContext, owners: Owners, news: LoginNews) -> None:
        self._context = context
        self._news = news
        self._owners = owners
        self._streams: set[_Stream] = set()

    async def stream(self, request: Request) -> Stream:
        """Serve one reader until it leaves, falls behind, or the proxy stops."""
        await prepare()
        headers = [
            ("Content-Type", "text/event-stream; charset=utf-8"),
            ("X-Accel-Buffering", "no"),
        ]
        return Stream(headers, self._serve(Filter.of(request.query)))

    def _request(self, record: RequestRecord) -> dict[str, Any]:
        # The row goes along as the page itself renders it: one place says how a request looks.
        inspecting = is_inspecting(self._context)
        return {**describe(record), "row": row(record, inspecting=inspecting)}

    async def close(self) -> None:
        """End every stream: the proxy stops, and the pages wait for it to come back."""
        for stream in self._streams:
            stream.end()
        await asyncio.sleep(0)  # whoever has read all is woken

    def _snapshot(self, wanted: Filter) -> dict[str, Any]:
        """Build what a reader begins with."""
        recent = self._context.traffic.recent()
        records = [self._request(record) for record in recent if wanted.matches(record)]
        return {**self._state(), "records": records}

    def _state(self) -> dict[str, Any]:
        owners = {name: self._owners.known(name) for name in self._context.accounts}
        return {
            "status": status_json(self._context, self._context.accounts),
            "owners": owners,
            "now": self._context.clock.now(),
            "overview": overview(self._context, self._owners),
        }

    async def _serve(self, wanted: Filter) -> AsyncGenerator[bytes, None]:
        stream = _Stream(wanted)
        context = self._context
        leaving = [
            context.traffic.subscribe(stream.on_record),
            *(account.subscribe(stream.on_change) for account in context.accounts.values()),
            self._owners.subscribe(stream.on_change),
            self._news.subscribe(stream.on_login_failure),
        ]
        self._streams.add(stream)
        try:
            opening = _event("snapshot", self._snapshot(wanted))
            yield f"retry: {RETRY_MILLISECONDS}\n{opening}".encode()
            while not stream.ended:
                text = await self._next(stream)
                if text or not stream.ended:
                    yield (text or _event("alive", {})).encode()
            if stream.overflowed:
                raise Problem("connection_terminated", "The reader fell behind.")
        finally:
            self._streams.discard(stream)
            for unsubscribe in leaving:
                unsubscribe()

    async def _next(self, stream: "_Stream") -> str:
        """Wait for something to send, or for the time to say that we live."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HEARTBEAT):
                await stream.wake.wait()
        records, failures, changed = stream.take()
        text = "".join(_event("request", self._request(record)) for record in records)
        text += "".join(_event("login", _login(failure)) for failure in failures)
        if changed:
            text += _event("state", self._state())
        now = self._context.clock.monotonic()
        if now - stream.metered_at >= METER_INTERVAL:
            stream.metered_at = now
            meter = limits_section(self._context)
            if meter != stream.meter:
                stream.meter = meter
                text += _event("limits", {"limits": meter})
        return text


class _Stream:
    """What waits for one reader."""

    def __init__(self, wanted: Filter) -> None:
        self.wanted = wanted
        self.wake = asyncio.Event()
        self.ended = False
        self.overflowed = False
        self.meter = ""  # as it was sent last, and when it was read
        self.metered_at = -math.inf
        self._records: list[RequestRecord] = []
        self._failures: list[LoginFailure] = []
        self._changed = False

    def on_record(self, record: RequestRecord) -> None:
        if not self.wanted.matches(record):
            return
        if len(self._records) >= MOST_WAITING:
            self.overflowed = True
            self.end()
            return
        self._records.append(record)
        self.wake.set()

    def on_login_failure(self, failure: LoginFailure) -> None:
        self._failures = [*self._failures, failure][-MOST_FAILURES:]
        self.wake.set()

    def on_change(self) -> None:
        self._changed = True
        self.wake.set()

    def end(self) -> None:
        self.ended = True
        self.wake.set()

    def take(self) -> tuple[list[RequestRecord], list[LoginFailure], bool]:
        taken = self._records, self._failures, self._changed
        self._records, self._failures, self._changed = [], [], False
        self.wake.clear()
        return taken


def _login(failure: LoginFailure) -> dict[str, Any]:
    return {
        "account": failure.account or DEFAULT_ACCOUNT,
        "outcome": "failed",
        "reason": failure.reason,
        "detail": failure.problem.detail,
    }


def _event(name: str, data: object) -> str:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
