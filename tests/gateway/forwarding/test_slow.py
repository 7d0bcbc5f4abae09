"""Slow and steady is no stall, either way; what stops is cut."""

import asyncio
import socket
from contextlib import suppress

import pytest

from tests.support.proxying import GET, HOST, proxying
from tests.support.recorder import RecordedConnection, Recorder

SIZE = 30_000_000
# Far less than the kernel buffers: the event loop's own buffer stands still all the while.
PIECE = 20_000
PATIENCE = 1.0
TRANSFER = 3 * PATIENCE


def narrow() -> socket.socket:
    """Make a socket that takes little ahead of its reader."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    raw.setblocking(False)
    return raw


async def read_slowly(raw: socket.socket, seconds: float) -> bool:
    """Read steadily; tell whether the other side was there all the time."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        try:
            if not await loop.sock_recv(raw, PIECE):
                return False
        except ConnectionError:
            return False
        await asyncio.sleep(0.05)
    return True


@pytest.mark.parametrize("stops", [False, True])
async def test_a_caller_that_reads_slowly_is_served_and_one_that_stops_is_cut(stops: bool) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE + b"x" * SIZE
    loop = asyncio.get_running_loop()
    async with Recorder([answer]) as upstream:
        async with proxying(upstream, listen={"stall_timeout": PATIENCE}) as proxy:
            with narrow() as raw:
                await loop.sock_connect(raw, ("127.0.0.1", proxy.port))
                await loop.sock_sendall(raw, GET)
                served = await read_slowly(raw, TRANSFER)
                cut_early = bool(proxy.records)
                if stops:
                    async with asyncio.timeout(10 * PATIENCE):
                        while not proxy.records:
                            await asyncio.sleep(0.05)

    assert served
    assert not cut_early


@pytest.mark.parametrize("stops", [False, True])
async def test_an_upstream_that_takes_the_body_slowly_has_its_time(stops: bool) -> None:
    ended = asyncio.Event()

    async def serve(raw: socket.socket) -> bool:
        loop = asyncio.get_running_loop()
        accepted, _ = await loop.sock_accept(raw)
        with accepted:
            accepted.setblocking(False)
            taken = await read_slowly(accepted, TRANSFER)
            if not stops:
                await loop.sock_sendall(accepted, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            await ended.wait()
        return taken

    with narrow() as raw:
        raw.bind(("127.0.0.1", 0))
        raw.listen()
        serving = asyncio.ensure_future(serve(raw))
        settings = {
            "url": f"http://127.0.0.1:{raw.getsockname()[1]}",
            "response_timeout": PATIENCE,
        }
        async with proxying(None, upstream=settings) as proxy, proxy.caller() as caller:
            sending = asyncio.ensure_future(
                caller.send(b"PUT /x HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n" % (HOST, SIZE))
            )
            sending.add_done_callback(lambda _: caller.writer.write(b"x" * SIZE))
            async with asyncio.timeout(10 * PATIENCE):
                head = await caller.head()
            ended.set()
        with suppress(ConnectionError):
            await sending
        taken = await serving

    assert taken
    assert head.startswith(b"HTTP/1.1 504 " if stops else b"HTTP/1.1 200 ")


@pytest.mark.interpreted
async def test_a_peer_that_acknowledges_nothing_is_dead_and_a_repeatable_request_goes_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from proxy.gateway.upstream import wire
    from proxy.system.tcp import Delivery

    async def script(recorded: RecordedConnection) -> None:
        while await recorded.request() is not None:
            if len(upstream.requests) == 2:  # on the connection used before
                await recorded.ended.wait()
            recorded.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    settings = {"response_timeout": 60}
    async with Recorder(script=script) as upstream:
        async with proxying(upstream, upstream=settings) as proxy, proxy.caller() as caller:
            await caller.ask(GET)
            await caller.send(GET)
            while len(upstream.requests) < 2:
                await asyncio.sleep(0)
            monkeypatch.setattr(wire, "delivery", lambda _: Delivery(0, 1, 20.0))
            proxy.clock.offset = 16
            async with asyncio.timeout(5):
                head, _ = await caller.answer()

    assert head.startswith(b"HTTP/1.1 200 OK")
    assert len(upstream.connections) == 2
    assert proxy.records[1].replays == 1
