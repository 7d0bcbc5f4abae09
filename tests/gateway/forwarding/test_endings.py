"""Bodies that break off, callers that hang up, answers that come early, connections used again."""

import asyncio
import re

import pytest

from tests.support.proxying import GET, HOST, proxying
from tests.support.recorder import OK, RecordedConnection, Recorder

UPLOAD = b"POST /x HTTP/1.1\r\n%bContent-Length: 10\r\n\r\n" % HOST
CHUNKED_UPLOAD = b"POST /x HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n" % HOST
EXPECT = b"POST /x HTTP/1.1\r\n%bExpect: 100-continue\r\nContent-Length: 10\r\n\r\n" % HOST
OLD_GET = b"GET /x HTTP/1.0\r\n\r\n"


def then_close(sent: bytes, *, reset: bool = False):
    async def script(connection: RecordedConnection) -> None:
        await connection.request()
        connection.send(sent)
        await connection.writer.drain()
        if reset:
            connection.reset()
        else:
            connection.close()

    return script


# ── an answer that breaks off ──


@pytest.mark.parametrize("reset", [False, True])
async def test_a_short_answer_by_length_stays_short(reset: bool) -> None:
    script = then_close(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", reset=reset)
    async with Recorder(script=script) as upstream, proxying(upstream) as proxy:
        async with proxy.caller() as caller:
            received = await caller.finish(GET)

    assert b"\r\nContent-Length: 10\r\n" in received or received.startswith(b"HTTP/1.1 502 ")
    assert len(received.partition(b"\r\n\r\n")[2]) < 10 or b'"connection_terminated"' in received
    assert proxy.records[0].code == "connection_terminated"


@pytest.mark.parametrize("reset", [False, True])
async def test_a_short_chunked_answer_gets_no_last_chunk(reset: bool) -> None:
    script = then_close(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", reset=reset
    )
    async with Recorder(script=script) as upstream, proxying(upstream) as proxy:
        async with proxy.caller() as caller:
            received = await caller.finish(GET)

    assert b"0\r\n\r\n" not in received
    assert proxy.records[0].aborted or proxy.records[0].status == 502


async def test_a_short_answer_is_reset_where_close_would_make_it_whole() -> None:
    async def script(connection: RecordedConnection) -> None:
        await connection.request()
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        await connection.reader.read(1)  # until the test has seen the half

    async with Recorder(script=script) as upstream, proxying(upstream) as proxy:
        async with proxy.caller() as caller:
            await caller.send(OLD_GET)
            await caller.reader.readuntil(b"half")
            upstream.connections[0].reset()
            with pytest.raises(ConnectionResetError):
                await caller.rest()


async def test_a_reset_of_an_answer_without_length_is_a_reset_for_http_1_0() -> None:
    async def script(connection: RecordedConnection) -> None:
        await connection.request()
        connection.send(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        await connection.reader.read(1)

    async with Recorder(script=script) as upstream, proxying(upstream) as proxy:
        async with proxy.caller() as caller:
            await caller.send(OLD_GET)
            await caller.reader.readuntil(b"half")
            upstream.connections[0].reset()
            with pytest.raises(ConnectionResetError):
                await caller.rest()


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
)
async def test_an_end_before_the_head_is_a_problem(sent: bytes) -> None:
    async with Recorder(script=then_close(sent)) as upstream, proxying(upstream) as proxy:
        async with proxy.caller() as caller:
            await caller.send(b"GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            head, body = await caller.answer()

    assert head.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert b'"code": "connection_terminated"' in body


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.1 200 OK\r\nX: a\rX-I: 1\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\nX-I: 1\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokk",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokk\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 20 Short\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"<html>no HTTP at all</html>",
        b"\x15\x03\x01\x00\x02\x02\x16",
        b"HTTP/1.1 200 OK\r\nNo colon here\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n folded: first\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1001 + b"\r\n",
    ],
)
async def test_a_malformed_answer_is_a_problem_and_its_connection_is_not_used_again(
    sent: bytes,
) -> None:
    async with Recorder([sent, OK]) as upstream, proxying(upstream) as proxy:
        async with proxy.caller() as caller:
            head, body = await caller.ask(GET)
            again, _ = await caller.ask(GET)

    assert head.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert b'"code": "http_protocol_error"' in body
    assert re.search(rb'\r\nProxy-Status: [^\r]*; details="http_protocol_error"\r\n', head)
    assert again.startswith(b"HTTP/1.1 200 OK")
    assert len(upstream.connections) == 2


async def test_a_length_said_twice_alike_reaches_the_caller_once() -> None:
    twice = b"HTTP/1.1 999 Own\r\nContent-Length: 2\r\nA: 1\r\nContent-Length: 2\r\n\r\nok"
    async with Recorder([twice]) as upstream, proxying(upstream) as proxy:
        async with proxy.caller() as caller:
            head, body = await caller.ask(GET)
            await caller.ask(GET)

    assert head.startswith(b"HTTP/1.1 999 Own\r\nContent-Length: 2\r\nA: 1\r\nDate: ")
    assert body == b"ok"
    assert len(upstream.connections) == 1


async def test_folded_lines_of_an_answer_are_joined() -> None:
    sent = b"HTTP/1.1 200 OK\r\nX: a\r\n \t b\r\n\tc\r\nY : z\r\nContent-Length: 0\r\n\r\n"
    async with Recorder([sent]) as upstream, proxying(upstream) as proxy:
        head, _ = await proxy.ask(GET)

    assert head.split(b"\r\n")[1:3] == [b"X: a b c", b"Y: z"]


# ── an answer reaches no other request than its own ──


@pytest.mark.parametrize(
    "extra",
    [OK, b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", b"\r\n", b"x"],
)
async def test_what_arrives_on_an_idle_connection_is_nobodys_answer(extra: bytes) -> None:
    async with Recorder() as upstream, proxying(upstream) as proxy, proxy.caller() as caller:
        await caller.ask(GET)
        upstream.connections[0].send(extra)
        await upstream.connections[0].ended.wait()
        upstream.answers = [OK.replace(b"\r\n\r\nok", b"\r\n\r\nme")]
        _, body = await caller.ask(GET)

    assert body == b"me"
    assert len(upstream.connections) == 2


@pytest.mark.parametrize(
    "sent",
    [
        OK + OK,
        OK + b"x",
        b"HTTP/1.1 204 No Content\r\n\r\nbody",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ],
)
async def test_bytes_after_the_end_of_an_answer_end_its_connection(sent: bytes) -> None:
    async with Recorder([sent, OK]) as upstream, proxying(upstream) as proxy:
        async with proxy.caller() as caller:
            await caller.send(GET)
            await caller.head()
            await caller.send(GET)
            received = await caller.reader.readuntil(b"Date: ")
            while not received.endswith(b"\r\n\r\nok"):
                received += await caller.reader.read(100)

    assert len(upstream.connections) == 2


async def test_a_body_for_head_is_not_relayed() -> None:
    async with Recorder([OK, OK]) as upstream, proxying(upstream) as proxy:
        async with proxy.caller() as caller:
            await caller.send(b"HEAD /x HTTP/1.1\r\n" + HOST + b"\r\n")
            await caller.head()
            head, body = await caller.ask(GET)

    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert body == b"ok"
    assert len(upstream.connections) == 2


# ── a request that breaks off ──


@pytest.mark.parametrize("request_head", [UPLOAD, CHUNKED_UPLOAD])
async def test_an_upload_that_breaks_off_never_looks_complete(request_head: bytes) -> None:
    async with Recorder() as upstream, proxying(upstream) as proxy, proxy.caller() as caller:
        await caller.send(request_head + (b"" if request_head is UPLOAD else b"4\r\n") + b"half")
        await upstream.next_request()
        caller.close()
        connection = upstream.connections[0]
        await connection.ended.wait()

    body = bytes(connection.received).partition(b"\r\n\r\n")[2]
    assert len(body) < 10
    assert b"0\r\n\r\n" not in body
    assert proxy.records[0].aborted


async def test_a_malformed_chunk_later_on_cuts_the_upload() -> None:
    async with Recorder() as upstream, proxying(upstream) as proxy, proxy.caller() as caller:
        await caller.send(CHUNKED_UPLOAD + b"4\r\nhalf\r\n")
        await upstream.next_request()
        received = await caller.finish(b"zz\r\n")
        await upstream.connections[0].ended.wait()

    assert received.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"0\r\n\r\n" not in bytes(upstream.connections[0].received)


@pytest.mark.parametrize("half_close", [False, True])
async def test_a_hang_up_before_the_first_byte_of_the_answer_cancels(half_close: bool) -> None:
    async def script(connection: RecordedConnection) -> None:
        await connection.request()
        await connection.read()

    async with Recorder(script=script) as upstream, proxying(upstream) as proxy:
        async with proxy.caller() as caller:
            await caller.send(GET)
            await upstream.next_request()
            if half_close:
                caller.writer.write_eof()
            else:
                caller.close()
            async with asyncio.timeout(1):
                await upstream.connections[0].ended.wait()

    assert proxy.records[0].aborted
    assert proxy.upstream.stats().open == 0


async def test_a_hang_up_within_the_answer_cancels() -> None:
    async def script(connection: RecordedConnection) -> None:
        await connection.request()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await connection.read()

    async with Recorder(script=script) as upstream, proxying(upstream) as proxy:
        async with proxy.caller() as caller:
            await caller.send(GET)
            await caller.reader.readuntil(b"half")
            caller.close()
            async with asyncio.timeout(1):
                await upstream.connections[0].ended.wait()

    assert proxy.records[0].aborted


# ── Expect, and answers that come before the request is complete ──


async def test_the_callers_go_ahead_is_the_upstreams() -> None:
    async def script(connection: RecordedConnection) -> None:
        request = await connection.head()
        assert request is not None
        connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await connection.body(request)
        connection.send(OK)

    async with Recorder(script=script) as upstream, proxying(upstream) as proxy:
        async with proxy.caller() as caller:
            await caller.send(EXPECT)
            assert await caller.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
            head, _ = await caller.ask(b"0123456789")

    assert upstream.requests[0].values(b"Expect") == [b"100-continue"]
    assert upstream.requests[0].body == b"0123456789"
    assert head.startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("status", [b"417 Expectation Failed", b"413 Content Too Large"])
async def test_a_refusal_reaches_a_caller_that_has_not_sent_its_body(status: bytes) -> None:
    async def script(connection: RecordedConnection) -> None:
        await connection.head()
        connection.send(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\nno")
        await connection.read()

    async with Recorder(script=script) as upstream, proxying(upstream) as proxy:
        async with proxy.caller() as caller:
            received = await caller.finish(EXPECT)
            await upstream.connections[0].ended.wait()

    assert received.startswith(b"HTTP/1.1 " + status)
    assert b"\r\nConnection: close\r\n" in received
    assert received.endswith(b"no")


async def test_a_caller_that_does_not_wait_for_the_go_ahead_is_served() -> None:
    async with Recorder() as upstream, proxying(upstream) as proxy, proxy.caller() as caller:
        head, _ = await caller.ask(EXPECT + b"0123456789")

    assert head.startswith(b"HTTP/1.1 200 OK")
    assert upstream.requests[0].body == b"0123456789"


async def test_an_expectation_of_http_1_0_is_ignored() -> None:
    async with Recorder() as upstream, proxying(upstream) as proxy, proxy.caller() as caller:
        await caller.finish(EXPECT.replace(b"HTTP/1.1", b"HTTP/1.0") + b"0123456789")

    assert upstream.requests[0].values(b"Expect") == []


async def test_an_early_answer_reaches_a_caller_that_goes_on_sending() -> None:
    async def script(connection: RecordedConnection) -> None:
        await connection.head()
        connection.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await connection.read()

    size = 50_000_000
    request = b"POST /x HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n" % (HOST, size)
    async with Recorder(script=script) as upstream, proxying(upstream) as proxy:
        async with proxy.caller() as caller:
            await caller.send(request)
            head, body = await caller.answer()
            await caller.send(b"x" * 5_000_000)
            caller.writer.write_eof()
            rest = await caller.rest()

    assert head.startswith(b"HTTP/1.1 413 Too Large\r\n")
    assert b"\r\nConnection: close\r\n" in head
    assert body == b"no"
    assert rest == b""


async def test_an_early_head_does_not_stop_the_upload() -> None:
    async def script(connection: RecordedConnection) -> None:
        request = await connection.head()
        assert request is not None
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        await connection.body(request)
        connection.send(request.body)

    async with Recorder(script=script) as upstream, proxying(upstream) as proxy:
        async with proxy.caller() as caller:
            await caller.send(UPLOAD)
            await caller.head()
            await caller.send(b"0123456789")
            body = await caller.rest()

    assert body == b"0123456789"
