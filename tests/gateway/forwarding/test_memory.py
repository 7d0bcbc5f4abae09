"""Bodies move in constant memory, at the pace of the slower side, both ways."""

import asyncio
import socket
from pathlib import Path

from tests.support.proxying import GET, HOST, FakeCredentials, bearer, proxying
from tests.support.recorder import OK, RecordedConnection, Recorder


def resident() -> int:
    """Return this process's resident memory in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


async def test_an_answer_is_not_taken_faster_than_the_caller_reads() -> None:
    size, sent = 100_000_000, 0

    async def script(connection: RecordedConnection) -> None:
        nonlocal sent
        await connection.request()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        while sent < size:
            connection.send(b"x" * 1_000_000)
            sent += 1_000_000
            await connection.writer.drain()

    async with Recorder(script=script) as upstream, proxying(upstream) as proxy:
        raw = socket.socket()
        with raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            raw.connect(("127.0.0.1", proxy.port))
            raw.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(raw, GET)
            before, last = resident(), -1
            while sent != last or not sent:  # until nothing moves any more
                last = sent
                await asyncio.sleep(0.2)
            stalled, grown = sent, resident() - before
            total = 0
            while total < size:
                total += len(await loop.sock_recv(raw, 1_000_000))

    assert stalled < 30_000_000
    assert grown < 20_000_000


async def test_a_body_is_not_taken_faster_than_the_upstream_reads() -> None:
    go_on = asyncio.Event()

    async def script(connection: RecordedConnection) -> None:
        request = await connection.head()
        await go_on.wait()
        assert request is not None
        left = size
        while left:
            left -= len(await connection.reader.read(1_000_000))
        connection.send(OK)

    size = 100_000_000
    async with Recorder(script=script) as upstream, proxying(upstream) as proxy:
        async with proxy.caller() as caller:
            head = b"POST /x HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n" % (HOST, size)
            await caller.send(head)
            sent = 0

            async def send() -> None:
                nonlocal sent
                while sent < size:
                    await caller.send(b"x" * 1_000_000)
                    sent += 1_000_000

            sending = asyncio.ensure_future(send())
            last = -1
            while sent != last or not sent:
                last = sent
                await asyncio.sleep(0.2)
            stalled = sent
            go_on.set()
            await sending
            answer, _ = await caller.answer()

    assert stalled < 30_000_000
    assert answer.startswith(b"HTTP/1.1 200 OK")


async def test_a_body_that_waits_for_the_credential_is_not_taken_without_bound() -> None:
    credentials = FakeCredentials(None, wait=asyncio.Event())
    size, sent = 50_000_000, 0
    async with Recorder() as upstream, proxying(upstream, credentials=credentials) as proxy:
        async with proxy.caller() as caller:

            async def send() -> None:
                nonlocal sent
                await caller.send(
                    b"POST /x HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n" % (HOST, size)
                )
                while sent < size:
                    await caller.send(b"x" * 1_000_000)
                    sent += 1_000_000

            sending = asyncio.ensure_future(send())
            last = -1
            while sent != last or not sent:
                last = sent
                await asyncio.sleep(0.2)
            stalled = sent
            credentials.value = bearer(b"T2", 2)
            assert credentials.wait is not None
            credentials.wait.set()
            await sending
            answer, _ = await caller.answer()

    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert stalled < 20_000_000
    assert len(upstream.requests[0].body) == size
