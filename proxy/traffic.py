"""Traffic: one record a request, for the access log, the live list and the metrics.

A record holds no header, no body and no value of a query. It is counted, and its line written,
together with others and later: at once, each request would cost a system call more, and its caller
the wait for it. Records are held back for at most HOLD seconds or until there are HELD of them, and
never past a line of another logger, or a look at what they are for.
"""

import asyncio
import re
import secrets
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii as quoted  # the C one where it exists
from typing import Any

from proxy.logs import Output, redact, timestamp
from proxy.metrics import Metrics

HOLD = 0.1
HELD = 128
RECENT = 200
LONGEST_PATH = 2048
KEYS_SHOWN = 32
LONGEST_KEY = 96
REMEMBERED = 4096
# What is no plain name is not shown, nor what has no "=": it may be the value itself.
QUERY_KEY = re.compile(r"[A-Za-z_$][A-Za-z0-9_.$\[\]-]{0,63}(?:%5[BD][A-Za-z0-9_.-]{0,16})*")
REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
NOT_REQUEST_ID = re.compile(rb"[^A-Za-z0-9._:/+=@-]")
TRACEPARENT = re.compile(rb"[0-9a-f-]{1,128}")


@dataclass(slots=True)
class Record:
    """What is told of one request."""

    request_id: str
    at: float  # when its head had come, on the wall clock
    method: str
    target: bytes
    caller: str | None = None
    status: int = 0
    whose: str = "proxy"
    code: str | None = None
    duration: float = 0.0
    upstream_duration: float = 0.0
    bytes_in: int = 0
    bytes_out: int = 0
    replays: int = 0
    traceparent: str | None = None
    aborted: bool = False
    rate_limit: str | None = None  # the upstream's X-RateLimit-Remaining, for the status page


class _ShownKeys(dict[str, str]):
    """What is shown of a query item's name: verdicts remembered, since tools repeat themselves."""

    def __missing__(self, key: str) -> str:
        shown = key if QUERY_KEY.fullmatch(key) else "?"
        if len(self) >= REMEMBERED:
            self.clear()
        if len(key) <= LONGEST_KEY:
            self[key] = shown
        return shown


_shown_keys = _ShownKeys()


def path_and_keys(target: bytes) -> tuple[str, list[str]]:
    """Return the path and the names in the query, never their values."""
    path, mark, query = target.decode("latin-1").partition("?")
    if len(path) > LONGEST_PATH:
        path = path[:LONGEST_PATH] + "…"
    if not mark:
        return path, []
    items = query.split("&", KEYS_SHOWN)
    keys = [
        _shown_keys[item.partition("=")[0]] if "=" in item else "?" for item in items[:KEYS_SHOWN]
    ]
    return path, keys if len(items) <= KEYS_SHOWN else [*keys, "…"]


def shown_path_and_keys(target: bytes) -> tuple[str, list[str]]:
    """Return the path and the query's names for a page: a caller may have put a secret there."""
    path, keys = path_and_keys(target)
    return redact(path), [redact(key) for key in keys]


def describe(record: Record) -> dict[str, Any]:
    """Return the record as members of a JSON object, for the event stream."""
    path, keys = shown_path_and_keys(record.target)
    return {
        "at": timestamp(record.at),
        "id": redact(record.request_id),
        "caller": record.caller,
        "method": redact(record.method),
        "path": path,
        "query": keys,
        "status": record.status,
        "whose": record.whose,
        "code": record.code,
        "duration": round(record.duration, 6),
        "upstream_duration": round(record.upstream_duration, 6),
        "bytes_in": record.bytes_in,
        "bytes_out": record.bytes_out,
        "replays": record.replays,
        "aborted": record.aborted,
        "traceparent": record.traceparent,
        "rate_limit": record.rate_limit,
    }


def access_lines(records: Iterable[Record], *, as_json: bool) -> list[str]:
    """Write records as lines of the access log."""
    write, write_request = (_json_line, _json_request) if as_json else (_text_line, _text_request)
    second, stamp = -1, ""
    asked: tuple[str, bytes] | None = None
    request = ""
    lines: list[str] = []
    for record in records:
        whole = int(record.at)
        if whole != second:
            second, stamp = whole, timestamp(whole)[:-4]
        # Programs repeat themselves.
        if asked != (record.method, record.target):
            asked = record.method, record.target
            request = write_request(*asked)
        at = f"{stamp}{int((record.at - whole) * 1000):03d}Z"
        lines.append(write(record, at, request))
    return lines


def _json_request(method: str, target: bytes) -> str:
    """Write what was asked for as members of a JSON line."""
    path, keys = path_and_keys(target)
    # A shown key is a plain name, "?" or "…": nothing in it to escape.
    query = '"' + '", "'.join(keys) + '"' if keys else ""
    return f'"method": {quoted(method)}, "path": {quoted(path)}, "query": [{query}]'


def _json_line(record: Record, at: str, request: str) -> str:
    """Write a record as a JSON line; by hand, since json.dumps takes thrice as long.

    Members that say nothing (no caller's name, no code, no replay) are left out.
    """
    line = (
        f'{{"at": "{at}", "level": "info", "logger": "proxy.traffic", "message": "request", '
        f'"id": "{record.request_id}", {request}, "status": {record.status}, '
        f'"whose": "{record.whose}", "duration": {record.duration:.6f}, '
        f'"upstream_duration": {record.upstream_duration:.6f}, '
        f'"bytes_in": {record.bytes_in}, "bytes_out": {record.bytes_out}'
    )
    if record.caller is not None:
        line += f', "caller": {quoted(record.caller)}'
    if record.code is not None:
        line += f', "code": "{record.code}"'
    if record.replays:
        line += f', "replays": {record.replays}'
    if record.aborted:
        line += ', "aborted": true'
    if record.traceparent is not None:
        line += f', "traceparent": {quoted(record.traceparent)}'
    return line + "}\n"


def _text_request(method: str, target: bytes) -> str:
    """Write what was asked for as words of a line."""
    path, keys = path_and_keys(target)
    # The quotes' content only: escapes every control character, and what is not ASCII.
    query = "?" + "&".join(keys) if keys else ""
    return f"{quoted(method)[1:-1]} {quoted(path)[1:-1]}{query}"


def _text_line(record: Record, at: str, request: str) -> str:
    """Write a record as a line for people."""
    line = f"{at} INFO    proxy.traffic {request} {record.status or '-'} {record.whose}"
    if record.code is not None:
        line += f" code={record.code}"
    line += f" {record.duration * 1000:.1f}ms"
    if record.upstream_duration:
        line += f" upstream={record.upstream_duration * 1000:.1f}ms"
    line += f" in={record.bytes_in} out={record.bytes_out}"
    if record.caller is not None:
        line += f" caller={record.caller}"
    if record.replays:
        line += f" replays={record.replays}"
    if record.aborted:
        line += " aborted"
    line += f" id={record.request_id}"
    if record.traceparent is not None:
        line += f" traceparent={record.traceparent}"
    return line + "\n"


class Traffic:
    """What goes through, counted, listed and logged."""

    def __init__(self, metrics: Metrics, output: Output | None = None) -> None:
        """Log to `output`, if it takes requests; with None there is no access log."""
        if output is not None and not output.takes_requests:
            output = None
        self._metrics = metrics
        self._output = output
        self._recent: deque[Record] = deque(maxlen=RECENT)
        self._held: list[Record] = []
        self._timer: asyncio.TimerHandle | None = None
        self._subscribers: tuple[Callable[[Record], None], ...] = ()
        self._prefix = secrets.token_hex(4) + "-"
        self._number = 0
        metrics.before = self.flush
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

    def finished(self, record: Record) -> None:
        """Take the record of a request that has ended in whatever way."""
        self._metrics.in_flight -= 1
        held = self._held
        held.append(record)
        if len(held) >= HELD:
            self.flush()
        elif self._timer is None:
            self._arm()
        for subscriber in self._subscribers:
            subscriber(record)

    def recent(self) -> list[Record]:
        """Return the last records, oldest first."""
        self.flush()
        return list(self._recent)

    def subscribe(self, subscriber: Callable[[Record], None]) -> Callable[[], None]:
        """Have each finished record handed over; return what ends that."""
        self._subscribers = (*self._subscribers, subscriber)

        def unsubscribe() -> None:
            self._subscribers = tuple(s for s in self._subscribers if s is not subscriber)

        return unsubscribe

    def flush(self) -> None:
        """Count, list and log the records held back; also to be called at the end."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._held:
            return
        held, self._held = self._held, []
        self._metrics.observe(held)
        self._recent.extend(held)
        if self._output is not None:
            self._log(held, self._output)

    def _log(self, records: list[Record], output: Output) -> None:
        lines = access_lines(records, as_json=output.as_json)
        # What a caller chose of those lines, without the rest: a tenth of the text to search.
        chosen = b"\n".join([record.target for record in records]).decode("latin-1")
        chosen += "\n".join([record.request_id for record in records])
        chosen += "\n".join([record.method for record in records if len(record.method) > 7])
        output.write_lines(lines, chosen)

    def _arm(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
        else:
            self._timer = loop.call_later(HOLD, self.flush)
