"""The data path in one event loop: front, forwarder and pool; raw callers, fake credentials."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from proxy.config import Config
from proxy.errors import Problem
from proxy.gateway.forward import Forwarder, Gate, TapFor, TransformFor, links_rewritten
from proxy.gateway.front import Control, Front
from proxy.gateway.guards import Guards, InForce
from proxy.gateway.upstream import Upstream
from proxy.messages import Answer, Request
from proxy.system.dialing import Dialer
from proxy.system.network import OutboundProxy, build_ssl_context
from proxy.system.origin import CallerOrigins
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.traffic import RequestRecord, Traffic
from tests.support.recorder import Recorder

HOST = b"Host: localhost\r\n"
# Loading the system's roots takes longer than most tests, and plain HTTP needs none.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
GET = b"GET /x HTTP/1.1\r\n" + HOST + b"\r\n"


class LoopClock:
    """The real clock, for tests that talk over real sockets."""

    def __init__(self) -> None:
        self.offset = 0.0

    def now(self) -> float:
        import time

        return time.time() + self.offset

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time() + self.offset

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class FakeCredential:
    lines: bytes
    generation: int


def bearer(token: bytes, generation: int) -> FakeCredential:
    return FakeCredential(b"Authorization: Bearer %b\r\n" % token, generation)


T1 = bearer(b"T1", 1)


@dataclass
class FakeCredentials:
    """A source of credentials that a test sets by hand."""

    value: FakeCredential | None = T1
    newer: FakeCredential | None = None
    problem: Problem | None = None
    rejections: list[int] = field(default_factory=list)
    asked: int = 0
    wait: asyncio.Event | None = None

    def current(self) -> FakeCredential | None:
        return self.value

    async def credential(self) -> FakeCredential:
        self.asked += 1
        if self.wait is not None:
            await self.wait.wait()
        if self.problem is not None:
            raise self.problem
        assert self.value is not None
        return self.value

    async def rejected(self, generation: int) -> FakeCredential | None:
        self.rejections.append(generation)
        if self.wait is not None:
            await self.wait.wait()
        if self.problem is not None:
            raise self.problem
        if self.newer is not None:
            self.value = self.newer
        return self.newer


class Caller:
    """A raw connection to the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes, *, piecewise: bool = False) -> None:
        """Send; piecewise: one byte a packet, each taken before the next."""
        if not piecewise:
            self.writer.write(data)
            await self.writer.drain()
            return
        for byte in data:
            self.writer.write(bytes([byte]))
            await self.writer.drain()
            await asyncio.sleep(0)

    async def head(self) -> bytes:
        """Read an answer's head, with its blank line."""
        return await self.reader.readuntil(b"\r\n\r\n")

    async def answer(self) -> tuple[bytes, bytes]:
        """Read an answer: its head, and its body with its framing."""
        head = await self.head()
        length = re.search(rb"\r\nContent-Length: (\d+)\r\n", head, re.IGNORECASE)
        if re.search(rb"\r\nTransfer-Encoding: chunked\r\n", head, re.IGNORECASE):
            body = b""
            while not body.endswith(b"0\r\n\r\n"):
                body += await self.reader.readuntil(b"\r\n")
            return head, body
        return head, await self.reader.readexactly(int(length[1])) if length else b""

    async def rest(self) -> bytes:
        """Read to the end of the connection."""
        return await self.reader.read()

    async def ask(self, data: bytes) -> tuple[bytes, bytes]:
        await self.send(data)
        return await self.answer()

    async def finish(self, data: bytes) -> bytes:
        """Send, and read to the end of the connection."""
        await self.send(data)
        return await self.rest()

    def close(self) -> None:
        self.writer.close()


@dataclass
class Harness:
    """Everything between a raw caller and the recorder."""

    front: Front
    upstream: Upstream
    credentials: FakeCredentials
    clock: LoopClock
    port: int
    records: list[RequestRecord]
    in_force: InForce

    @asynccontextmanager
    async def caller(self) -> AsyncIterator[Caller]:
        """Connect; the connection is broken off at the end."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=2**20)
        try:
            yield Caller(reader, writer)
        finally:
            writer.transport.abort()

    async def ask(self, data: bytes) -> tuple[bytes, bytes]:
        """Ask on a connection of its own."""
        async with self.caller() as caller:
            return await caller.ask(data)


async def no_control(request: Request) -> Answer:
    """Stand in for the control routes: answer with the request."""
    text = f"{request.method} {request.target} {request.caller}\n"
    return Answer(200, [("Content-Type", "text/plain")], text.encode() + request.body)


@asynccontextmanager
async def proxying(
    recorder: Recorder | None,
    *,
    credentials: FakeCredentials | None = None,
    outbound_proxy: str | None = None,
    probes_only: bool = False,
    control: Control = no_control,
    config: Config | None = None,
    problem_page: Callable[[Problem], Awaitable[bytes]] | None = None,
    page_headers: Sequence[tuple[str, str]] = (),
    gate: Gate | None = None,
    transform_for: TransformFor | None = None,
    tap_for: TapFor | None = None,
    **sections: dict[str, Any],
) -> AsyncIterator[Harness]:
    """Run the data path in front of a recorder; sections of the configuration by keyword.

    Or with a whole `config`, which then says it all.
    """
    upstream_section = dict(sections.pop("upstream", {}))
    if recorder is not None:
        upstream_section.setdefault("url", recorder.url)
    config = config or Config.build(
        {
            "oauth": {"client_id": "id", "client_secret": "c" * 16},
            "upstream": upstream_section,
            **sections,
        }
    )
    clock = LoopClock()
    credentials = credentials or FakeCredentials()
    context = NO_TLS
    if config.upstream.url.startswith("https:"):
        context = build_ssl_context(config.upstream.ca_file)
    dialer = Dialer(
        config.upstream.url,
        context,
        config.upstream.connect_timeout,
        outbound=OutboundProxy.parse(outbound_proxy) if outbound_proxy is not None else None,
    )
    upstream = Upstream(config.upstream, dialer, clock)
    traffic = Traffic(Metrics("test"))
    records: list[RequestRecord] = []
    traffic.subscribe(records.append)
    forwarder = Forwarder(
        config.upstream,
        upstream,
        dict.fromkeys(config.accounts, credentials),
        clock,
        gate=gate,
        transform_for=transform_for or links_rewritten(config.upstream),
        tap_for=tap_for,
    )
    in_force = InForce(Guards(config))
    front = Front(
        config.listen,
        in_force,
        forwarder,
        traffic,
        clock,
        CallerOrigins(config.oauth.redirect_uri),
        control=control,
        problem_page=problem_page,
        page_headers=page_headers,
        probes_only=probes_only,
    )
    upstream.keep_time()
    server = await asyncio.get_running_loop().create_server(front, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield Harness(front, upstream, credentials, clock, port, records, in_force)
    finally:
        server.close()
        front.close()
        upstream.close()
        await forwarder.close()
