"""One request on a connection of its own, and whatever comes back, read as leniently as possible.

A token answer may hold the only copy of a rotated token, so its body is read in spite of malformed
headers, a wrong length or a broken connection. An HTTP library refuses such answers. Redirects are
not followed, the environment is not read, at most 1 MiB is taken, and nothing of a request or an
answer is repeated in an error.
"""

import asyncio
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

from proxy.system.dialing import Dialer

# As golang.org/x/oauth2 has it: no token answer is larger.
MAX_ANSWER = 1024 * 1024
MAX_HEAD = 16384
PACKED = frozenset({"gzip", "x-gzip", "deflate"})

_STATUS = re.compile(rb"HTTP/\d(?:\.\d)?[ \t]+(\d{3})")
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_CHUNK_SIZE = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,8})[^\n]*\n")

# Called once connected, before a byte of the request is sent; raises to forbid sending.
Guard = Callable[[], None]


class WireError(Exception):
    """The request was sent, or a part of it, and no usable answer came."""

    def __init__(self, reason: str, what: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.what = what


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: header names in lower case, the body unpacked as far as possible."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    # Why it is not complete; None where it is.
    broken: WireError | None = None


class Wire:
    """A client of one URL, with a new connection for each request: no late answer meets another."""

    def __init__(self, url: str, dialer: Dialer, timeout: float) -> None:
        parts = urlsplit(url)
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._authority = parts.netloc.rpartition("@")[2]
        self._dialer = dialer
        self._timeout = timeout

    async def send(
        self, method: str, headers: Mapping[str, str], body: bytes = b"", guard: Guard | None = None
    ) -> Answer:
        """Send a request, return the answer; DialError: nothing was sent; WireError: no answer."""
        lines = {"Host": self._authority, **headers, "Connection": "close"}
        if body:
            lines["Content-Length"] = str(len(body))
        head = f"{method} {self._target} HTTP/1.1\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        request = head.encode("latin-1") + b"\r\n" + body
        deadline = asyncio.get_running_loop().time() + self._timeout
        receiver = await self._dialer.dial(_Receiver)
        try:
            if guard is not None:
                guard()
            receiver.write(request)
            try:
                async with asyncio.timeout_at(deadline):
                    await receiver.ended
            except TimeoutError:
                receiver.failure = WireError(
                    "http_response_timeout", "no answer within the time-out"
                )
            return receiver.answer()
        finally:
            receiver.close()


def _status(head: bytes) -> int:
    match = _STATUS.match(head)
    return int(match[1]) if match else 0


class _Receiver(asyncio.Protocol):
    """Collects an answer until it is whole, too large, or the connection ends."""

    def __init__(self) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.failure: WireError | None = None
        self._data = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by class

    def write(self, data: bytes) -> None:
        assert self._transport is not None  # noqa: S101 - it is connected
        self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._data += data
        if len(self._data) > MAX_ANSWER + MAX_HEAD or _unframe(bytes(self._data), False).whole:
            self._end()

    def connection_lost(self, error: Exception | None) -> None:
        if error is not None:
            self.failure = WireError("connection_terminated", "the connection was broken off")
        self._end()

    def _end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def answer(self) -> Answer:
        if len(self._data) > MAX_ANSWER + MAX_HEAD:
            raise WireError("unusable_answer", "the answer is larger than any token answer")
        if not self._data:
            raise self.failure or WireError(
                "connection_terminated", "the connection was closed without an answer"
            )
        framed = _unframe(bytes(self._data), self.failure is None)
        body, whole, broken = framed.body, framed.whole, None
        if framed.headers.get("content-encoding", "").strip().lower() in PACKED:
            body, unpacked = _unpack(body)
            whole = whole and unpacked
        if not whole:
            broken = self.failure or WireError(
                "http_protocol_error", "the answer was malformed or cut short"
            )
        return Answer(framed.status, framed.headers, body, broken)


@dataclass(frozen=True, slots=True)
class _Framed:
    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool


def _unframe(data: bytes, at_end: bool) -> _Framed:
    """Read what came so far; `at_end` tells that the connection ended in order."""
    while True:
        end = _HEAD_END.search(data)
        status = _status(data)
        if end is None or not status:
            # The head is unreadable, but the data may still hold tokens.
            return _Framed(status, {}, data, False)
        if not 100 <= status <= 199:
            break
        data = data[end.end() :]
    headers = _fields(data[: end.start()])
    body, whole = _body(data[end.end() :], headers, at_end)
    return _Framed(status, headers, body, whole)


def _fields(head: bytes) -> dict[str, str]:
    """Return the header fields that can be read; of a repeated one, all values joined."""
    fields: dict[str, str] = {}
    for line in head.decode("latin-1").split("\n")[1:]:
        name, colon, value = line.rstrip("\r").partition(":")
        name, value = name.strip().lower(), value.strip()
        if colon:
            fields[name] = f"{fields[name]}, {value}" if name in fields else value
    return fields


def _body(data: bytes, headers: Mapping[str, str], at_end: bool) -> tuple[bytes, bool]:
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return _join_chunks(data)
    lengths = {length.strip() for length in headers.get("content-length", "").split(",")}
    length = lengths.pop() if len(lengths) == 1 else "?"
    if re.fullmatch("[0-9]{1,9}", length):
        return data[: int(length)], len(data) >= int(length)
    # Until the end of the connection; two lengths or a strange one say nothing.
    return data, at_end and length == ""


def _join_chunks(data: bytes) -> tuple[bytes, bool]:
    body, position = b"", 0
    while match := _CHUNK_SIZE.match(data, position):
        size = int(match[1], 16)
        if size == 0:
            return body, True
        body += data[match.end() : match.end() + size]
        position = match.end() + size
        position += 2 if data[position : position + 2] == b"\r\n" else 1
    # Cut short, or not chunked at all, whatever the header says.
    return body or data, False


def _unpack(body: bytes) -> tuple[bytes, bool]:
    unpacker = zlib.decompressobj(47 if body[:2] == b"\x1f\x8b" else 15)
    try:
        data = unpacker.decompress(body, MAX_ANSWER)
    except zlib.error:
        return body, False
    return data, unpacker.eof
