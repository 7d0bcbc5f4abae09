"""One connection of the control routes, fed as the front feeds it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web

from proxy.control.application import build_application
from proxy.control.protocol import protocol_factory
from proxy.gateway.front import OneRequest
from tests.control.conftest import World, make_config

Talk = Callable[..., Awaitable[bytes]]
LIVE = b"GET /-/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
CANARY = b"tOpSeCrEt"


@pytest.fixture
async def talk(world: World) -> AsyncIterator[Talk]:
    """Send pieces, each a packet of its own, and read to the end of the connection."""
    runner = web.AppRunner(build_application(world.context(make_config())), access_log=None)
    await runner.setup()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(protocol_factory(runner, OneRequest), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    async def send(*pieces: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            async with asyncio.timeout(5):
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.01)
                return await reader.read()
        finally:
            writer.close()

    yield send
    server.close()
    await runner.cleanup()


def post(body: bytes, *headers: bytes) -> bytes:
    head = [b"POST /-/login/complete HTTP/1.1", b"Host: localhost", *headers, b"Connection: close"]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


async def test_what_lies_behind_the_request_is_never_parsed(talk: Talk) -> None:
    for pieces in ((LIVE + LIVE,), (LIVE, LIVE), (LIVE + b"garbage\x00",)):
        answer = await talk(*pieces)

        assert answer.count(b"HTTP/1.1 ") == 1
        assert answer.startswith(b"HTTP/1.1 200 ")


async def test_a_body_ends_where_its_length_says(talk: Talk) -> None:
    body = b'{"url": "x"}'
    for piece in (body + LIVE, body):
        answer = await talk(post(piece, b"CONTENT-length:  12 "), LIVE)

        assert answer.count(b"HTTP/1.1 ") == 1
        assert b"wrong_address" in answer


async def test_a_chunked_body_is_read(talk: Talk) -> None:
    answer = await talk(
        post(b"", b"Transfer-Encoding: chunked"), b'c\r\n{"url"', b': "x"}\r\n0\r\n\r\n'
    )

    assert b"wrong_address" in answer


@pytest.mark.parametrize(
    "request_",
    [
        (b"FOO /-/ HTTP/1.1\r\nHost: localhost\r\nX: tOpSeCrEt\r\n\r\n",),
        (b"GET /-/ HTTP/1.1\r\nHost: localhost\r\nX: tOpSeCrEt\x00\r\n\r\n",),
        (b"GET /-/?tOpSeCrEt HTTP/1.1\r\nHost: localhost\r\nBad Name: 1\r\n\r\n",),
        (post(b"zz tOpSeCrEt\r\n", b"Transfer-Encoding: chunked"),),
        (post(b"", b"Transfer-Encoding: chunked"), b"zz tOpSeCrEt\r\n\r\n"),
        (post(b"1\r\na tOpSeCrEt\r\n\r\n", b"Transfer-Encoding: chunked"),),
    ],
)
async def test_nothing_of_a_malformed_request_is_told(
    talk: Talk, request_: tuple[bytes, ...], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")

    answer = await talk(*request_)
    head, _, body = answer.partition(b"\r\n\r\n")

    assert head.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 405 "))
    assert json.loads(body)["code"] in ("bad_request", "method_not_allowed")
    assert b"Proxy-Status: smartrecruiters-proxy;" in head
    assert b"Connection: close" in head
    assert b"Server:" not in head
    assert CANARY not in answer
    assert CANARY.decode() not in caplog.text
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_caller_that_leaves_within_its_body_is_no_error(
    talk: Talk, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await talk(post(b"", b"Content-Length: 5"))
    await asyncio.sleep(0.05)

    assert not [record for record in caplog.records if record.levelname == "ERROR"]
