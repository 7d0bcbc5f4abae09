"""The token endpoint over real sockets: what became of what was sent, whatever happens."""

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from proxy.errors import Outcome, StoreError, TokenEndpointError
from proxy.grant.oauth import TokenSet
from proxy.grant.token_endpoint import TokenEndpoint
from proxy.system.dialing import Dialer
from proxy.system.network import OutboundProxy, build_ssl_context
from proxy.system.secret import Secret
from tests.support.authorization_server import Answer, AuthorizationServer
from tests.support.clock import FakeClock
from tests.support.granting import make_config
from tests.support.processes import free_port

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
TOKENS = TokenSet(Secret("a"), Secret("refresh-canary"), 0, 1, 0, 1)


@asynccontextmanager
async def raw_server(answer: bytes | None, *, seen: list[bytes]) -> AsyncIterator[str]:
    """Answer every request with the same bytes, then close; None closes without an answer."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.partition(b":")[2])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length")
            )
            seen.append(head + await reader.readexactly(length))
            if answer is not None:
                writer.write(answer)
        except asyncio.IncompleteReadError:
            pass  # no request came
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/token"
    finally:
        server.close()
        await server.wait_closed()


def endpoint_at(
    url: str, *, proxy: str | None = None, context: ssl.SSLContext | None = None, **oauth: object
) -> TokenEndpoint:
    settings = make_config(url, oauth=oauth).oauth
    dialer = Dialer(
        url,
        context or build_ssl_context(),
        min(10.0, settings.timeout),
        outbound=OutboundProxy.parse(proxy) if proxy is not None else None,
    )
    return TokenEndpoint(settings, FakeClock(), dialer)


async def refused(url: str, **options: object) -> TokenEndpointError:
    endpoint = endpoint_at(url, **options)  # type: ignore[arg-type]
    with pytest.raises(TokenEndpointError) as caught:
        await endpoint.refresh(TOKENS)
    assert "canary" not in f"{caught.value} {caught.value!r} {caught.value.detail}"
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value


def http(body: bytes, status: bytes = b"200 OK", headers: bytes = b"") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body)
    return b"HTTP/1.1 " + status + b"\r\n" + length + headers + b"\r\n" + body


@pytest.fixture
async def server() -> AsyncIterator[AuthorizationServer]:
    made = AuthorizationServer()
    await made.start()
    yield made
    await made.stop()


@pytest.mark.parametrize("form", ["form", "json"])
@pytest.mark.parametrize("how", ["client_secret_post", "client_secret_basic"])
async def test_every_form_and_authentication_works(
    server: AuthorizationServer, form: str, how: str
) -> None:
    server.authentication = how.rpartition("_")[2]
    settings: dict[str, Any] = {"token_request_format": form, "client_authentication": how}
    endpoint = endpoint_at(server.url, **settings)
    tokens = await endpoint.exchange(Secret(server.issue_code()))
    again = await endpoint.refresh(tokens)

    assert again.refresh_token is not None
    assert [entry.verdict for entry in server.log] == ["rotated", "rotated"]
    headers, _ = server.requests[0]
    assert not {"Cookie", "Referer"} & set(headers)


async def test_nothing_listens() -> None:
    error = await refused(f"http://127.0.0.1:{free_port()}/token")

    assert (error.outcome, error.reason) == (Outcome.NOT_SPENT, "connection_refused")


async def test_no_such_name() -> None:
    error = await refused("https://nowhere.invalid/token")

    assert (error.outcome, error.reason) == (Outcome.NOT_SPENT, "dns_error")


async def test_tls_that_fails_has_sent_nothing() -> None:
    seen: list[bytes] = []
    async with raw_server(b"HTTP/1.1 400 Bad Request\r\n\r\n", seen=seen) as url:
        error = await refused(url.replace("http:", "https:"), timeout=0.5)

    assert error.outcome is Outcome.NOT_SPENT
    assert seen == []


async def test_an_outbound_proxy_that_refuses_has_sent_nothing() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listener:
        proxy = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        error = await refused("https://sr.example/token", proxy=proxy)

    assert (error.outcome, error.reason) == (Outcome.NOT_SPENT, "connection_refused")
    assert "407" in error.detail


BROKEN: dict[str, bytes | None] = {
    "closed": None,
    "garbage": b"not http at all\r\n\r\n",
    "head_only": b"HTTP/1.1 200 OK\r\nContent-Le",
    "short_body": b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"access_token": "a"}',
    "short_4xx": b'HTTP/1.1 400 Bad\r\nContent-Length: 500\r\n\r\n{"error": "invalid_grant"}',
    "cut_chunks": b'HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"err',
    "bad_gzip": http(b"nonsense", headers=b"Content-Encoding: gzip\r\n"),
    "two_lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
    "huge": http(b" " * (1024 * 1024 + 2)),
    "bomb": http(gzip.compress(b" " * 20_000_000), headers=b"Content-Encoding: gzip\r\n"),
    "redirect": http(b"", b"307 Temporary Redirect", b"Location: /elsewhere\r\n"),
    "500": http(b"", b"500 Oops"),
}


@pytest.mark.parametrize("kind", BROKEN)
async def test_what_is_no_complete_answer_leaves_the_fate_unknown(kind: str) -> None:
    seen: list[bytes] = []
    async with raw_server(BROKEN[kind], seen=seen) as url:
        error = await refused(url)

    assert error.outcome is Outcome.UNKNOWN
    assert len(seen) == 1


async def test_an_answer_that_does_not_come_is_unknown_after_the_timeout() -> None:
    waiting = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await waiting.wait()
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listener:
        url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/token"
        error = await refused(url, timeout=0.2)
        waiting.set()

    assert (error.outcome, error.reason) == (Outcome.UNKNOWN, "http_response_timeout")


async def test_a_slow_answer_is_waited_for(server: AuthorizationServer) -> None:
    server.script.append(Answer(delay=0.3, change={}))
    endpoint = endpoint_at(server.url)
    tokens = await endpoint.exchange(Secret(server.issue_code()))

    assert tokens.refresh_token is not None


async def test_a_guard_that_refuses_lets_nothing_out(server: AuthorizationServer) -> None:
    def guard() -> None:
        raise StoreError("redis", "the claim ran out", "wait")

    endpoint = endpoint_at(server.url)
    with pytest.raises(StoreError, match="ran out"):
        await endpoint.refresh(TOKENS, guard)

    assert server.requests == []


async def test_the_environment_is_not_read(
    server: AuthorizationServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    endpoint = endpoint_at(server.url)
    await endpoint.exchange(Secret(server.issue_code()))

    assert len(server.requests) == 1


async def test_a_grant_without_a_refresh_token_spends_nothing(server: AuthorizationServer) -> None:
    tokens = TokenSet(Secret("a"), None, 0, 1, 0, 1)
    endpoint = endpoint_at(server.url)
    with pytest.raises(TokenEndpointError) as caught:
        await endpoint.refresh(tokens)

    assert caught.value.reason == "no_refresh_token"
    assert server.requests == []
