"""Server-sent events behind the status page: the state and each request, as they change.

Each connection begins with a snapshot of everything, so that a page which was cut off, by a restart
or by sleep, is whole again without a history of events; a Last-Event-ID is not needed and harmless.
While nothing happens a reader still hears from us every second and a half: silence says that the
proxy is gone. A reader too slow to keep up is cut off, and comes back to a fresh snapshot. Memory
is bounded.
"""

import asyncio
import contextlib
import json
import math
from typing import Any

from aiohttp import web

from proxy.config.names import DEFAULT_ACCOUNT
from proxy.control.context import ControlContext, is_inspecting
from proxy.control.filters import Filter
from proxy.control.login.outcomes import LoginFailure, LoginNews
from proxy.control.overview import overview
from proxy.control.owners import Owners
from proxy.control.status import status_json
from proxy.control.status_page import limits_section
from proxy.control.traffic_list import row
from proxy.telemetry.traffic import RequestRecord, describe

# The page says after four seconds of silence that the proxy is not running.
HEARTBEAT = 1.5
# What may wait for one reader, and for how long one write may rest.
MOST_WAITING = 256
MOST_FAILURES = 8
WRITE_TIMEOUT = 20.0
RETRY_MILLISECONDS = 1500
# How often the meter of limits is looked at while there is traffic.
METER_INTERVAL = 1.0

Event = tuple[str, Any]


class Events:
    """All open event streams."""

    def __init__(self, context: ControlContext, owners: Owners, news: LoginNews) -> None:
        self._context = context
        self._news = news
        self._owners = owners
        self._streams: set[_Stream] = set()

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Serve one reader until it leaves, falls behind, or the proxy stops."""
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        answer.headers["X-Accel-Buffering"] = "no"
        await answer.prepare(request)
        if request.method == "HEAD":
            return answer
        stream = _Stream(Filter.of(request.query))
        context = self._context
        leaving = [
            context.traffic.subscribe(stream.on_record),
            *(account.subscribe(stream.on_change) for account in context.accounts.values()),
            self._owners.subscribe(stream.on_change),
            self._news.subscribe(stream.on_login_failure),
        ]
        self._streams.add(stream)
        try:
            await self._serve(answer, stream)
        except (TimeoutError, ConnectionError):
            # The reader left, or does not read; what it holds of us is taken back at once.
            if request.transport is not None:
                request.transport.abort()
        finally:
            self._streams.discard(stream)
            for unsubscribe in leaving:
                unsubscribe()
        return answer

    def _request(self, record: RequestRecord) -> dict[str, Any]:
        # The row goes along as the page itself renders it: one place says how a request looks.
        inspecting = is_inspecting(self._context)
        return {**describe(record), "row": row(record, inspecting=inspecting)}

    async def close(self, _: object = None) -> None:
        """End every stream: the proxy stops, and the pages wait for it to come back."""
        for stream in self._streams:
            stream.end()

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

    async def _serve(self, answer: web.StreamResponse, stream: "_Stream") -> None:
        opening = _event("snapshot", self._snapshot(stream.wanted))
        await _write(answer, f"retry: {RETRY_MILLISECONDS}\n{opening}")
        limits, looked_at = "", -math.inf
        while not stream.ended:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT):
                    await stream.wake.wait()
            records, failures, changed = stream.take()
            text = "".join(_event("request", self._request(record)) for record in records)
            text += "".join(_event("login", _login(failure)) for failure in failures)
            if changed:
                text += _event("state", self._state())
            now = self._context.clock.monotonic()
            if now - looked_at >= METER_INTERVAL:
                looked_at = now
                meter = limits_section(self._context)
                if meter != limits:
                    limits = meter
                    text += _event("limits", {"limits": meter})
            if text or not stream.ended:
                await _write(answer, text or _event("alive", {}))
        if stream.overflowed:
            raise TimeoutError
        with contextlib.suppress(ConnectionError):
            await answer.write_eof()


class _Stream:
    """What waits for one reader."""

    def __init__(self, wanted: Filter) -> None:
        self.wanted = wanted
        self.wake = asyncio.Event()
        self.ended = False
        self.overflowed = False
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


async def _write(answer: web.StreamResponse, text: str) -> None:
    async with asyncio.timeout(WRITE_TIMEOUT):
        await answer.write(text.encode())


def _login(failure: LoginFailure) -> dict[str, Any]:
    return {
        "account": failure.account or DEFAULT_ACCOUNT,
        "outcome": "failed",
        "reason": failure.reason,
        "detail": failure.problem.detail,
    }


def _event(name: str, data: object) -> str:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
