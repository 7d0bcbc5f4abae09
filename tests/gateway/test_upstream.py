"""Connections to the upstream: each failure its code, the tunnel, the pool, back-pressure."""

import asyncio
import re
import socket
import ssl
import sys

import pytest

from proxy.gateway.upstream.pool import AGE_LIMIT, FRESH_LIMIT, IDLE_LIMIT
from proxy.system.tcp import DEAD_AFTER
from tests.support.certificates import Authority, make_authority
from tests.support.proxying import GET, HOST, proxying
from tests.support.recorder import OK, RecordedConnection, Recorder, Script

POST = b"POST /x HTTP/1.1\r\n%bContent-Length: 2\r\n\r\nhi" % HOST


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("certificates"))


def code_of(body: bytes) -> str:
    found = re.search(rb'"code": "(\w+)"', body)
    assert found is not None
    return found[1].decode()


async def silent(connection: RecordedConnection) -> None:
    while await connection.read():
        pass


async def answer_garbage(connection: RecordedConnection) -> None:
    await connection.read()
    connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")


async def hang(connection: RecordedConnection) -> None:
    await connection.ended.wait()


# ── each failure its code ──


async def ask_through(url: str, **upstream: object) -> tuple[bytes, bytes]:
    async with proxying(None, upstream={"url": url, **upstream}) as proxy:
        return await proxy.ask(GET)


async def test_a_name_that_does_not_resolve() -> None:
    head, body = await ask_through("https://does-not-exist.invalid")

    assert head.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert code_of(body) == "dns_error"


async def test_a_refused_connection() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and not listening
        head, body = await ask_through(f"http://127.0.0.1:{taken.getsockname()[1]}")

    assert head.startswith(b"HTTP/1.1 502 ")
    assert code_of(body) == "connection_refused"


async def test_a_connection_that_is_never_accepted() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        head, body = await ask_through(f"http://127.0.0.1:{address[1]}", connect_timeout=0.2)
        for filler in fillers:
            filler.close()

    assert head.startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")
    assert code_of(body) == "connection_timeout"


@pytest.mark.parametrize(
    ("settings", "said", "remedy"),
    [
        ({"name": "elsewhere.example"}, "is for another name than localhost", "upstream.url"),
        ({"self_signed": True}, "an authority that this machine does not trust", "ca_file"),
        ({"days": -1}, "has expired", "this machine's clock"),
    ],
)
async def test_a_wrong_certificate_is_told_with_its_own_remedy(
    authority: Authority, settings: dict[str, object], said: str, remedy: str
) -> None:
    context = authority.context(**settings)  # type: ignore[arg-type]
    async with Recorder(context=context) as upstream:
        head, body = await ask_through(upstream.url, ca_file=str(authority.path))

    assert head.startswith(b"HTTP/1.1 502 ")
    assert code_of(body) == "tls_certificate_error"
    assert said in body.decode()
    assert remedy in body.decode()
    assert upstream.requests == []


async def test_a_machine_without_root_certificates_is_told_as_that(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/roots.pem")
    monkeypatch.setenv("SSL_CERT_DIR", "/nowhere")
    async with Recorder(context=authority.context()) as upstream:
        _, body = await ask_through(upstream.url)

    assert "has no root certificates" in body.decode()


@pytest.mark.parametrize("how", [answer_garbage, hang])
async def test_the_next_address_is_tried_where_one_fails_in_tls(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, how: Script
) -> None:
    settings = {"ca_file": str(authority.path), "connect_timeout": 2}
    loop = asyncio.get_running_loop()
    async with Recorder(context=authority.context()) as upstream:
        async with Recorder(script=how, host="127.0.0.2", port=upstream.port) as broken:

            async def both(host: str, port: int, **_: object) -> list[object]:
                kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
                return [(*kind, ("127.0.0.2", port)), (*kind, ("127.0.0.1", port))]

            monkeypatch.setattr(loop, "getaddrinfo", both)
            async with proxying(upstream, upstream=settings) as proxy:
                head, _ = await proxy.ask(GET)

    assert head.startswith(b"HTTP/1.1 200 OK")
    assert (len(broken.connections), len(upstream.requests)) == (1, 1)


async def test_the_failure_told_is_the_first_address_s(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    async with Recorder(script=answer_garbage) as upstream:

        async def both(host: str, port: int, **_: object) -> list[object]:
            kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
            return [(*kind, ("127.0.0.1", port)), (*kind, ("127.0.0.2", port))]

        monkeypatch.setattr(loop, "getaddrinfo", both)
        _, body = await ask_through(f"https://localhost:{upstream.port}")

    assert code_of(body) == "tls_protocol_error"


async def test_an_authority_that_was_not_added_is_not_trusted(authority: Authority) -> None:
    async with Recorder(context=authority.context()) as upstream:
        _, body = await ask_through(upstream.url)

    assert code_of(body) == "tls_certificate_error"


async def test_no_tls_at_all_on_the_other_side() -> None:
    async with Recorder(script=lambda c: answer_garbage(c)) as upstream:
        _, body = await ask_through(upstream.url.replace("http://127.0.0.1", "https://localhost"))

    assert code_of(body) == "tls_protocol_error"


async def test_old_tls_is_refused(authority: Authority) -> None:
    context = authority.context()
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with Recorder(context=context) as upstream:
        _, body = await ask_through(upstream.url, ca_file=str(authority.path))

    assert code_of(body) in {"tls_protocol_error", "connection_terminated"}


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nContent-"])
async def test_silence_before_the_end_of_the_head(sent: bytes) -> None:
    async def script(connection: RecordedConnection) -> None:
        await connection.request()
        connection.send(sent)
        await silent(connection)

    async with Recorder(script=script) as upstream:
        head, body = await ask_through(upstream.url, response_timeout=0.2)

    assert head.startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")
    assert code_of(body) == "http_response_timeout"


async def test_silence_in_the_body() -> None:
    async def script(connection: RecordedConnection) -> None:
        await connection.request()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await silent(connection)

    limits = {"response_timeout": 0.2}
    async with Recorder(script=script) as upstream:
        async with proxying(upstream, upstream=limits) as proxy, proxy.caller() as caller:
            received = await caller.finish(GET)

    assert received.endswith(b"\r\n\r\nhalf")
    assert proxy.records[0].code == "http_response_timeout"
    assert proxy.records[0].aborted


async def test_interim_answers_do_not_put_the_time_out_off() -> None:
    async def script(connection: RecordedConnection) -> None:
        await connection.request()
        while not connection.ended.is_set():
            connection.send(b"HTTP/1.1 102 Processing\r\n\r\n")
            await asyncio.sleep(0.02)

    limits = {"response_timeout": 0.2}
    async with Recorder(script=script) as upstream, proxying(upstream, upstream=limits) as proxy:
        async with proxy.caller() as caller:
            await caller.send(GET)
            async with asyncio.timeout(5):
                await caller.reader.readuntil(b"http_response_timeout")


async def test_an_upstream_that_takes_no_more_of_the_body_times_out() -> None:
    async def script(connection: RecordedConnection) -> None:
        await connection.head()
        await asyncio.Event().wait()

    limits = {"response_timeout": 0.3}
    request = b"POST /x HTTP/1.1\r\n%bContent-Length: 100000000\r\n\r\n" % HOST
    async with Recorder(script=script) as upstream, proxying(upstream, upstream=limits) as proxy:
        async with proxy.caller() as caller:
            sending = asyncio.ensure_future(caller.send(request + b"x" * 50_000_000))
            head, body = await caller.answer()
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    assert head.startswith(b"HTTP/1.1 504 ")
    assert code_of(body) == "http_response_timeout"


# ── TLS ──


async def test_an_authority_is_added_to_the_systems(authority: Authority) -> None:
    settings = {"ca_file": str(authority.path)}
    async with Recorder(context=authority.context()) as upstream:
        async with proxying(upstream, upstream=settings) as proxy, proxy.caller() as caller:
            for _ in range(3):
                head, body = await caller.ask(GET)

    assert head.startswith(b"HTTP/1.1 200 OK")
    assert body == b"ok"
    assert len(upstream.connections) == 1


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_body_ended_by_close_needs_the_end_of_tls_too(
    authority: Authority, cut: bool, loop: str
) -> None:
    async def script(connection: RecordedConnection) -> None:
        await connection.request()
        connection.send(b"HTTP/1.1 200 OK\r\n\r\nbody")
        await connection.writer.drain()
        if cut:
            connection.writer.transport.abort()
        else:
            connection.close()

    async def ask() -> bytes:
        settings = {"ca_file": str(authority.path)}
        async with Recorder(script=script, context=authority.context()) as upstream:
            async with proxying(upstream, upstream=settings) as proxy, proxy.caller() as caller:
                await caller.send(GET[:-2] + b"Connection: close\r\n\r\n")
                return await caller.rest()

    run = asyncio.run if loop == "asyncio" else pytest.importorskip("uvloop").run
    received = run(ask())

    assert received.endswith(b"0\r\n\r\n") is not cut


async def test_a_connection_is_opened_at_start(authority: Authority) -> None:
    settings = {"ca_file": str(authority.path)}
    async with Recorder(context=authority.context()) as upstream:
        async with proxying(upstream, upstream=settings) as proxy:
            await proxy.upstream.start()
            warm = proxy.upstream.stats()
            await proxy.ask(GET)

    assert (warm.open, warm.idle) == (1, 1)
    assert len(upstream.connections) == 1


async def test_an_upstream_that_is_away_does_not_prevent_the_start(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with proxying(None, upstream={"url": "http://127.0.0.1:9"}) as proxy:
        await proxy.upstream.start()

    assert "connection_refused" in caplog.text


# ── the pool ──


async def test_connections_are_used_again() -> None:
    async with Recorder() as upstream, proxying(upstream) as proxy:
        for _ in range(5):
            await proxy.ask(GET)

        assert (proxy.upstream.stats().open, proxy.upstream.stats().idle) == (1, 1)
    assert len(upstream.connections) == 1


@pytest.mark.parametrize(
    ("request_bytes", "rested", "connections"),
    [
        (GET, FRESH_LIMIT + 1, 1),
        (GET, IDLE_LIMIT + 1, 2),
        (GET, -5, 2),
        (POST, FRESH_LIMIT - 1, 1),
        (POST, FRESH_LIMIT + 1, 2),
    ],
)
async def test_what_may_not_be_repeated_gets_a_fresh_connection(
    request_bytes: bytes, rested: float, connections: int
) -> None:
    async with Recorder() as upstream, proxying(upstream) as proxy:
        await proxy.ask(GET)
        proxy.clock.offset = rested
        await proxy.ask(request_bytes)

    assert len(upstream.connections) == connections


@pytest.mark.parametrize(("rested", "connections"), [(3, 1), (4.5, 2)])
async def test_a_connection_is_kept_no_longer_than_the_upstream_says(
    rested: float, connections: int
) -> None:
    kept = OK.replace(b"\r\n", b"\r\nKeep-Alive: max=9, timeout=5\r\n", 1)
    async with Recorder([kept]) as upstream, proxying(upstream) as proxy:
        await proxy.ask(GET)
        proxy.clock.offset = rested
        await proxy.ask(GET)

    assert len(upstream.connections) == connections


async def test_a_connection_that_rested_too_long_is_closed() -> None:
    limits = {"response_timeout": 0.2}
    async with Recorder() as upstream, proxying(upstream, upstream=limits) as proxy:
        await proxy.ask(GET)
        proxy.clock.offset = IDLE_LIMIT + 1
        await upstream.connections[0].ended.wait()
        while proxy.upstream.stats().open:
            await asyncio.sleep(0)


async def test_a_connection_retires_under_steady_traffic() -> None:
    async with Recorder() as upstream, proxying(upstream) as proxy:
        for rested in range(0, int(AGE_LIMIT) + 90, 30):
            proxy.clock.offset = rested
            await proxy.ask(GET)

    assert len(upstream.connections) == 2


async def test_a_resting_connection_is_watched_over() -> None:
    async with Recorder() as upstream, proxying(upstream) as proxy:
        await proxy.ask(GET)
        (connection,) = proxy.upstream._connections
        assert connection.transport is not None
        raw = connection.transport.get_extra_info("socket")

        assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if sys.platform == "linux":
            idle, between, tries = (
                raw.getsockopt(socket.IPPROTO_TCP, option)
                for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            )
            assert idle + between * tries == DEAD_AFTER


async def test_nobody_waits_longer_than_the_queue_time_out() -> None:
    limits = {"max_connections": 1, "queue_timeout": 0.1}
    async with Recorder(script=silent) as upstream, proxying(upstream, upstream=limits) as proxy:
        async with proxy.caller() as first:
            await first.send(GET)
            while not upstream.connections:
                await asyncio.sleep(0)
            head, body = await proxy.ask(GET)

    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nRetry-After: " in head
    assert code_of(body) == "connection_limit_reached"


async def test_waiting_requests_get_the_one_connection_in_turn() -> None:
    limits = {"max_connections": 1}
    async with Recorder() as upstream, proxying(upstream, upstream=limits) as proxy:
        answers = await asyncio.gather(*(proxy.ask(GET) for _ in range(20)))

    assert all(head.startswith(b"HTTP/1.1 200 OK") for head, _ in answers)
    assert len(upstream.connections) == 1


async def test_a_waiting_request_gets_the_place_of_a_lost_connection() -> None:
    async def script(connection: RecordedConnection) -> None:
        await connection.request()
        connection.send(OK.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
        connection.close()

    limits = {"max_connections": 2}
    async with Recorder(script=script) as upstream, proxying(upstream, upstream=limits) as proxy:
        answers = await asyncio.gather(*(proxy.ask(GET) for _ in range(20)))

    assert all(head.startswith(b"HTTP/1.1 200 OK") for head, _ in answers)
    assert len(upstream.connections) == 20


async def test_a_full_pool_of_old_connections_makes_room_for_a_post() -> None:
    limits = {"max_connections": 1}
    async with Recorder() as upstream, proxying(upstream, upstream=limits) as proxy:
        await proxy.ask(GET)
        proxy.clock.offset = FRESH_LIMIT + 1
        head, _ = await proxy.ask(POST)

    assert head.startswith(b"HTTP/1.1 200 OK")
    assert len(upstream.connections) == 2


async def test_a_caller_that_hangs_up_in_the_queue_gives_up_its_place() -> None:
    limits = {"max_connections": 1}
    release = asyncio.Event()

    async def script(connection: RecordedConnection) -> None:
        while await connection.request() is not None:
            await release.wait()
            connection.send(OK)

    async with Recorder(script=script) as upstream, proxying(upstream, upstream=limits) as proxy:
        async with proxy.caller() as first, proxy.caller() as third:
            await first.send(GET)
            await upstream.next_request()
            async with proxy.caller() as second:
                await second.send(GET)
                while proxy.upstream.stats().waiting < 1:
                    await asyncio.sleep(0)
                await third.send(GET)
                while proxy.upstream.stats().waiting < 2:
                    await asyncio.sleep(0)
            while proxy.upstream.stats().waiting > 1:
                await asyncio.sleep(0)
            release.set()
            await first.answer()
            head, _ = await third.answer()

    assert head.startswith(b"HTTP/1.1 200 OK")
    assert len(upstream.requests) == 2
