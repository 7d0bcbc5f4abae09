"""An upstream that misbehaves on request, over raw bytes.

Every request names its own id and the fault it wants (`/soak/ID?fault=…`), so that the caller knows
what must come back. What it sends outside an answer (a second one, an idle 408) it sends only while
no request is waiting on that connection: nobody could tell apart what crosses on the wire. What
crosses all the same is told by the record of the proxy's looks: see looks.py.
"""

import asyncio
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from tests.e2e.soak.looks import Looks

# How long a connection rests before something unasked for is sent on it.
REST = 0.003


@dataclass(slots=True)
class Seen:
    """What the upstream did, to account for it."""

    requests: int = 0
    connections: int = 0
    refused_tokens: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    # Ids of requests on a connection where the proxy had looked, and then something unasked came.
    crossed: set[str] = field(default_factory=set)
    # How much earlier it had looked, in microseconds.
    windows: list[float] = field(default_factory=list)
    # How many of these were broken off before the upstream had read who asked.
    nameless: int = 0
    # Ids of requests sent though it looked later than that, or never.
    overlooked: list[str] = field(default_factory=list)
    # Ids lately answered, to tell a lost answer from a request that never came.
    answered: deque[str] = field(default_factory=lambda: deque(maxlen=50_000))


class MisbehavingUpstream:
    """Listens, restarts, and keeps count."""

    def __init__(self, authenticates: Callable[[str], bool], looks: Looks) -> None:
        self.looks = looks
        self.authenticates = authenticates
        self.seen = Seen()
        self.port = 0
        self.connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen on the same port as before, if there was one."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self), "127.0.0.1", self.port, reuse_address=True
        )
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close the listener and every connection at once, as a restart does."""
        assert self._server is not None
        self._server.close()
        for connection in list(self.connections):
            connection.transport.close()
        await self._server.wait_closed()

    def count(self, fault: str) -> None:
        self.seen.faults[fault] = self.seen.faults.get(fault, 0) + 1


class _Connection(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, upstream: MisbehavingUpstream) -> None:
        self._upstream = upstream
        self._buffer = bytearray()
        self._asked = 0
        # On the clock of the looks, in ns: the last request, and something unasked for.
        self._asked_at = 0
        self._stray_at: int | None = None
        self._crossed = False
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._port = int(transport.get_extra_info("peername")[1])
        self._upstream.connections.add(self)
        self._upstream.seen.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._upstream.connections.discard(self)
        if self._stray_at is None:
            return
        # A request whose body was not all here, or that was purged by the proxy's reset.
        look = self._upstream.looks.first_after(self._port, self._asked_at)
        if look is not None and look <= self._stray_at:
            self._upstream.seen.windows.append((self._stray_at - look) / 1000)
            self._upstream.seen.nameless += 1
        elif look is not None:
            self._upstream.seen.overlooked.append("a request on a connection that broke off")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (request := _take_request(self._buffer)) is not None:
            self._asked += 1
            self._answer(*request)

    def _tell_crossing(self, name: str) -> None:
        """Tell whether a request was sent although something unasked for was there to be seen."""
        if self._stray_at is not None:
            seen = self._upstream.seen
            look = self._upstream.looks.first_after(self._port, self._asked_at)
            self._crossed = look is not None and look <= self._stray_at
            if look is not None and self._crossed:
                seen.windows.append((self._stray_at - look) / 1000)
            else:
                seen.overlooked.append(name)
            self._stray_at = None
        if self._crossed:
            # From the first on, every answer on this connection is one late.
            self._upstream.seen.crossed.add(name)
        self._asked_at = time.monotonic_ns()

    def _answer(self, line: bytes, fields: dict[bytes, bytes], body: bytes) -> None:
        upstream = self._upstream
        upstream.seen.requests += 1
        method, target, _ = line.decode("latin-1").split(" ")
        token = fields.get(b"authorization", b"")[len("Bearer ") :].decode()
        path, _, query = target.partition("?")
        name = path.rpartition("/")[2]
        self._tell_crossing(name)
        options = dict(part.split("=") for part in query.split("&") if part)
        if not upstream.authenticates(token):
            upstream.seen.refused_tokens += 1
            return self._send(401, name, b'{"message":"expired"}')
        if b"x-soak-id" in fields and fields[b"x-soak-id"].decode() != name:
            return self._send(400, name, b"headers of another request")
        if body and not body.startswith(name.encode() + b"\n"):
            return self._send(400, name, b"body of another request")
        size = int(options.get("size", 0))
        payload = (name.encode() + b"\n") * (size // (len(name) + 1) + 1)
        if method == "POST":
            payload += f"{len(body)}".encode()
        fault = options.get("fault", "")
        if fault:
            upstream.count(fault)
        upstream.seen.answered.append(name)
        return self._misbehave(fault, name, payload, head_only=method == "HEAD")

    def _misbehave(self, fault: str, name: str, payload: bytes, *, head_only: bool) -> None:
        match fault:
            case "cut":
                self._send(200, name, payload + payload, keep=len(payload))
                self.transport.close()
            case "cut_chunked":
                self.transport.write(
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                    + f"{len(payload):x}\r\n".encode()
                    + payload
                    + b"\r\n"
                )
                self.transport.close()
            case "garbage":
                self.transport.write(b"\x16\x03\x01 not HTTP at all\r\n\r\n" + payload)
                self.transport.close()
            case "extra":
                # In the same packet: what follows an answer belongs to nobody.
                self.transport.write(_answer(200, name, payload) + _answer(200, "stray", b"stray"))
            case "late":
                self._send(200, name, payload)
                self._when_at_rest(_answer(200, "stray", b"stray\n"))
            case "idle_408":
                self._send(200, name, payload)
                self._when_at_rest(_answer(408, "stray", b"stray\n"), close=True)
            case "slow":
                self._loop.call_later(0.3, self._send, 200, name, payload)
            case "chunked":
                pieces = b"".join(
                    f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
                    for piece in (payload[:7], payload[7:])
                    if piece
                )
                self.transport.write(
                    f"HTTP/1.1 200 OK\r\nX-Soak-Id: {name}\r\n".encode()
                    + b"Transfer-Encoding: chunked\r\n\r\n"
                    + pieces
                    + b"0\r\n\r\n"
                )
            case _:
                self.transport.write(_answer(200, name, payload, head_only=head_only))

    def _send(self, status: int, name: str, payload: bytes, *, keep: int | None = None) -> None:
        if not self.transport.is_closing():
            answer = _answer(status, name, payload)
            self.transport.write(answer if keep is None else answer[:-keep])

    def _when_at_rest(self, data: bytes, *, close: bool = False) -> None:
        asked = self._asked

        def send() -> None:
            if self.transport.is_closing() or self._asked != asked or self._is_asked():
                self._upstream.count("unasked_for_withheld")
                return
            self._upstream.count("unasked_for_sent")
            self.transport.write(data)
            self._stray_at = time.monotonic_ns()
            if close:
                self.transport.close()

        self._loop.call_later(REST, send)

    def _is_asked(self) -> bool:
        connection: socket.socket = self.transport.get_extra_info("socket")
        duplicate = socket.socket(fileno=socket.dup(connection.fileno()))
        try:
            return bool(duplicate.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            duplicate.close()


def _answer(status: int, name: str, payload: bytes, *, head_only: bool = False) -> bytes:
    head = (
        f"HTTP/1.1 {status} X\r\nX-Soak-Id: {name}\r\nContent-Type: text/plain\r\n"
        f"Content-Length: {len(payload)}\r\n\r\n"
    ).encode()
    return head if head_only else head + payload


def _take_request(buffer: bytearray) -> tuple[bytes, dict[bytes, bytes], bytes] | None:
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    first, *lines = bytes(buffer[:end]).split(b"\r\n")
    pairs = (line.partition(b": ") for line in lines)
    fields = {name.lower(): value for name, _, value in pairs}
    start = end + 4
    if b"transfer-encoding" in fields:
        body = bytearray()
        while True:
            line_end = buffer.find(b"\r\n", start)
            if line_end < 0:
                return None
            size = int(bytes(buffer[start:line_end]).split(b";")[0], 16)
            chunk_end = line_end + 2 + size
            if len(buffer) < chunk_end + 2:
                return None
            body += buffer[line_end + 2 : chunk_end]
            start = chunk_end + 2
            if size == 0:
                break
        del buffer[:start]
        return first, fields, bytes(body)
    stop = start + int(fields.get(b"content-length", b"0"))
    if len(buffer) < stop:
        return None
    body = buffer[start:stop]
    del buffer[:stop]
    return first, fields, bytes(body)
