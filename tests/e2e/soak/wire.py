"""A caller's end of a connection, cheap: the soak shares two cores with what it tries."""

import asyncio
from dataclasses import dataclass
from typing import cast


class Cut(Exception):
    """The connection ended before the answer did."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer as it came."""

    status: int
    fields: dict[bytes, bytes]
    body: bytes


class Wire(asyncio.Protocol):
    """One request at a time; what comes unasked stays, to be found out as the next one's answer."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._head: tuple[int, dict[bytes, bytes]] | None = None
        self._body = bytearray()  # of a chunked answer, so far
        self._has_body = True
        self._answer: asyncio.Future[Answer] | None = None
        self._closed = False

    @classmethod
    async def connect(cls, port: int) -> "Wire":
        loop = asyncio.get_running_loop()
        _, wire = await loop.create_connection(cls, "127.0.0.1", port)
        return wire

    async def ask(self, request: bytes, *, has_body: bool) -> Answer:
        """Send a request and wait for its answer, or for what passes for it."""
        self.send(request)
        self._has_body = has_body
        self._answer = asyncio.get_running_loop().create_future()
        if self._closed:
            self.connection_lost(None)
        else:
            self.data_received(b"")
        return await self._answer

    def send(self, request: bytes) -> None:
        assert self._transport is not None
        self._transport.write(request)

    def close(self) -> None:
        assert self._transport is not None
        self._transport.close()

    # ── what the transport tells ──

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        waiting = self._answer
        if waiting is None or waiting.done():
            return
        try:
            found = self._take()
        except (ValueError, IndexError) as error:
            waiting.set_exception(error)
            return
        if found is not None:
            self._head = None
            self._body.clear()
            waiting.set_result(found)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed = True
        if self._answer is not None and not self._answer.done():
            no_head = asyncio.IncompleteReadError(bytes(self._buffer), None)
            self._answer.set_exception(Cut() if self._head else exc or no_head)

    # ── within ──

    def _take(self) -> Answer | None:
        if self._head is None:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return None
            first, *lines = bytes(self._buffer[:end]).split(b"\r\n")
            del self._buffer[: end + 4]
            pairs = (line.partition(b": ") for line in lines)
            fields = {name.lower(): value for name, _, value in pairs}
            self._head = (int(first.split(b" ")[1]), fields)
        status, fields = self._head
        if not self._has_body:
            return Answer(status, fields, b"")
        if fields.get(b"transfer-encoding") == b"chunked":
            return Answer(status, fields, bytes(self._body)) if self._take_chunks() else None
        length = int(fields.get(b"content-length", b"0"))
        if len(self._buffer) < length:
            return None
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        return Answer(status, fields, body)

    def _take_chunks(self) -> bool:
        """Take whole chunks; tell whether the last was among them."""
        while (end := self._buffer.find(b"\r\n")) >= 0:
            size = int(self._buffer[:end], 16)
            if len(self._buffer) < end + 4 + size:
                return False
            self._body += self._buffer[end + 2 : end + 2 + size]
            del self._buffer[: end + 4 + size]
            if not size:
                return True
        return False
