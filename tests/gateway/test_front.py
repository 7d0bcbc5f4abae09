"""The callers' side: what is refused, time-outs, limits, the drain, control connections."""

import asyncio
import socket
from pathlib import Path

import pytest

from proxy.config import Config
from proxy.errors import Problem
from proxy.gateway.front import CallerConnection
from proxy.gateway.front.connection import SURELY_LEAVES
from proxy.gateway.guards import Guards
from tests.support.proxying import GET, HOST, FakeCredentials, Harness, proxying
from tests.support.recorder import OK, RecordedConnection, Recorder

POST = b"POST /x HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
CANARY = b"GET /canary HTTP/1.1\r\n" + HOST + b"\r\n"
LIMITS = {"header_timeout": 0.2, "idle_timeout": 0.2, "stall_timeout": 0.2}


async def silent(connection: RecordedConnection) -> None:
    """Take everything, answer nothing."""
    while await connection.read():
        pass


# ── what cannot be read in exactly one way ──

MALFORMED = [
    POST + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX",
    POST + b"transfer-ENCODING: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nX",
    POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    POST + b"Content-Length: 5, 5\r\n\r\nhello",
    *(
        POST + b"Content-Length: " + value + b"\r\n\r\nhello"
        for value in (
            b"+5", b"-0", b"1_0", b"0x5", b"", b"5;", b"\xd9\xa5", b"18446744073709551616",
            b"99999999999999999999", b"005", b"00", b"0200",
        )
    ),
    *(
        POST + b"Transfer-Encoding: " + value + b"\r\n\r\n0\r\n\r\n"
        for value in (
            b"xchunked", b"chunked, identity", b"chunked,", b",chunked", b'"chunked"', b"gzip",
            b"chunked\r\nTransfer-Encoding: x", b"\x0bchunked", b"chunked\x00", b"\xa0chunked", b"",
        )
    ),
    POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    POST + b"Transfer-Encoding:\r\nContent-Length: 5\r\n\r\nhello",
    b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"GET /x HTTP/1.1\n" + HOST + b"\r\n",
    b"GET /x HTTP/1.1\r\nHost: localhost\n\r\n",
    b"GET /x HTTP/1.1\r\nHost: localhost\r\n\n",
    CHUNKED + b"5\nhello\r\n0\r\n\r\n",
    CHUNKED + b"5\r\nhello\n0\r\n\r\n",
    CHUNKED + b"5\r\nhello\r\n0\r\nX: y\n\r\n",
    b"GET /x HTTP/1.1\r\n" + HOST + b"X: a\rTransfer-Encoding: chunked\r\n\r\n",
    b"GET /x HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n",
    b"GET /x HTTP/1.1\r\n X: a\r\n" + HOST + b"\r\n",
    *(
        b"GET /x HTTP/1.1\r\n" + HOST + line + b"\r\n\r\n"
        for line in (
            b"X: a\0b", b"X: a\x01b", b"X: \x7f", b"X\0: a", b"X : a", b"X", b": a", b"X\x80: a",
            b"X\x0b: a", b"X(: a", b"X a: b", b"",
        )
        if line
    ),
    *(
        CHUNKED + line
        for line in (
            b"-1\r\n",
            b"+1\r\nx\r\n0\r\n\r\n", b"0x1\r\nx\r\n0\r\n\r\n", b"1_0\r\n", b" 1\r\nx\r\n",
            b"1 \r\nx\r\n", b"\r\n", b"11111111111111111\r\n", b"5\rX\r\n", b"5;a=\"\n\"\r\n",
            b"5;\n", b"5\r\nhello0\r\n\r\n", b"5\r\nhelloXX", b"5;" + b"x" * 65536,
            b"0\r\n" + b"X: y\r\n" * 5000 + b"\r\n", b"0\r\nX y\r\n\r\n", b"0\r\nX: a\0\r\n\r\n",
        )
    ),
    *(
        line + b"\r\n" + HOST + b"\r\n"
        for line in (
            b"GET /x HTTP/2.0", b"GET /x HTTP/1.9", b"GET /x HTTP/0.9", b"GET /x HTTP/1.1 x",
            b"GET /x", b"GET  /x HTTP/1.1", b"GET /x  HTTP/1.1", b"GET\t/x HTTP/1.1",
            b"GET /x http/1.1",
            b" GET /x HTTP/1.1", b"GET HTTP/1.1", b"G(T /x HTTP/1.1", b"GET /a b HTTP/1.1",
            b"GET /x\0 HTTP/1.1", b"GET /caf\xe9 HTTP/1.1", b"GET x HTTP/1.1", b"GET ?q HTTP/1.1",
            b"GET @evil/x HTTP/1.1", b"GET /x#y HTTP/1.1", b"GET /x\\y HTTP/1.1",
            b"OPTIONS * HTTP/1.1",
            b"GET /a/../b HTTP/1.1", b"GET /a/%2e%2E/b HTTP/1.1",
        )
    ),
    b"GET /x HTTP/1.1\r\n\r\n",
    b"GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"\0\0\0\0",
    b"GET /x HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
]  # fmt: skip


@pytest.mark.parametrize("request_bytes", MALFORMED)
async def test_a_malformed_request_is_refused_closed_and_nothing_behind_it_served(
    request_bytes: bytes,
) -> None:
    async with Recorder() as upstream, proxying(upstream) as proxy, proxy.caller() as caller:
        received = await caller.finish(request_bytes + CANARY)

    assert received.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 ", b"HTTP/1.1 414 "))
    assert received.count(b"HTTP/1.1 4") == 1
    assert b"\r\nConnection: close\r\n" in received
    assert not any(b"canary" in request.head for request in upstream.requests)
    # What had come of a body when the fault in it came is broken off, and looks it.
    for connection in upstream.connections:
        assert b"\r\n0\r\n\r\n" not in bytes(connection.received)


@pytest.mark.parametrize("method", [b"TRACE", b"TRACK", b"CONNECT"])
async def test_methods_that_would_echo_or_tunnel_are_refused(method: bytes) -> None:
    async with Recorder() as upstream, proxying(upstream) as proxy:
        head, _ = await proxy.ask(method + b" /x HTTP/1.1\r\n" + HOST + b"\r\n")

    assert head.startswith(b"HTTP/1.1 405 Method Not Allowed\r\n")
    assert b"\r\nAllow: " in head
    assert upstream.connections == []


async def test_nothing_of_a_request_is_repeated_in_its_refusal() -> None:
    async with Recorder() as upstream, proxying(upstream) as proxy:
        _, body = await proxy.ask(
            b"GET /secretpath HTTP/1.1\r\n" + HOST + b"X-Api-Key: topsecret\0v\r\n\r\n"
        )

    assert b"secret" not in body


async def test_the_target_may_be_too_long_and_so_may_the_head() -> None:
    limits = {"max_head_size": 4096}
    async with Recorder() as upstream, proxying(upstream, listen=limits) as proxy:
        fits, _ = await proxy.ask(b"GET /" + b"x" * 3900 + b" HTTP/1.1\r\n" + HOST + b"\r\n")
        target, _ = await proxy.ask(b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\n" + HOST + b"\r\n")
        head, body = await proxy.ask(GET[:-2] + b"X: " + b"y" * 5000 + b"\r\n\r\n")
        many, _ = await proxy.ask(GET[:-2] + b"a:\r\n" * 1001 + b"\r\n")

    assert fits.startswith(b"HTTP/1.1 200 ")
    assert target.startswith(b"HTTP/1.1 414 ")
    assert head.startswith(b"HTTP/1.1 431 ")
    assert b'"code": "head_too_large"' in body
    assert many.startswith(b"HTTP/1.1 431 ")


async def test_a_head_that_never_ends_is_refused_at_the_limit() -> None:
    async with Recorder() as upstream, proxying(upstream) as proxy, proxy.caller() as caller:
        await caller.send(b"GET /" + b"x" * 70_000)
        head, _ = await caller.answer()

    assert head.startswith(b"HTTP/1.1 414 ")


# ── time-outs and limits ──


@pytest.mark.parametrize("part", [b"G", b"GET /x HTTP/1.1\r\nHost: local"])
async def test_a_head_that_does_not_come_in_time_is_refused(part: bytes) -> None:
    async with Recorder() as upstream, proxying(upstream, listen=LIMITS) as proxy:
        async with proxy.caller() as caller:
            received = await caller.finish(part)

    assert received.startswith(b"HTTP/1.1 408 Request Timeout\r\n")


async def test_a_connection_that_rests_too_long_is_closed_in_silence() -> None:
    async with Recorder() as upstream, proxying(upstream, listen=LIMITS) as proxy:
        async with proxy.caller() as fresh, proxy.caller() as used:
            await used.ask(GET)

            assert await used.rest() == b""
            assert await fresh.rest() == b""


@pytest.mark.parametrize("part", [POST + b"Content-Length: 9\r\n\r\nhalf", CHUNKED + b"4\r\nhal"])
async def test_a_body_that_stops_coming_is_cut(part: bytes) -> None:
    async with Recorder(script=silent) as upstream, proxying(upstream, listen=LIMITS) as proxy:
        async with proxy.caller() as caller:
            received = await caller.finish(part)
            await upstream.connections[0].ended.wait()

    assert received.startswith(b"HTTP/1.1 408 Request Timeout\r\n")


async def test_a_call_with_the_headers_of_the_one_before_is_guarded_like_any_other() -> None:
    key = {"name": "reader", "key": "k" * 24, "allow": ["GET,POST /jobs/*"]}
    fields = b" HTTP/1.1\r\nHost: localhost\r\nX-API-Key: %b\r\n\r\n" % (b"k" * 24)
    calls = {
        b"GET /jobs/1": 200, b"GET /jobs/2?x": 200, b"GET /users": 403, b"POST /jobs/2": 200,
        b"GET /jobs//2": 403, b"GET /jobs/3": 200, b"GET /identity/oauth/x": 403,
    }  # fmt: skip
    async with Recorder() as upstream, proxying(upstream, access={"api_keys": [key]}) as proxy:
        for call, status in calls.items():
            async with proxy.caller() as caller:
                await caller.ask(b"GET /jobs/0" + fields)
                head, _ = await caller.ask(call + fields)
            assert int(head.split()[1]) == status, call
        async with proxy.caller() as caller:
            await caller.ask(b"GET /jobs/0" + fields)
            oauth = {"client_id": "id", "client_secret": "c" * 16}
            other = {**key, "key": "o" * 24}
            renewed = Config.build({"oauth": oauth, "access": {"api_keys": [other]}})
            proxy.in_force.guards = Guards(renewed)
            refused, _ = await caller.ask(b"GET /jobs/1" + fields)

    assert refused.startswith(b"HTTP/1.1 401 ")
    assert {record.caller for record in proxy.records[:-1]} == {"reader"}


async def test_waiting_for_the_go_ahead_is_no_stall() -> None:
    async def script(connection: RecordedConnection) -> None:
        request = await connection.head()
        await asyncio.sleep(0.6)  # the time-out itself is what is tested here
        connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert request is not None
        await connection.body(request)
        connection.send(OK)

    async with Recorder(script=script) as upstream, proxying(upstream, listen=LIMITS) as proxy:
        async with proxy.caller() as caller:
            await caller.send(POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
            await caller.head()
            head, _ = await caller.ask(b"hi")

    assert head.startswith(b"HTTP/1.1 200 OK")


async def test_a_caller_that_does_not_read_is_broken_off() -> None:
    async def script(connection: RecordedConnection) -> None:
        await connection.request()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while not connection.ended.is_set():
            connection.send(b"x" * 65536)
            try:
                await connection.writer.drain()
            except ConnectionError:
                connection.ended.set()

    async with Recorder(script=script) as upstream, proxying(upstream, listen=LIMITS) as proxy:
        raw = socket.create_connection(("127.0.0.1", proxy.port))
        with raw:
            raw.sendall(GET)
            async with asyncio.timeout(10):
                await upstream.next_request()
                await upstream.connections[0].ended.wait()

    assert proxy.records[0].aborted


async def test_a_resting_connection_gives_its_place_to_a_new_one() -> None:
    limits = {"max_connections": 2}
    async with Recorder() as upstream, proxying(upstream, listen=limits) as proxy:
        async with proxy.caller() as longest, proxy.caller() as recent:
            await longest.ask(GET)
            await recent.ask(GET)
            async with proxy.caller() as third:
                served, _ = await third.ask(GET)
                assert await longest.rest() == b""
                again, _ = await recent.ask(GET)

    assert served.startswith(b"HTTP/1.1 200 ")
    assert again.startswith(b"HTTP/1.1 200 ")


async def test_one_caller_too_many_at_work_is_told_so_and_the_others_go_on() -> None:
    release = asyncio.Event()

    async def script(connection: RecordedConnection) -> None:
        while await connection.request() is not None:
            await release.wait()
            connection.send(OK)

    limits = {"max_connections": 2}
    async with Recorder(script=script) as upstream, proxying(upstream, listen=limits) as proxy:
        async with proxy.caller() as first, proxy.caller() as second:
            await first.send(GET)
            await second.send(GET)
            while proxy.front.in_flight < 2:
                await asyncio.sleep(0)
            async with proxy.caller() as third:
                received = await third.finish(GET)
            live, _ = await proxy.ask(b"GET /-/live HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n")
            release.set()
            answers = [await first.answer(), await second.answer()]
        while proxy.front.connections:
            await asyncio.sleep(0)
        again, _ = await proxy.ask(GET)

    assert received.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nRetry-After: 1\r\n" in received
    assert b'"code": "connection_limit_reached"' in received
    assert live.startswith(b"HTTP/1.1 200 ")
    assert all(head.startswith(b"HTTP/1.1 200 ") for head, _ in answers)
    assert again.startswith(b"HTTP/1.1 200 ")


async def test_empty_lines_before_a_request_cost_nothing_however_they_are_cut() -> None:
    async with Recorder() as upstream, proxying(upstream) as proxy, proxy.caller() as caller:
        await caller.send(b"\r\n" * 100_000)
        for piece in (b"\r", b"\n\r", b"\n"):
            await caller.send(piece)
            await asyncio.sleep(0.01)  # each in a packet of its own
        head, _ = await caller.ask(GET)

    assert head.startswith(b"HTTP/1.1 200 ")


async def test_what_is_pipelined_waits_for_answers_to_be_read() -> None:
    """Answers that nobody reads were piled up, 67 MiB of them."""
    big = b"HTTP/1.1 200 OK\r\nContent-Length: 65536\r\n\r\n" + b"x" * 65536
    async with Recorder([big]) as upstream, proxying(upstream) as proxy:
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(("127.0.0.1", proxy.port))
        raw.setblocking(False)
        with raw:
            loop = asyncio.get_running_loop()
            sending = asyncio.ensure_future(loop.sock_sendall(raw, GET * 20_000))
            served = -1
            while served != len(upstream.requests):
                served = len(upstream.requests)
                await asyncio.sleep(0.3)
            connection = next(iter(proxy.front._connections._connections))
            assert isinstance(connection, CallerConnection)
            waiting = len(connection.pipelined)
            unwritten = connection._transport.get_write_buffer_size()
            sending.cancel()

    # One answer, and what of the one before it was still taken for sent.
    assert unwritten <= 65536 + 200 + SURELY_LEAVES
    assert waiting <= 65536 + 262144  # the limit, and one read
    assert served < 200  # what the kernel's buffers took of their answers


async def test_one_who_pipelines_lets_others_have_their_turn() -> None:
    async with Recorder() as upstream, proxying(upstream) as proxy:
        async with proxy.caller() as many, proxy.caller() as one:
            refused = b"GET /identity/oauth HTTP/1.1\r\n" + HOST + b"\r\n"
            dry = GET.replace(b"GET", b"OPTIONS")
            await many.send((dry + GET) * 500)
            head, _ = await one.ask(GET)
            closed, _ = await proxy.ask(refused)

    assert head.startswith(b"HTTP/1.1 200 ")
    assert closed.startswith(b"HTTP/1.1 403 ")


# ── control connections, the second listener ──


async def test_a_control_request_is_answered_and_its_connection_never_forwards() -> None:
    async with Recorder() as upstream, proxying(upstream) as proxy, proxy.caller() as caller:
        request = b"GET /-/status HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n"
        received = await caller.finish(request + GET)

    assert received.endswith(b"\r\n\r\nGET /-/status None\n")
    assert received.count(b"\r\nConnection: close\r\n") == 1
    assert upstream.connections == []


async def test_control_routes_stand_behind_the_guards() -> None:
    async with Recorder() as upstream, proxying(upstream) as proxy:
        head, _ = await proxy.ask(b"GET /-/status HTTP/1.1\r\nHost: evil.example\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 421 ")


@pytest.mark.parametrize(
    ("target", "status"),
    [(b"/-/live", 200), (b"/-/ready", 200), (b"/-/metrics", 200), (b"/-/", 404), (b"/x", 404)],
)
async def test_the_listener_for_probes_serves_nothing_else(target: bytes, status: int) -> None:
    async with Recorder() as upstream, proxying(upstream, probes_only=True) as proxy:
        head, _ = await proxy.ask(b"GET %b HTTP/1.1\r\n%b\r\n" % (target, HOST))

    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert upstream.connections == []


async def test_what_was_admitted_holds_for_the_same_request_alone() -> None:
    """The guards are not asked again for a repeated head; another target is another matter."""
    elsewhere = GET.replace(b"/x", b"/y")
    access = {"allow": ["GET /x"]}
    async with Recorder() as upstream, proxying(upstream, access=access) as proxy:
        async with proxy.caller() as caller:
            heads = [(await caller.ask(GET))[0] for _ in range(3)]
            refused = await caller.finish(elsewhere)

    assert all(head.startswith(b"HTTP/1.1 200 ") for head in heads)
    assert refused.startswith(b"HTTP/1.1 403 ")
    assert len(upstream.requests) == 3


async def test_a_repeated_request_is_not_forwarded_once_the_proxy_stops() -> None:
    async with Recorder() as upstream, proxying(upstream) as proxy, proxy.caller() as caller:
        await caller.ask(GET)
        proxy.front._connections.draining = proxy.front._connections.retiring = True
        refused = await caller.finish(GET)

    assert refused.startswith(b"HTTP/1.1 503 ")
    assert len(upstream.requests) == 1


# ── answers of our own ──

NAVIGATION = (
    b"GET /x HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Mode: navigate\r\n"
    b"Sec-Fetch-Dest: document\r\nSec-Fetch-Site: none\r\nAccept: text/html,*/*\r\n\r\n"
)


async def page(problem: Problem) -> bytes:
    return b"<html>" + problem.code.encode()


async def test_a_person_in_a_browser_gets_a_page() -> None:
    credentials = FakeCredentials(None, problem=Problem("login_required", "Log in."))
    async with (
        Recorder() as upstream,
        proxying(upstream, credentials=credentials, problem_page=page) as proxy,
    ):
        head, body = await proxy.ask(NAVIGATION)
        plain, _ = await proxy.ask(GET)

    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nContent-Type: text/html; charset=utf-8\r\n" in head
    assert b"\r\nProxy-Status: " in head
    assert body == b"<html>login_required"
    assert b"\r\nContent-Type: application/problem+json\r\n" in plain


@pytest.mark.parametrize("given", [b"X-Request-ID: my-42\r\n", b""])
async def test_a_problem_returns_the_requests_id(given: bytes) -> None:
    async with Recorder() as upstream, proxying(upstream) as proxy:
        head, _ = await proxy.ask(b"GET /../x HTTP/1.1\r\n" + HOST + given + b"\r\n")

    assert head.count(b"X-Request-ID: ") == 1
    if given:
        assert b"X-Request-ID: my-42" in head


async def test_a_problem_for_head_has_no_body() -> None:
    credentials = FakeCredentials(None, problem=Problem("login_required", "Log in."))
    async with Recorder() as upstream, proxying(upstream, credentials=credentials) as proxy:
        async with proxy.caller() as caller:
            await caller.send(b"HEAD /x HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
            received = await caller.rest()

    assert received.startswith(b"HTTP/1.1 503 ")
    assert received.endswith(b"\r\n\r\n")
    assert b"\r\nContent-Length: 0\r\n" not in received


async def test_an_allowed_origin_gets_its_cors_headers_in_place_of_the_upstreams() -> None:
    access = {"allowed_origins": ["https://tool.example"]}
    sent = OK.replace(b"\r\n", b"\r\nAccess-Control-Allow-Origin: *\r\nVary: Accept\r\n", 1)
    async with Recorder([sent]) as upstream, proxying(upstream, access=access) as proxy:
        origin = b"Origin: https://tool.example\r\n"
        head, _ = await proxy.ask(GET[:-2] + origin + b"\r\n")
        preflight, _ = await proxy.ask(
            b"OPTIONS /x HTTP/1.1\r\n%b%bAccess-Control-Request-Method: PUT\r\n\r\n"
            % (HOST, origin)
        )

    lines = head.split(b"\r\n")
    assert b"Access-Control-Allow-Origin: https://tool.example" in lines
    assert b"Access-Control-Allow-Origin: *" not in lines
    assert b"Vary: Accept" in lines
    assert preflight.startswith(b"HTTP/1.1 204 No Content\r\n")
    assert len(upstream.requests) == 1


# ── the drain ──


async def ask_slowly(proxy: Harness, answered: asyncio.Event) -> bytes:
    async with proxy.caller() as caller:
        await caller.send(GET)
        received = await caller.rest()
        answered.set()
        return received


async def test_a_drain_lets_requests_finish_and_refuses_new_ones() -> None:
    release = asyncio.Event()

    async def script(connection: RecordedConnection) -> None:
        await connection.request()
        await release.wait()
        connection.send(OK)

    answered = asyncio.Event()
    async with Recorder(script=script) as upstream, proxying(upstream) as proxy:
        async with proxy.caller() as idle, proxy.caller() as waiting:
            await idle.send(b"G")  # half a head is no request
            under_way = asyncio.ensure_future(ask_slowly(proxy, answered))
            await upstream.next_request()
            assert proxy.front.in_flight == 1
            draining = asyncio.ensure_future(proxy.front.drain(10))
            assert await waiting.rest() == b""
            refused, _ = await proxy.ask(GET)
            release.set()
            received = await under_way

            assert await draining

    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"shutting_down" in refused
    assert received.startswith(b"HTTP/1.1 200 OK")
    assert b"\r\nConnection: close\r\n" in received


async def test_a_drain_ends_at_its_time_out_and_close_breaks_off_the_rest() -> None:
    async with Recorder(script=silent) as upstream, proxying(upstream) as proxy:
        async with proxy.caller() as caller:
            await caller.send(GET)
            while not upstream.connections:
                await asyncio.sleep(0)
            assert not await proxy.front.drain(0.05)
            proxy.front.close()

            assert await caller.rest() == b""
        await upstream.connections[0].ended.wait()

    assert proxy.records[0].aborted


# ── answers that have not left ──

BIG = b"HTTP/1.1 200 OK\r\nContent-Length: 16000000\r\n\r\n" + b"x" * 16_000_000


def unread_caller(port: int) -> socket.socket:
    """Connect with a small window, so that what is not read stays with the proxy."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.connect(("127.0.0.1", port))
    raw.setblocking(False)
    return raw


async def read_all(raw: socket.socket) -> bytes:
    loop = asyncio.get_running_loop()
    data = bytearray()
    while piece := await loop.sock_recv(raw, 1 << 20):
        data += piece
    return bytes(data)


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
async def test_an_answer_that_closes_waits_for_a_caller_that_pauses(version: bytes) -> None:
    """It was cut five seconds after its end, and logged as whole."""
    request = b"GET /x HTTP/%b\r\n%bConnection: close\r\n\r\n" % (version, HOST)
    async with Recorder([BIG]) as upstream, proxying(upstream) as proxy:
        with unread_caller(proxy.port) as raw:
            raw.send(request)
            await asyncio.sleep(0.5)
            proxy.clock.offset += 20  # past every time-out but stall_timeout
            await asyncio.sleep(1.2)  # a sweep
            received = await read_all(raw)
        while not proxy.records:
            await asyncio.sleep(0)

    assert received.endswith(b"x" * 100)
    assert len(received) > 16_000_000
    assert not proxy.records[0].aborted
    assert proxy.records[0].bytes_out == 16_000_000


async def test_a_drain_waits_until_what_is_written_has_left() -> None:
    answer = BIG.replace(b"16000000", b"8000000")[:-8_000_000]
    async with Recorder([answer]) as upstream, proxying(upstream) as proxy:
        with unread_caller(proxy.port) as raw:
            raw.send(GET)
            await asyncio.sleep(0.5)
            draining = asyncio.ensure_future(proxy.front.drain(20))
            await asyncio.sleep(0.2)
            assert not draining.done()
            reading = asyncio.ensure_future(read_all(raw))

            assert await draining
            proxy.front.close()
            received = await reading

    assert received.endswith(b"x" * 100)
    assert not proxy.records[0].aborted


async def test_what_a_drain_cuts_is_reset_and_logged_as_aborted_with_what_left() -> None:
    async with Recorder([BIG]) as upstream, proxying(upstream) as proxy:
        with unread_caller(proxy.port) as raw:
            raw.send(GET)
            await asyncio.sleep(0.5)
            assert not await proxy.front.drain(0.1)
            assert proxy.front.in_flight == 1
            proxy.front.close()
            with pytest.raises(ConnectionResetError):
                await read_all(raw)

    assert proxy.records[0].aborted
    assert proxy.records[0].bytes_out < 16_000_000


# ── keys that are guessed ──


ASK = b"POST /identity/oauth/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 12\r\n"


@pytest.mark.parametrize(
    "wrong",
    [
        GET[:-2] + b"X-API-Key: nonsense\r\n\r\n",
        ASK + b"Authorization: Basic YTpub25zZW5zZQ==\r\n\r\ngrant_type=x",
    ],
)
async def test_after_ten_wrong_keys_each_further_one_is_answered_a_second_late(wrong) -> None:
    access = {"api_keys": [{"name": "tool", "key": "k" * 24}]}
    right = GET[:-2] + b"X-API-Key: " + b"k" * 24 + b"\r\n\r\n"
    loop = asyncio.get_running_loop()
    async with Recorder() as upstream, proxying(upstream, access=access) as proxy:
        for _ in range(10):
            head, _ = await proxy.ask(wrong)
        start = loop.time()
        late, _ = await proxy.ask(wrong)
        took = loop.time() - start
        served, _ = await proxy.ask(right)
        start = loop.time()
        proxy.clock.offset += 61
        await proxy.ask(wrong)
        again = loop.time() - start

    assert head.startswith(b"HTTP/1.1 401 ")
    assert late.startswith(b"HTTP/1.1 401 ")
    assert took >= 1
    assert again < 0.9
    assert served.startswith(b"HTTP/1.1 200 ")
    assert proxy.records[0].client == "127.0.0.1"


# ── over the Unix socket ──


@pytest.mark.parametrize(
    "host", [b"", b"anything.example", b"%2Frun%2Fproxy.sock", b"unix", b"[::1]"]
)
async def test_over_the_unix_socket_any_well_formed_or_empty_host_is_ours(
    host: bytes, tmp_path: Path
) -> None:
    socket_path = str(tmp_path / "s")
    async with Recorder() as upstream, proxying(upstream) as proxy:
        server = await asyncio.get_running_loop().create_unix_server(proxy.front, socket_path)
        reader, writer = await asyncio.open_unix_connection(socket_path)
        writer.write(b"GET /x HTTP/1.1\r\nHost: %b\r\n\r\n" % host)
        head = await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()
        reader, writer = await asyncio.open_unix_connection(socket_path)
        writer.write(b"GET /x HTTP/1.1\r\nHost: a b\r\n\r\n")
        malformed = await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()
        server.close()

    assert head.startswith(b"HTTP/1.1 200 ")
    assert malformed.startswith(b"HTTP/1.1 400 ")
    assert proxy.records[0].client is None


async def test_raw_bytes_in_the_query_reach_the_upstream_as_they_came() -> None:
    target = b"/candidates?q=M\xc3\xbcller\\&l=\xfc&e=%41+"
    async with Recorder() as upstream, proxying(upstream) as proxy:
        head, _ = await proxy.ask(GET.replace(b"/x", target))

    assert head.startswith(b"HTTP/1.1 200 ")
    assert upstream.requests[0].head.startswith(b"GET " + target + b" HTTP/1.1\r\n")


async def test_a_call_is_served_by_the_account_that_it_names() -> None:
    other = {"oauth": {"client_id": "other", "client_secret": "d" * 16}}
    async with Recorder() as upstream, proxying(upstream, accounts={"acme": other}) as proxy:
        head, _ = await proxy.ask(GET[:-2] + b"X-SRProxy-Account: acme\r\n\r\n")
        unknown, body = await proxy.ask(GET[:-2] + b"X-SRProxy-Account: nobody\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 200 ")
    assert upstream.requests[0].values(b"X-SRProxy-Account") == []
    assert proxy.records[0].account == "acme"
    assert unknown.startswith(b"HTTP/1.1 404 ")
    assert b'"code": "unknown_account"' in body
