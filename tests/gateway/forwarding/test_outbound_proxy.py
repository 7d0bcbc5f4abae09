"""The way to the upstream through an outbound HTTP proxy."""

import asyncio
import re

import pytest

from tests.support.certificates import Authority, make_authority
from tests.support.proxying import GET, proxying
from tests.support.recorder import Recorder


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("certificates"))


def code_of(body: bytes) -> str:
    found = re.search(rb'"code": "(\w+)"', body)
    assert found is not None
    return found[1].decode()


class Tunnel:
    """An outbound proxy that knows CONNECT, and records what it is told."""

    def __init__(self, answer: bytes = b"HTTP/1.1 200 Connected\r\nX: y\r\n\r\n") -> None:
        self.answer = answer
        self.head = b""
        self.carried = bytearray()

    async def __aenter__(self) -> "Tunnel":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self._tasks: list[asyncio.Task[None]] = []
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.append(task)
        self.head = await reader.readuntil(b"\r\n\r\n")
        writer.write(self.answer)
        if b" 200 " not in self.answer:
            writer.close()
            return
        host, _, port = self.head.split()[1].decode().rpartition(":")
        up_reader, up_writer = await asyncio.open_connection(host.strip("[]"), int(port))

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                self.carried += data
                sink.write(data)
            sink.close()

        try:
            await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))
        finally:
            up_writer.transport.abort()
            writer.transport.abort()


async def test_through_an_outbound_proxy_by_connect_and_without_the_bearer(
    authority: Authority,
) -> None:
    settings = {"ca_file": str(authority.path)}
    async with Recorder(context=authority.context()) as upstream, Tunnel() as tunnel:
        outbound = f"http://user:pa%20ss@127.0.0.1:{tunnel.port}"
        async with proxying(upstream, upstream=settings, outbound_proxy=outbound) as proxy:
            head, _ = await proxy.ask(GET)

    authority_line = b"localhost:%d" % upstream.port
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert tunnel.head == (
        b"CONNECT %b HTTP/1.1\r\nHost: %b\r\nProxy-Authorization: Basic dXNlcjpwYSBzcw==\r\n\r\n"
        % (authority_line, authority_line)
    )
    assert b"Bearer" not in tunnel.carried
    assert upstream.requests[0].values(b"Proxy-Authorization") == []


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n", "connection_refused"),
        (b"HTTP/1.1 403 No\r\n\r\n", "connection_refused"),
        (b"HTTP/1.1 504 Slow\r\n\r\n", "connection_timeout"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "http_protocol_error"),
        (b"", "connection_terminated"),
    ],
)
async def test_an_outbound_proxy_that_does_not_connect(answer: bytes, code: str) -> None:
    async with Tunnel(answer) as tunnel:
        async with proxying(
            None,
            upstream={"url": "https://localhost:9"},
            outbound_proxy=f"http://127.0.0.1:{tunnel.port}",
        ) as proxy:
            _, body = await proxy.ask(GET)

    assert code_of(body) == code
