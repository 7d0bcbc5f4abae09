"""The way to the upstream through an outbound HTTP proxy."""

import asyncio
import re
from base64 import b64encode

import pytest

from proxy.config import Config
from proxy.errors import TokenEndpointError
from proxy.grant.accounts import open_endpoint
from proxy.grant.owner import OwnerLookup
from proxy.system.dialing import Dialer, DialError
from proxy.system.network import outbound_proxy
from proxy.system.secret import Secret
from tests.support.certificates import Authority, make_authority
from tests.support.proxying import GET, NO_TLS, LoopClock, proxying
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
        if b" 200" not in self.answer or not self.answer.endswith((b"\r\n\r\n", b"\n\n")):
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
    "answer",
    [
        b"HTTP/1.0 200 Connection established\r\n\r\n",
        b"HTTP/1.1 200\r\n\r\n",
        b"HTTP/1.1 200 OK\nX: y\n\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ],
)
async def test_what_proxies_answer_when_they_connect(authority: Authority, answer: bytes) -> None:
    settings = {"ca_file": str(authority.path)}
    async with Recorder(context=authority.context()) as upstream, Tunnel(answer) as tunnel:
        outbound = f"http://127.0.0.1:{tunnel.port}"
        async with proxying(upstream, upstream=settings, outbound_proxy=outbound) as proxy:
            head, _ = await proxy.ask(GET)

    assert head.startswith(b"HTTP/1.1 200 OK")


def wants(*challenges: bytes) -> bytes:
    lines = b"".join(b"Proxy-Authenticate: %b\r\n" % challenge for challenge in challenges)
    return b"HTTP/1.1 407 Who\r\n" + lines + b"\r\n"


@pytest.mark.parametrize(
    ("answer", "login", "said"),
    [
        (wants(b'Basic realm="x"'), "", "wants a user and password"),
        (wants(), "", "wants a user and password"),
        (wants(b"NTLM", b'Basic realm="x"'), "u:p@", "refuses the user and password"),
        (wants(b"Negotiate", b"NTLM"), "u:p@", "by Negotiate or NTLM"),
        (wants(b'Digest realm="Basic", nonce="evil"'), "u:p@", "by Digest "),
        (wants(b"evil x"), "u:p@", "refuses the user and password"),
    ],
)
async def test_a_login_that_is_wanted_is_told_with_what_can_be_done(
    answer: bytes, login: str, said: str
) -> None:
    async with Tunnel(answer) as tunnel:
        async with proxying(
            None,
            upstream={"url": "https://localhost:9"},
            outbound_proxy=f"http://{login}127.0.0.1:{tunnel.port}",
        ) as proxy:
            _, body = await proxy.ask(GET)

    assert said in body.decode()
    assert "evil" not in body.decode()


async def test_calls_token_endpoint_and_owner_s_name_send_the_same_to_the_proxy() -> None:
    heads = []
    async with Recorder() as upstream, Tunnel(b"HTTP/1.1 403 No\r\n\r\n") as tunnel:
        environ = {"HTTPS_PROXY": f"http://us%E4r:p%C3%A4ss@127.0.0.1:{tunnel.port}"}
        url = upstream.url.replace("http://127.0.0.1", "https://api.invalid")
        config = Config.build(
            {
                "oauth": {"client_id": "id", "client_secret": "c" * 16, "token_endpoint": url},
                "upstream": {"url": url},
            }
        )
        outbound = outbound_proxy(url, None, environ)
        dialer = Dialer(url, NO_TLS, 10, outbound=outbound)
        with pytest.raises(DialError):
            await dialer.dial(asyncio.Protocol)
        heads.append(tunnel.head)
        endpoint = open_endpoint(config, LoopClock(), environ, NO_TLS)
        with pytest.raises(TokenEndpointError):
            await endpoint.exchange(Secret("code"))
        heads.append(tunnel.head)
        assert await OwnerLookup(url, {}, dialer).of_token(Secret("t")) is None
        heads.append(tunnel.head)

    assert b"Proxy-Authorization: Basic %b\r\n" % b64encode(b"us\xe4r:p\xc3\xa4ss") in heads[0]
    assert heads[1:] == heads[:2]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n", "connection_refused"),
        (b"HTTP/1.1 403 No\r\n\r\n", "connection_refused"),
        (b"HTTP/1.1 504 Slow\r\n\r\n", "connection_timeout"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "http_protocol_error"),
        (b"HTTP/1.1 200 OK\r\n\r\nmore", "http_protocol_error"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5000, "http_protocol_error"),
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
