"""Interim answers, trailers, HTTP/1.0 on either side, pipelining."""

import asyncio

from tests.support.proxying import GET, HOST, Harness, proxying
from tests.support.recorder import RecordedConnection, Recorder


def get(target: bytes) -> bytes:
    return b"GET %b HTTP/1.1\r\n%b\r\n" % (target, HOST)


def answer(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


async def test_interim_answers_reach_a_caller_of_http_1_1() -> None:
    sent = (
        b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n" * 2
        + b"HTTP/1.1 102 Processing\r\nConnection: x\r\n\r\n"
        + answer(b"ok")
    )
    async with Recorder([sent]) as upstream, proxying(upstream) as proxy:
        async with proxy.caller() as caller:
            await caller.send(GET)
            hints = [await caller.head() for _ in range(3)]
            head, body = await caller.answer()

    assert hints[:2] == [b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"] * 2
    assert hints[2] == b"HTTP/1.1 102 Processing\r\n\r\n"
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert body == b"ok"


async def test_interim_answers_do_not_reach_a_caller_of_http_1_0() -> None:
    sent = b"HTTP/1.1 103 Early Hints\r\n\r\n" + answer(b"ok")
    async with Recorder([sent]) as upstream, proxying(upstream) as proxy:
        async with proxy.caller() as caller:
            received = await caller.finish(b"GET /x HTTP/1.0\r\n\r\n")

    assert received.startswith(b"HTTP/1.1 200 OK\r\n")


async def test_a_hundred_interim_answers_are_no_hang() -> None:
    sent = b"HTTP/1.1 102 Processing\r\n\r\n" * 100 + answer(b"ok")
    async with Recorder([sent]) as upstream, proxying(upstream) as proxy:
        async with proxy.caller() as caller:
            await caller.send(GET)
            heads = [await caller.head() for _ in range(101)]

    assert heads[-1].startswith(b"HTTP/1.1 200 OK\r\n")


async def test_answer_trailers_reach_a_caller_of_http_1_1() -> None:
    sent = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
        b"2\r\nok\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\n\r\n"
    )
    async with Recorder([sent]) as upstream, proxying(upstream) as proxy:
        async with proxy.caller() as caller:
            await caller.send(GET)
            head = await caller.head()
            body = await caller.reader.readuntil(b"X-Sum: 1\r\n\r\n")

    assert b"Trailer: X-Sum" in head.split(b"\r\n")
    assert body == b"2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n"


async def test_trailers_that_cannot_be_passed_on_are_not_announced() -> None:
    sent = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
        b"2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n"
    )
    async with Recorder([sent]) as upstream, proxying(upstream) as proxy:
        async with proxy.caller() as caller:
            received = await caller.finish(b"GET /x HTTP/1.0\r\n\r\n")

    assert b"Trailer" not in received
    assert received.endswith(b"\r\n\r\nok")


async def test_an_answer_ended_by_close_is_chunked_for_http_1_1() -> None:
    sent = b"HTTP/1.0 200 OK\r\nX-Old: 1\r\nConnection: close\r\n\r\nsome body"
    async with Recorder([sent]) as upstream, proxying(upstream) as proxy:
        async with proxy.caller() as caller:
            head, body = await caller.ask(GET)
            again, _ = await caller.ask(GET)

    assert b"Transfer-Encoding: chunked" in head.split(b"\r\n")
    assert body == b"9\r\nsome body\r\n0\r\n\r\n"
    assert again.startswith(b"HTTP/1.1 200 OK")


async def test_http_1_0_without_keep_alive_is_closed_after_the_answer() -> None:
    async with Recorder([answer(b"ok")]) as upstream, proxying(upstream) as proxy:
        async with proxy.caller() as caller:
            received = await caller.finish(b"GET /x HTTP/1.0\r\n\r\n")

    assert b"\r\nConnection: close\r\n" in received
    assert received.endswith(b"\r\n\r\nok")


async def test_http_1_0_with_keep_alive_is_kept() -> None:
    request = b"GET /x HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"
    async with Recorder([answer(b"ok")]) as upstream, proxying(upstream) as proxy:
        async with proxy.caller() as caller:
            first, _ = await caller.ask(request)
            second, body = await caller.ask(request)

    assert b"\r\nConnection: keep-alive\r\n" in first
    assert b"\r\nConnection: keep-alive\r\n" in second
    assert body == b"ok"


async def test_a_chunked_answer_ends_by_close_for_http_1_0_even_with_keep_alive() -> None:
    sent = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    async with Recorder([sent]) as upstream, proxying(upstream) as proxy:
        async with proxy.caller() as caller:
            received = await caller.finish(b"GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")

    assert b"\r\nConnection: close\r\n" in received
    assert b"Transfer-Encoding" not in received
    assert received.endswith(b"\r\n\r\nok")


async def test_an_upstream_of_http_1_0_with_a_length_is_used_once() -> None:
    sent = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"
    async with Recorder([sent]) as upstream, proxying(upstream) as proxy:
        async with proxy.caller() as caller:
            await caller.ask(GET)
            _, body = await caller.ask(GET)

    assert body == b"ok"
    assert len(upstream.connections) == 2


async def test_pipelined_requests_are_answered_in_order() -> None:
    async def script(connection: RecordedConnection) -> None:
        while (request := await connection.request()) is not None:
            connection.send(answer(request.lines[0].split()[1]))

    async with Recorder(script=script) as upstream, proxying(upstream) as proxy:
        async with proxy.caller() as caller:
            await caller.send(b"".join(get(b"/%d" % n) for n in range(50)))
            bodies = [(await caller.answer())[1] for _ in range(50)]

    assert bodies == [b"/%d" % n for n in range(50)]


async def test_a_flood_of_pipelined_requests_is_held_back_by_the_connection() -> None:
    count = 2000

    async def flood(proxy: Harness) -> None:
        async with proxy.caller() as caller:
            sending = asyncio.ensure_future(caller.send(get(b"/x") * count))
            for _ in range(count):
                await caller.answer()
            await sending

    async with Recorder() as upstream, proxying(upstream) as proxy:
        await flood(proxy)

    assert len(upstream.requests) == count
