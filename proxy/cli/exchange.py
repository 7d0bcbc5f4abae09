"""One HTTP exchange with a server of our own, by the standard library alone.

A connection for each exchange. What a general client brings would take a command 150 ms to import.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

CONNECT_TIMEOUT = 3.0
LONGEST_BODY = 16 * 1024 * 1024
PIECE = 65536
# What a peer that does not speak HTTP, or not all of it, makes of reading.
MALFORMED = (ValueError, EOFError, asyncio.LimitOverrunError)


class NotConnectedError(OSError):
    """Nobody listens there."""


class NotHttpError(OSError):
    """What answers there is no HTTP, or breaks off."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server is: `socket` in place of host and port, `tls` for https."""

    host: str
    port: int
    tls: "ssl.SSLContext | None" = None
    socket: Path | None = None

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection; OSError where it cannot be had."""
        async with asyncio.timeout(CONNECT_TIMEOUT):
            try:
                if self.socket is not None:
                    return await asyncio.open_unix_connection(str(self.socket))
                return await asyncio.open_connection(self.host, self.port, ssl=self.tls)
            except (ConnectionRefusedError, FileNotFoundError) as error:
                raise NotConnectedError(*error.args) from error


class Response:
    """An answer whose head has been read."""

    def __init__(
        self, status: int, headers: Sequence[tuple[str, str]], reader: asyncio.StreamReader
    ) -> None:
        self.status = status
        self._headers = headers
        self._reader = reader

    def all(self, name: str) -> list[str]:
        """Return every value of a header, named in lower case."""
        return [value for found, value in self._headers if found == name]

    async def pieces(self) -> AsyncIterator[bytes]:
        """Give the body as it comes; NotHttpError where it breaks off."""
        try:
            if "chunked" in self.all("transfer-encoding"):
                async for piece in self._chunks():
                    yield piece
            elif lengths := self.all("content-length"):
                left = int(lengths[0])
                while left:
                    piece = await self._some(left)
                    left -= len(piece)
                    yield piece
            else:
                while piece := await self._reader.read(PIECE):
                    yield piece
        except MALFORMED as error:
            raise NotHttpError("its answer breaks off") from error

    async def _chunks(self) -> AsyncIterator[bytes]:
        while left := int((await self._reader.readuntil(b"\n")).partition(b";")[0], 16):
            while left:
                piece = await self._some(left)
                left -= len(piece)
                yield piece
            await self._reader.readuntil(b"\n")

    async def _some(self, most: int) -> bytes:
        if piece := await self._reader.read(min(most, PIECE)):
            return piece
        raise EOFError

    async def read(self) -> bytes:
        """Return the whole body."""
        body = bytearray()
        async for piece in self.pieces():
            body += piece
            if len(body) > LONGEST_BODY:
                raise NotHttpError("its answer is too long")
        return bytes(body)


@asynccontextmanager
async def exchange(
    endpoint: Endpoint, method: str, target: str, headers: Mapping[str, str], body: bytes | None
) -> AsyncIterator[Response]:
    """Send a request and give the answer; OSError for all that can go wrong on the way."""
    reader, writer = await endpoint.connect()
    try:
        lines = [f"{method} {target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines += ["Connection: close"]
        if body is not None:
            lines += [f"Content-Length: {len(body)}", "Content-Type: application/json"]
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b""))
        await writer.drain()
        yield await _head(reader)
    finally:
        writer.transport.abort()


async def _head(reader: asyncio.StreamReader) -> Response:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
            version, status, *_ = first.split(" ", 2)
            if not version.startswith("HTTP/1.") or not status.isdigit():
                raise ValueError(version)
            if not status.startswith("1"):
                break
    except MALFORMED as error:
        raise NotHttpError("what answers there is no HTTP") from error
    pairs = [line.partition(":") for line in lines]
    headers = [(name.lower(), value.strip()) for name, _, value in pairs]
    return Response(int(status), headers, reader)
