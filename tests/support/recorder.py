"""A recording upstream: keeps every byte it gets, answers with exactly the bytes a test scripts.

It parses as little as it can (where a head ends, how long a body is): what is right is for the test
to judge, over the raw bytes. A script is a coroutine on one connection; the default one answers
each request with the next of `answers`, the last of them again and again.
"""

import asyncio
import re
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Self

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass(slots=True)
class Recorded:
    """One request as it came: the head with its blank line, the body with its framing."""

    head: bytes
    body: bytes = b""

    @property
    def lines(self) -> list[bytes]:
        return self.head.removesuffix(b"\r\n\r\n").split(b"\r\n")

    def values(self, name: bytes) -> list[bytes]:
        """Return the values of every header of that name, whatever its case."""
        found = []
        for line in self.lines[1:]:
            key, _, value = line.partition(b":")
            if key.lower() == name.lower():
                found.append(value.strip())
        return found


class RecordedConnection:
    """One accepted connection."""

    def __init__(
        self, recorder: "Recorder", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._recorder = recorder
        self.reader = reader
        self.writer = writer
        self.received = bytearray()
        self.requests: list[Recorded] = []
        self.ended = asyncio.Event()  # the other side is gone

    async def read(self, size: int = 65536) -> bytes:
        """Read what is there; empty at the end, however it came."""
        try:
            data = await self.reader.read(size)
        except (ConnectionError, ssl.SSLError):
            data = b""
        self.received += data
        if not data:
            self.ended.set()
        return data

    async def _until(self, end: bytes) -> bytes | None:
        try:
            data = await self.reader.readuntil(end)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError) as error:
            self.received += getattr(error, "partial", b"")
            self.ended.set()
            return None
        self.received += data
        return data

    async def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size and (piece := await self.read(size - len(data))):
            data += piece
        return data

    async def head(self) -> Recorded | None:
        """Read a request's head; None at the end of the connection."""
        head = await self._until(b"\r\n\r\n")
        if head is None:
            return None
        request = Recorded(head)
        self.requests.append(request)
        self._recorder.requests.append(request)
        self._recorder.arrived.set()
        return request

    async def body(self, request: Recorded) -> None:
        """Read the request's body, its framing kept."""
        length = request.values(b"Content-Length")
        if request.values(b"Transfer-Encoding"):
            while (line := await self._until(b"\r\n")) is not None:
                request.body += line
                size = int(line.split(b";")[0], 16)
                if not size:
                    while (line := await self._until(b"\r\n")) is not None:
                        request.body += line
                        if line == b"\r\n":
                            return
                    return
                request.body += await self._exactly(size + 2)
        elif length:
            request.body = await self._exactly(int(length[0]))

    async def request(self) -> Recorded | None:
        """Read a whole request."""
        request = await self.head()
        if request is not None:
            await self.body(request)
        return request

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """Close by a TCP reset."""
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[RecordedConnection], Awaitable[None]]


@dataclass
class Recorder:
    """The upstream of a test."""

    answers: list[bytes] = field(default_factory=lambda: [OK])
    script: Script | None = None
    context: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    requests: list[Recorded] = field(default_factory=list)
    connections: list[RecordedConnection] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    async def __aenter__(self) -> Self:
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(
            self._serve, self.host, self.port, ssl=self.context, limit=2**20
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for connection in self.connections:
            connection.writer.transport.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        scheme = "http" if self.context is None else "https"
        name = "localhost" if self.context is not None else self.host
        return f"{scheme}://{name}:{self.port}"

    @property
    def authority(self) -> bytes:
        return self.url.partition("://")[2].encode()

    async def next_request(self) -> Recorded:
        """Wait for one more request's head."""
        await self.arrived.wait()
        self.arrived.clear()
        return self.requests[-1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        connection = RecordedConnection(self, reader, writer)
        self.connections.append(connection)
        try:
            await (self.script or self._answer_all)(connection)
        except asyncio.CancelledError:
            pass
        finally:
            self._tasks.discard(task)

    async def _answer_all(self, connection: RecordedConnection) -> None:
        while await connection.request() is not None:
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            connection.send(answer)
            if re.search(rb"\r\n[Cc]onnection: close\r\n", answer):
                connection.close()
                return
