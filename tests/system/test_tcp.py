"""What the kernel tells of a connection, on both event loops."""

import asyncio
import socket
import sys
from collections.abc import Callable
from contextlib import suppress

import pytest

from proxy.system.tcp import delivery, keep_alive, unread

linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells")


def loops() -> list[Callable[[], asyncio.AbstractEventLoop]]:
    try:
        import uvloop
    except ImportError:
        return [asyncio.new_event_loop]
    return [asyncio.new_event_loop, uvloop.new_event_loop]


@linux
@pytest.mark.parametrize("new_loop", loops())
def test_what_was_acknowledged_is_told_until_the_connection_is_closed(new_loop) -> None:
    async def run() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(ConnectionError):
                await reader.read()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        _, writer = await asyncio.open_connection(host, port)
        raw = writer.get_extra_info("socket")
        keep_alive(raw)
        before = delivery(raw)
        writer.write(b"x" * 1000)
        async with asyncio.timeout(5):
            while (
                (told := delivery(raw)) is None
                or before is None
                or (told.acknowledged < before.acknowledged + 1000)
            ):
                await asyncio.sleep(0)
        assert told.heard < 5
        writer.transport.abort()
        await asyncio.sleep(0.01)

        assert delivery(raw) is None
        assert unread(raw) == 0
        server.close()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(run())


@linux
def test_of_a_unix_socket_the_bytes_not_read_are_counted() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        ours.send(b"x" * 1000)
        waiting = unread(ours)
        theirs.recv(1000)

        assert delivery(ours) is None
        assert waiting >= 1000
        assert unread(ours) == 0
