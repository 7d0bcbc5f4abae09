"""One HTTP exchange with a server of our own, over a plain socket.

A connection for each exchange, blocking, with a deadline. Importing http.client for it would take a
command as long as asyncio (with bytecode 25 to 50 ms, by the machine), aiohttp three times that.
"""

import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

CONNECT_TIMEOUT = 3.0
LONGEST_HEAD = 65536
LONGEST_BODY = 16 * 1024 * 1024
PIECE = 65536


class NotConnectedError(OSError):
    """Nobody listens there."""


class NotHttpError(OSError):
    """What answers there is not HTTP, or breaks off."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server is: `path` of a Unix socket in place of host and port, `tls` for https."""

    host: str
    port: int
    tls: "ssl.SSLContext | None" = None
    path: Path | None = None

    def connect(self) -> socket.socket:
        """Open a connection; OSError where that fails."""
        try:
            if self.path is not None:
                return _connect_unix(self.path)
            connection = socket.create_connection((self.host, self.port), CONNECT_TIMEOUT)
        except (ConnectionRefusedError, FileNotFoundError) as error:
            raise NotConnectedError(*error.args) from error
        return self.tls.wrap_socket(connection) if self.tls else connection


def _connect_unix(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(CONNECT_TIMEOUT)
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


class Response:
    """An answer whose head has been read."""

    def __init__(self, connection: socket.socket, timeout: float) -> None:
        self._connection = connection
        self._buffer = b""
        self.allow(timeout)
        self.status, self._headers = self._head()

    def allow(self, seconds: float) -> None:
        """Set the deadline for everything that is read from now on; TimeoutError after it."""
        self._until = time.monotonic() + seconds

    def abandon(self) -> None:
        """End the reading, from another thread."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def all(self, name: str) -> list[str]:
        """Return every value of a header, named in lower case."""
        return [value for found, value in self._headers if found == name]

    def pieces(self) -> Iterator[bytes]:
        """Give the body as it comes; NotHttpError where it breaks off."""
        if "chunked" in self.all("transfer-encoding"):
            yield from self._chunks()
        elif lengths := self.all("content-length"):
            yield from self._exactly(_number(lengths[0], 10))
        else:
            while piece := self._buffer or self._receive():
                self._buffer = b""
                yield piece

    def read(self) -> bytes:
        """Return the whole body."""
        body = bytearray()
        for piece in self.pieces():
            body += piece
            if len(body) > LONGEST_BODY:
                raise NotHttpError("its answer is too long")
        return bytes(body)

    def _head(self) -> tuple[int, Sequence[tuple[str, str]]]:
        while True:
            head = self._through(b"\r\n\r\n").decode("latin-1").rstrip("\r\n")
            first, *lines = head.split("\r\n")
            version, _, rest = first.partition(" ")
            status = rest[:3]
            if not version.startswith("HTTP/1.") or not status.isdigit():
                raise NotHttpError("what answers there is not HTTP")
            if not status.startswith("1"):
                break
        pairs = [line.partition(":") for line in lines]
        return int(status), [(name.lower(), value.strip()) for name, _, value in pairs]

    def _chunks(self) -> Iterator[bytes]:
        while size := _number(self._through(b"\n").partition(b";")[0], 16):
            yield from self._exactly(size)
            self._through(b"\n")

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size:
            piece = self._buffer or self._receive()
            if not piece:
                raise NotHttpError("its answer breaks off")
            piece, self._buffer = piece[:size], piece[size:]
            size -= len(piece)
            yield piece

    def _through(self, end: bytes) -> bytes:
        """Return what comes up to and with `end`."""
        while end not in self._buffer:
            piece = self._receive()
            if not piece or len(self._buffer) > LONGEST_HEAD:
                raise NotHttpError("what answers there is not HTTP, or breaks off")
            self._buffer += piece
        found, _, self._buffer = self._buffer.partition(end)
        return found + end

    def _receive(self) -> bytes:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer in time")
        self._connection.settimeout(left)
        return self._connection.recv(PIECE)


@contextmanager
def exchange(
    endpoint: Endpoint,
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes | None,
    timeout: float,
) -> Iterator[Response]:
    """Send a request and give the answer; OSError for all that can go wrong on the way."""
    lines = [f"{method} {target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += ["Connection: close"]
    if body is not None:
        lines += [f"Content-Length: {len(body)}", "Content-Type: application/json"]
    with endpoint.connect() as connection:
        connection.settimeout(timeout)
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b""))
        yield Response(connection, timeout)


def _number(text: str | bytes, base: int) -> int:
    try:
        return int(text, base)
    except ValueError:
        raise NotHttpError("what answers there is not HTTP") from None
