"""The exchange: credentials, the one repeat after a 401, what may be sent again, what may not."""

import asyncio

import pytest

from proxy.errors import Problem
from tests.support.proxying import GET, HOST, FakeCredentials, bearer, proxying
from tests.support.recorder import OK, RecordedConnection, Recorder

UNAUTHORIZED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 3\r\n\r\nbad"
T2 = bearer(b"T2", 2)


def post(body: bytes) -> bytes:
    return b"POST /x HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n%b" % (HOST, len(body), body)


def chunked(body: bytes) -> bytes:
    return b"POST /x HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (
        HOST,
        len(body),
        body,
    )


# ── without a token nothing goes up ──


async def test_without_a_token_nothing_is_forwarded() -> None:
    credentials = FakeCredentials(
        None, problem=Problem("login_required", "Log in.", reason="never_authorized")
    )
    async with Recorder() as upstream, proxying(upstream, credentials=credentials) as proxy:
        head, body = await proxy.ask(GET)

    assert head.startswith(b"HTTP/1.1 503 ")
    assert b'"login_url": "http://localhost/-/login"' in body
    assert upstream.connections == []


async def test_a_request_waits_for_the_credential_with_its_body() -> None:
    credentials = FakeCredentials(None, wait=asyncio.Event())
    async with Recorder() as upstream, proxying(upstream, credentials=credentials) as proxy:
        async with proxy.caller() as caller:
            await caller.send(post(b"hello"))
            while not credentials.asked:
                await asyncio.sleep(0)
            credentials.value = T2
            assert credentials.wait is not None
            credentials.wait.set()
            await caller.answer()

    assert upstream.requests[0].values(b"Authorization") == [b"Bearer T2"]
    assert upstream.requests[0].body == b"hello"


async def test_a_caller_that_hangs_up_while_waiting_for_the_credential_is_forgotten() -> None:
    credentials = FakeCredentials(None, wait=asyncio.Event())
    async with Recorder() as upstream, proxying(upstream, credentials=credentials) as proxy:
        async with proxy.caller() as caller:
            await caller.send(GET)
            while not credentials.asked:
                await asyncio.sleep(0)
        while not proxy.records:
            await asyncio.sleep(0)

    assert proxy.records[0].aborted
    assert upstream.connections == []


async def test_a_caller_that_is_not_read_from_and_hangs_up_is_noticed_all_the_same() -> None:
    """More of a body than may wait for the credential: reading is paused, and the FIN unseen."""
    credentials = FakeCredentials(None, wait=asyncio.Event())
    body = b"x" * 200_000
    async with (
        Recorder() as upstream,
        proxying(
            upstream,
            credentials=credentials,
            upstream={"max_replay_body": 0},
            listen={"stall_timeout": 30, "header_timeout": 1},
        ) as proxy,
        asyncio.timeout(10),
    ):
        async with proxy.caller() as caller:
            await caller.send(
                b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: 1000000\r\n\r\n" + body
            )
            while not credentials.asked:
                await asyncio.sleep(0)
        while not proxy.records:
            await asyncio.sleep(0.01)

    assert proxy.records[0].aborted
    assert upstream.connections == []


# ── rule 8 of requests ──


@pytest.mark.parametrize(
    "request_bytes", [GET, post(b"hello"), post(b""), chunked(b"hello"), post(b"x" * 65536)]
)
async def test_a_401_is_answered_by_a_refresh_and_the_same_request(request_bytes: bytes) -> None:
    credentials = FakeCredentials(newer=T2)
    async with (
        Recorder([UNAUTHORIZED, OK]) as upstream,
        proxying(upstream, credentials=credentials) as proxy,
    ):
        head, _ = await proxy.ask(request_bytes)

    first, second = upstream.requests
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert credentials.rejections == [1]
    assert second.values(b"Authorization") == [b"Bearer T2"]
    assert (first.lines[0], first.body) == (second.lines[0], second.body)
    assert len(upstream.connections) == 2  # what came meanwhile on the first is nobody's
    assert proxy.records[0].replays == 1


async def test_a_second_401_is_passed_on() -> None:
    credentials = FakeCredentials(newer=T2)
    async with (
        Recorder([UNAUTHORIZED]) as upstream,
        proxying(upstream, credentials=credentials) as proxy,
    ):
        head, body = await proxy.ask(GET)

    assert head.startswith(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 3\r\n")
    assert b"Proxy-Status" not in head
    assert body == b"bad"
    assert credentials.rejections == [1]
    assert len(upstream.requests) == 2


@pytest.mark.parametrize("problem", [None, Problem("token_endpoint_unavailable", "Down.")])
async def test_a_401_without_a_newer_token_is_passed_on_whole(problem: Problem | None) -> None:
    credentials = FakeCredentials(problem=problem)
    async with (
        Recorder([UNAUTHORIZED, OK]) as upstream,
        proxying(upstream, credentials=credentials) as proxy,
        proxy.caller() as caller,
    ):
        head, body = await caller.ask(GET)
        again, _ = await caller.ask(GET)

    assert head.startswith(b"HTTP/1.1 401 ")
    assert body == b"bad"
    assert again.startswith(b"HTTP/1.1 200 OK")
    assert len(upstream.connections) == 2


async def test_a_401_to_a_large_body_is_passed_on_and_the_token_still_reported() -> None:
    credentials = FakeCredentials(newer=T2)
    async with (
        Recorder([UNAUTHORIZED, OK]) as upstream,
        proxying(upstream, credentials=credentials) as proxy,
    ):
        async with proxy.caller() as caller:
            head, _ = await caller.ask(post(b"x" * 65537))
        await proxy.ask(GET)

    assert head.startswith(b"HTTP/1.1 401 ")
    assert credentials.rejections == [1]
    assert upstream.requests[1].values(b"Authorization") == [b"Bearer T2"]


async def test_a_401_before_the_body_was_sent_is_answered_by_the_same_request() -> None:
    async def script(connection: RecordedConnection) -> None:
        while (request := await connection.head()) is not None:
            if request.values(b"Authorization") == [b"Bearer T1"]:
                connection.send(UNAUTHORIZED)
                continue
            connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            await connection.body(request)
            connection.send(OK)

    request = b"POST /x HTTP/1.1\r\n%bExpect: 100-continue\r\nContent-Length: 5\r\n\r\n" % HOST
    credentials = FakeCredentials(newer=T2)
    async with (
        Recorder(script=script) as upstream,
        proxying(upstream, credentials=credentials) as proxy,
        proxy.caller() as caller,
    ):
        await caller.send(request)
        assert await caller.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
        head, _ = await caller.ask(b"hello")

    assert head.startswith(b"HTTP/1.1 200 OK")
    assert upstream.requests[-1].body == b"hello"


async def test_a_401_that_ends_by_close_is_held_and_passed_on_whole() -> None:
    async def script(connection: RecordedConnection) -> None:
        await connection.request()
        connection.send(b"HTTP/1.1 401 Unauthorized\r\n\r\n" + b"b" * 100_000)
        connection.close()

    credentials = FakeCredentials(wait=asyncio.Event())
    async with (
        Recorder(script=script) as upstream,
        proxying(upstream, credentials=credentials) as proxy,
        proxy.caller() as caller,
    ):
        await caller.send(b"GET /x HTTP/1.0\r\n\r\n")
        while not credentials.rejections:
            await asyncio.sleep(0)
        assert credentials.wait is not None
        credentials.wait.set()
        received = await caller.rest()

    assert received.startswith(b"HTTP/1.1 401 ")
    assert received.count(b"b") == 100_000


async def test_a_hang_up_while_the_refresh_runs_cancels_the_request() -> None:
    credentials = FakeCredentials(wait=asyncio.Event())
    async with (
        Recorder([UNAUTHORIZED]) as upstream,
        proxying(upstream, credentials=credentials) as proxy,
    ):
        async with proxy.caller() as caller:
            await caller.send(GET)
            while not credentials.rejections:
                await asyncio.sleep(0)
        await upstream.connections[0].ended.wait()

    assert len(upstream.requests) == 1


# ── rule 9 of requests ──


def drops_the_second(then: bytes = b""):
    """Answer the first request of a connection; drop the connection at the second."""

    async def script(connection: RecordedConnection) -> None:
        await connection.request()
        connection.send(OK)
        await connection.request()
        connection.send(then)
        connection.close()

    return script


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"PUT", b"DELETE", b"OPTIONS"])
async def test_a_stale_connection_costs_an_idempotent_request_nothing(method: bytes) -> None:
    async with Recorder(script=drops_the_second()) as upstream, proxying(upstream) as proxy:
        async with proxy.caller() as caller:
            await caller.ask(GET)
            await caller.send(method + b" /y HTTP/1.1\r\n" + HOST + b"\r\n")
            head = await caller.head()

    assert head.startswith(b"HTTP/1.1 200 OK")
    assert [request.lines[0].split()[0] for request in upstream.requests] == [
        b"GET", method, method,
    ]  # fmt: skip
    assert proxy.records[-1].replays <= 1


@pytest.mark.parametrize("request_bytes", [post(b"hello"), post(b"").replace(b"POST", b"PATCH")])
async def test_a_post_whose_fate_is_unknown_is_never_repeated(request_bytes: bytes) -> None:
    async with Recorder(script=drops_the_second()) as upstream, proxying(upstream) as proxy:
        async with proxy.caller() as caller:
            await caller.ask(GET)
            head, body = await caller.ask(request_bytes)

    assert head.startswith(b"HTTP/1.1 502 ")
    assert b'"code": "connection_terminated"' in body
    assert len(upstream.requests) == 2


async def test_nothing_is_repeated_after_a_byte_of_the_answer() -> None:
    async with Recorder(script=drops_the_second(b"HTTP/1.1 ")) as upstream:
        async with proxying(upstream) as proxy, proxy.caller() as caller:
            await caller.ask(GET)
            head, _ = await caller.ask(GET)

    assert head.startswith(b"HTTP/1.1 502 ")
    assert len(upstream.requests) == 2


async def test_nothing_is_repeated_from_a_new_connection() -> None:
    async def script(connection: RecordedConnection) -> None:
        await connection.request()
        connection.close()

    async with Recorder(script=script) as upstream, proxying(upstream) as proxy:
        head, _ = await proxy.ask(GET)

    assert head.startswith(b"HTTP/1.1 502 ")
    assert len(upstream.requests) == 1


async def test_a_body_too_large_to_keep_is_not_repeated() -> None:
    request = post(b"x" * 70_000).replace(b"POST", b"PUT")
    async with Recorder(script=drops_the_second()) as upstream, proxying(upstream) as proxy:
        async with proxy.caller() as caller:
            await caller.ask(GET)
            head, _ = await caller.ask(request)

    assert head.startswith(b"HTTP/1.1 502 ")
    assert len(upstream.requests) == 2


async def test_a_connection_closed_while_idle_costs_a_post_nothing() -> None:
    async def script(connection: RecordedConnection) -> None:
        await connection.request()
        connection.send(OK)
        await connection.writer.drain()
        connection.close()

    async with Recorder(script=script) as upstream, proxying(upstream) as proxy:
        async with proxy.caller() as caller:
            await caller.ask(GET)
            await upstream.connections[0].writer.wait_closed()
            head, _ = await caller.ask(post(b"hello"))

    assert head.startswith(b"HTTP/1.1 200 OK")
    assert len(upstream.requests) == 2


# ── and not in circles ──


async def test_a_request_that_comes_back_is_a_loop() -> None:
    async with Recorder() as upstream, proxying(upstream) as proxy:
        await proxy.ask(GET)
        mark = upstream.requests[0].values(b"X-SRProxy-Instance")[0]
        head, body = await proxy.ask(
            b"GET /x HTTP/1.1\r\n%bX-SRProxy-Instance: other, %b\r\n\r\n" % (HOST, mark)
        )

    assert head.startswith(b"HTTP/1.1 508 Loop Detected\r\n")
    assert b'"code": "loop_detected"' in body
    assert len(upstream.requests) == 1
