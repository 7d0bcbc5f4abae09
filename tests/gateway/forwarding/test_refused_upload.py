"""An upstream that refuses a large upload, answers and closes: the answer reaches the caller."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.certificates import make_authority
from tests.support.proxying import HOST, Caller, proxying
from tests.support.recorder import RecordedConnection, Recorder

CALLERS = 24
SIZE = 10_000_000
REASON = b"the document is too large" * 40
REFUSAL = b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (
    len(REASON),
    REASON,
)


def refuse(accepted: socket.socket, context: ssl.SSLContext | None, after: int) -> None:
    """Read the head and `after` bytes, answer, and close with much unread: the kernel resets."""
    with suppress(OSError):
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            accepted = context.wrap_socket(accepted, server_side=True)
        received = b""
        while b"\r\n\r\n" not in received or len(received) < after:
            received += accepted.recv(65536)
        accepted.sendall(REFUSAL)
    accepted.close()


@contextmanager
def refusing(context: ssl.SSLContext | None, after: int) -> Iterator[int]:
    """Serve from threads, so that an answer may come at any moment of the proxy's."""
    with socket.create_server(("127.0.0.1", 0), backlog=CALLERS) as listener:

        def serve() -> None:
            for _ in range(CALLERS):
                accepted, _ = listener.accept()
                threading.Thread(target=refuse, args=(accepted, context, after)).start()

        serving = threading.Thread(target=serve)
        serving.start()
        yield listener.getsockname()[1]
        serving.join(10)


async def upload(caller: Caller, head: bytes, piece: bytes) -> bytes:
    await caller.send(b"PUT /x HTTP/1.1\r\n%b%b\r\n" % (HOST, head))

    async def send() -> None:
        with suppress(ConnectionError):
            for _ in range(SIZE // 50_000):
                await caller.send(piece)
                await asyncio.sleep(0)

    sending = asyncio.ensure_future(send())
    try:
        async with asyncio.timeout(20):
            return await caller.rest()
    finally:
        sending.cancel()


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("after", [0, 300_000])
async def test_the_answer_of_an_upstream_that_refuses_reaches_every_caller(
    secure: bool, after: int, tmp_path: Path
) -> None:
    context: ssl.SSLContext | None = None
    settings: dict[str, object] = {}
    if secure:
        authority = make_authority(tmp_path)
        context, settings = authority.context(), {"ca_file": str(authority.path)}
    by_length = b"Content-Length: %d\r\n" % SIZE, b"x" * 50_000
    chunked = b"Transfer-Encoding: chunked\r\n", b"c350\r\n" + b"x" * 50_000 + b"\r\n"
    with refusing(context, after) as port:
        settings["url"] = f"https://localhost:{port}" if secure else f"http://127.0.0.1:{port}"
        async with proxying(None, upstream=settings) as proxy:

            async def one(number: int) -> bytes:
                async with proxy.caller() as caller:
                    return await upload(caller, *(chunked if number % 2 else by_length))

            answers = await asyncio.gather(*(one(number) for number in range(CALLERS)))

    assert [answer[:12] for answer in answers] == [b"HTTP/1.1 413"] * CALLERS
    assert all(answer.endswith(REASON) for answer in answers)


async def test_an_answer_that_welcomes_the_body_does_not_end_it() -> None:
    async def script(connection: RecordedConnection) -> None:
        request = await connection.head()
        assert request is not None
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
        await connection.body(request)
        connection.send(b"0\r\n\r\n")
        await connection.read()

    async with Recorder(script=script) as upstream, proxying(upstream) as proxy:
        async with proxy.caller() as caller:
            await caller.send(b"PUT /x HTTP/1.1\r\n%bContent-Length: 500000\r\n\r\n" % HOST)
            head = await caller.head()
            for _ in range(10):
                await caller.send(b"x" * 50_000)
                await asyncio.sleep(0)
            async with asyncio.timeout(5):
                rest = await caller.rest()

    assert head.startswith(b"HTTP/1.1 200 OK")
    assert rest == b"2\r\nok\r\n0\r\n\r\n"
    assert len(upstream.requests[0].body) == 500_000
