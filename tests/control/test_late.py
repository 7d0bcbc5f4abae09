"""Control routes that open late: whoever asks early waits, and loses nothing."""

import asyncio
import contextlib

import pytest

from proxy.control.late import LateControl


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)
        self.transport.close()


@pytest.fixture
async def late(monkeypatch: pytest.MonkeyPatch):
    may_open = asyncio.Event()

    async def build():
        await may_open.wait()
        return Echo

    control = LateControl(build, lambda: None)
    server = await asyncio.get_running_loop().create_server(control, "127.0.0.1", 0)
    opening = asyncio.ensure_future(control.open())
    yield server.sockets[0].getsockname()[1], may_open, opening
    opening.cancel()
    server.close()


async def test_a_request_that_comes_early_is_answered_once_the_routes_are_open(late) -> None:
    port, may_open, opening = late
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"early")
    may_open.set()

    assert await reader.read() == b"early"
    await opening
    writer.close()


async def test_a_request_brings_the_opening_forward(late, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.control.late.GRACE", 60)
    port, may_open, _ = late
    may_open.set()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"now")

    async with asyncio.timeout(10):
        assert await reader.read() == b"now"
    writer.close()


async def test_a_caller_that_left_before_the_opening_is_forgotten(late) -> None:
    port, may_open, opening = late
    _, gone = await asyncio.open_connection("127.0.0.1", port)
    gone.transport.abort()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"still here")
    may_open.set()

    assert await reader.read() == b"still here"
    await opening
    writer.close()


async def test_without_early_requests_the_routes_open_by_themselves(
    late, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.control.late.GRACE", 0)
    port, may_open, opening = late
    may_open.set()
    await opening
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"later")

    assert await reader.read() == b"later"
    writer.close()


async def test_routes_that_cannot_be_opened_keep_nobody_waiting() -> None:
    async def build():
        raise ImportError("No module named 'aiohttp'")

    control = LateControl(build, lambda: None)
    server = await asyncio.get_running_loop().create_server(control, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    early, early_writer = await asyncio.open_connection("127.0.0.1", port)

    with pytest.raises(ImportError):
        await control.open()
    late, late_writer = await asyncio.open_connection("127.0.0.1", port)

    async with asyncio.timeout(5):
        for reader in (early, late):
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
    for writer in (early_writer, late_writer):
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    server.close()
    await server.wait_closed()
