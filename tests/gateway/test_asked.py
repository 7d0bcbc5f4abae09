"""Requests to the proxy itself: one is read and answered, whole or as a stream, and no more."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from proxy.errors import Problem
from proxy.messages import Answer, Request, Stream
from tests.support.proxying import HOST, Caller, Harness, proxying

LIVE = b"GET /-/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
EVENTS = LIVE.replace(b"live", b"events")
CANARY = b"tOpSeCrEt"
COMMON = [("Referrer-Policy", "no-referrer"), ("Cache-Control", "no-store")]


def post(body: bytes, *headers: bytes) -> bytes:
    head = [b"POST /-/logout HTTP/1.1", b"Host: localhost", *headers]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


async def in_packets(caller: Caller, *pieces: bytes) -> bytes:
    """Send pieces, each a packet of its own, and read to the end of the connection."""
    async with asyncio.timeout(10):
        for piece in pieces:
            await caller.send(piece)
            await asyncio.sleep(0.01)
        return await caller.rest()


class Pieces:
    """A stream that gives pieces until it is closed, and tells how many were asked for."""

    def __init__(self, piece: bytes = b"piece\n", fails_after: int | None = None) -> None:
        self.piece = piece
        self.fails_after = fails_after
        self.given = 0
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.begun = asyncio.Event()
        self.closed = asyncio.Event()

    async def __call__(self, request: Request) -> Stream:
        return Stream([("Content-Type", "text/event-stream")], self._give())

    async def _give(self) -> AsyncGenerator[bytes, None]:
        try:
            self.begun.set()
            while True:
                await self.may_go_on.wait()
                if self.given == self.fails_after:
                    raise RuntimeError("tOpSeCrEt")
                self.given += 1
                yield self.piece
                await asyncio.sleep(0)
        finally:
            self.closed.set()

    async def end(self) -> None:
        async with asyncio.timeout(10):
            await self.closed.wait()


class Slow:
    """A route that takes until it is let go on."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.may_go_on = asyncio.Event()
        self.ended: str | None = None

    async def __call__(self, request: Request) -> Answer:
        self.begun.set()
        try:
            await self.may_go_on.wait()
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise
        self.ended = "done"
        return Answer(200, [], b"done")


@asynccontextmanager
async def asking(control: Any = None, **options: Any):
    given = {} if control is None else {"control": control}
    async with proxying(None, **given, **options) as proxy:
        yield proxy


# ── one request, and nothing behind it ──


@pytest.mark.parametrize(
    "pieces", [(LIVE + LIVE,), (LIVE, LIVE), (LIVE + b"garbage\x00",), (LIVE[:9], LIVE[9:] + LIVE)]
)
async def test_what_lies_behind_the_request_is_never_parsed(pieces: tuple[bytes, ...]) -> None:
    async with asking() as proxy, proxy.caller() as caller:
        answer = await in_packets(caller, *pieces)

    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nConnection: close\r\n" in answer
    assert proxy.records == []


async def test_it_is_answered_behind_another_request_on_its_connection() -> None:
    async with asking() as proxy, proxy.caller() as caller:
        preflight = LIVE.replace(b"GET /-/live", b"POST /identity/oauth/token")
        answer = await in_packets(caller, preflight + LIVE + LIVE)

    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"400", b"200"]


async def test_a_body_ends_where_its_length_says() -> None:
    body = b"0123456789ab"
    for piece in (body + LIVE, body):
        async with asking() as proxy, proxy.caller() as caller:
            answer = await in_packets(caller, post(piece, b"CONTENT-length:  12 "), LIVE)

        assert answer.count(b"HTTP/1.1 ") == 1
        assert answer.endswith(b"POST /-/logout None\n0123456789ab")


async def test_a_chunked_body_is_read() -> None:
    async with asking() as proxy, proxy.caller() as caller:
        answer = await in_packets(
            caller, post(b"", b"Transfer-Encoding: chunked"), b"5\r\n012", b"34\r\n0\r\n\r\n"
        )

    assert answer.endswith(b"\n01234")


@pytest.mark.parametrize(
    "request_",
    [
        (b"GET /-/ HTTP/1.1\r\nHost: localhost\r\nX: tOpSeCrEt\x00\r\n\r\n",),
        (b"GET /-/?tOpSeCrEt HTTP/1.1\r\nHost: localhost\r\nBad Name: 1\r\n\r\n",),
        (post(b"zz tOpSeCrEt\r\n", b"Transfer-Encoding: chunked"),),
        (post(b"", b"Transfer-Encoding: chunked"), b"zz tOpSeCrEt\r\n\r\n"),
        (post(b"1\r\na tOpSeCrEt\r\n\r\n", b"Transfer-Encoding: chunked"),),
        (post(b"", b"Transfer-Encoding: chunked", b"Content-Length: 5"), b"tOpSeCrEt"),
    ],
)
async def test_nothing_of_a_malformed_request_is_told(
    request_: tuple[bytes, ...], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")

    async with asking() as proxy, proxy.caller() as caller:
        answer = await in_packets(caller, *request_)
    head, _, body = answer.partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["code"] == "bad_request"
    assert b"Proxy-Status: smartrecruiters-proxy;" in head
    assert b"Connection: close" in head
    assert b"Server:" not in head
    assert CANARY not in answer
    assert CANARY.decode() not in caplog.text
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_caller_that_leaves_within_its_body_is_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked = []

    async def control(request: Request) -> Answer:
        asked.append(request)
        return Answer()

    async with asking(control) as proxy:
        async with proxy.caller() as caller:
            await caller.send(post(b"01", b"Content-Length: 5"))
            await until(lambda: proxy.front.in_flight == 1)
        await until(lambda: proxy.front.connections == 0)

    assert asked == []
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


# ── its body ──


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([b"Content-Length: 65537"], b""),
        ([b"Content-Length: 65537", b"Expect: 100-continue"], b""),
        ([b"Content-Length: 999999"], b"x" * 999_999),
        ([b"Transfer-Encoding: chunked"], b"10001\r\n" + b"x" * 65537 + b"\r\n0\r\n\r\n"),
    ],
)
async def test_a_body_of_more_than_64_kib_is_refused_and_not_invited(
    headers: list[bytes], body: bytes
) -> None:
    async with asking(page_headers=COMMON) as proxy, proxy.caller() as caller:
        sending = asyncio.ensure_future(caller.send(post(body, *headers)))
        head, said = await caller.answer()
        await sending

    assert head.startswith(b"HTTP/1.1 413 ")
    assert json.loads(said)["detail"] == "The request body is larger than 64 KiB."
    assert b"\r\nReferrer-Policy: no-referrer\r\n" in head
    assert b"\r\nX-Request-ID: " in head
    assert head.count(b"Cache-Control: ") == 1
    assert proxy.records == []


async def test_a_body_of_64_kib_is_taken_and_invited() -> None:
    async with asking() as proxy, proxy.caller() as caller:
        await caller.send(post(b"", b"Content-Length: 65536", b"Expect: 100-continue"))
        invited = await caller.head()
        answer = await in_packets(caller, b"x" * 65536)

    assert invited == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\n" + b"x" * 65536)


async def test_a_body_that_drips_is_not_waited_for() -> None:
    """A byte now and then keeps no stall time-out busy for long: the whole of it has a time."""
    async with asking(listen={"stall_timeout": 0.4}) as proxy, proxy.caller() as caller:
        await caller.send(post(b"0", b"Content-Length: 5"))
        await until(lambda: proxy.front.in_flight == 1)
        proxy.clock.offset = 10.5
        await caller.send(b"1")
        head, body = await caller.answer()

    assert head.startswith(b"HTTP/1.1 408 ")
    assert "in time" in json.loads(body)["detail"]


# ── a whole answer ──


async def test_the_routes_are_told_who_asks_and_the_raw_target() -> None:
    seen = []

    async def control(request: Request) -> Answer:
        seen.append(request)
        return Answer()

    keys = {"api_keys": [{"name": "ats", "key": "a-key-of-some-length"}]}
    target = b"/-/status?a=%41+b&a=2&c="
    head = b'X-API-Key: a-key-of-some-length\r\nX-SRProxy-Caller: mallory\r\nCookie: a=1; b="2"\r\n'
    async with asking(control, access=keys) as proxy:
        await proxy.ask(b"GET %b HTTP/1.1\r\n%b%b\r\n" % (target, HOST, head))
        await proxy.ask(b"GET http://localhost%b HTTP/1.1\r\n%b%b\r\n" % (target, HOST, head))

    for request in seen:
        assert (request.method, request.target) == ("GET", target.decode())
        assert (request.caller, request.address) == ("ats", "127.0.0.1")
        assert request.query == {"a": "A b", "c": ""}
        assert request.cookies == {"a": "1", "b": "2"}
    assert len(seen) == 2
    assert "a-key-of-some-length" not in repr(seen)


async def test_head_has_the_headers_of_get_and_no_body() -> None:
    async with asking(page_headers=COMMON) as proxy:
        got = await proxy.ask(LIVE.replace(b"\r\n\r\n", b"\r\nX-Request-ID: 7\r\n\r\n"))
        async with proxy.caller() as caller:
            head = await caller.finish(
                LIVE.replace(b"GET", b"HEAD").replace(b"\r\n\r\n", b"\r\nX-Request-ID: 7\r\n\r\n")
            )

    lines = [re.sub(rb"Length: \d+|Date: .*", b"", line) for line in got[0].split(b"\r\n")]
    assert [re.sub(rb"Length: \d+|Date: .*", b"", line) for line in head.split(b"\r\n")] == lines
    assert re.search(rb"\r\nContent-Length: [1-9]", head)


async def test_an_unforeseen_error_says_nothing_of_itself(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def control(request: Request) -> Answer:
        raise RuntimeError("tOpSeCrEt")

    async with asking(control) as proxy:
        head, body = await proxy.ask(LIVE)

    assert head.startswith(b"HTTP/1.1 500 ")
    assert json.loads(body)["code"] == "internal_error"
    assert CANARY not in head + body
    assert "control_route_failed" in caplog.text


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "\ud800"])
async def test_no_header_of_an_answer_becomes_two(value: str) -> None:
    async def control(request: Request) -> Answer:
        return Answer(302, [("Location", value)])

    async with asking(control) as proxy:
        head, _ = await proxy.ask(LIVE)

    assert head.startswith(b"HTTP/1.1 500 ")
    assert b"X-Evil" not in head


async def test_a_problem_is_answered_with_what_every_answer_carries() -> None:
    async def control(request: Request) -> Answer:
        raise Problem("method_not_allowed", "No.", headers=[("Allow", "GET")])

    origin = b"Origin: https://tool.example\r\n"
    access = {"allowed_origins": ["https://tool.example"]}
    async with asking(control, page_headers=COMMON, access=access) as proxy:
        head, body = await proxy.ask(LIVE.replace(HOST, HOST + origin))

    assert head.startswith(b"HTTP/1.1 405 ")
    assert json.loads(body)["code"] == "method_not_allowed"
    for line in (
        b"Allow: GET", b"Connection: close", b"Referrer-Policy: no-referrer",
        b"Cache-Control: no-store", b"Access-Control-Allow-Origin: https://tool.example",
    ):  # fmt: skip
        assert head.count(line + b"\r\n") == 1
    assert head.count(b"Date: ") == head.count(b"X-Request-ID: ") == 1


async def test_who_has_begun_to_answer_is_not_stopped_when_the_caller_hangs_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    slow = Slow()
    async with asking(slow) as proxy:
        async with proxy.caller() as caller:
            await caller.send(LIVE)
            await slow.begun.wait()
        await until(lambda: proxy.front.connections == 0)
        slow.may_go_on.set()
        await until(lambda: slow.ended is not None)

    assert slow.ended == "done"
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_stop_stops_who_has_begun_to_answer() -> None:
    slow = Slow()
    async with asking(slow) as proxy, proxy.caller() as caller:
        await caller.send(LIVE)
        await slow.begun.wait()
        proxy.front.close()

        assert await caller.rest() == b""
        await until(lambda: slow.ended is not None)

    assert slow.ended == "cancelled"


# ── pages ──

NAVIGATION = LIVE.replace(
    b"\r\n\r\n",
    b"\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\nAccept: text/html\r\n\r\n",
)


async def test_a_page_that_cannot_be_rendered_gives_way_to_json(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def control(request: Request) -> Answer:
        raise Problem("not_found", "No such route.")

    async def page(problem: Problem) -> bytes:
        raise ImportError("No module named 'jinja2'")

    async with asking(control, problem_page=page) as proxy:
        head, body = await proxy.ask(NAVIGATION)

    assert head.startswith(b"HTTP/1.1 404 ")
    assert json.loads(body)["code"] == "not_found"
    assert "No module named 'jinja2'" in caplog.text


async def test_others_are_served_while_a_page_is_prepared_and_its_reader_may_leave() -> None:
    prepared = asyncio.Event()
    begun = asyncio.Event()

    async def page(problem: Problem) -> bytes:
        begun.set()
        await prepared.wait()
        return b"<html>"

    async with asking(problem_page=page) as proxy:
        refused = NAVIGATION.replace(b"localhost", b"evil.example").replace(b"live", b"status")
        async with proxy.caller() as one:
            async with proxy.caller() as leaving:
                await one.send(refused)
                await leaving.send(refused)
                await begun.wait()
                head, _ = await proxy.ask(LIVE)
            await until(lambda: proxy.front.connections == 1)
            prepared.set()
            answer, body = await one.answer()

    assert head.startswith(b"HTTP/1.1 200 ")
    assert answer.startswith(b"HTTP/1.1 421 ")
    assert body == b"<html>"
    assert sorted((record.status, record.aborted) for record in proxy.records) == [
        (0, True),
        (421, False),
    ]


# ── a stream ──


async def read_some(caller: Caller, size: int = 200) -> bytes:
    async with asyncio.timeout(10):
        return await caller.reader.readexactly(size)


async def test_a_stream_is_chunked_and_ends_when_its_reader_leaves() -> None:
    pieces = Pieces()
    async with asking(pieces, page_headers=COMMON) as proxy:
        async with proxy.caller() as caller:
            await caller.send(EVENTS)
            head = await caller.head()
            body = await read_some(caller)
        await pieces.end()

    assert b"\r\nTransfer-Encoding: chunked\r\n" in head
    assert b"\r\nConnection: close\r\n" in head
    assert b"\r\nReferrer-Policy: no-referrer\r\n" in head
    assert b"Content-Length" not in head
    assert body.startswith(b"6\r\npiece\n\r\n6\r\npiece\n\r\n")


async def test_a_stream_to_http_1_0_ends_with_its_connection() -> None:
    pieces = Pieces(fails_after=3)
    async with asking(pieces) as proxy, proxy.caller() as caller:
        pieces.may_go_on.clear()
        await caller.send(
            EVENTS.replace(b"1.1", b"1.0").replace(HOST, b"Connection: keep-alive\r\n")
        )
        head = await caller.head()
        pieces.may_go_on.set()
        with pytest.raises(ConnectionResetError):  # it failed: the end must not look like one
            await caller.rest()

    assert b"Transfer-Encoding" not in head
    assert b"\r\nConnection: close\r\n" in head


async def test_head_of_a_stream_asks_for_no_piece() -> None:
    pieces = Pieces()
    async with asking(pieces) as proxy, proxy.caller() as caller:
        answer = await caller.finish(EVENTS.replace(b"GET", b"HEAD"))

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\n")
    assert b"Transfer-Encoding" not in answer
    assert pieces.given == 0


async def test_a_stream_that_fails_midway_never_looks_complete(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with asking(Pieces(fails_after=2)) as proxy, proxy.caller() as caller:
        answer = await caller.finish(EVENTS)

    assert answer.endswith(b"6\r\npiece\n\r\n" * 2)
    assert CANARY not in answer
    assert "control_route_failed" in caplog.text


async def test_a_stream_waits_for_a_reader_that_is_slow_and_cuts_one_that_does_not_read() -> None:
    pieces = Pieces(b"x" * 65536)
    async with asking(pieces, listen={"stall_timeout": 0.4}) as proxy:
        async with proxy.caller() as caller:
            await caller.send(EVENTS)
            given = -1
            while given != pieces.given:
                given = pieces.given
                await asyncio.sleep(0.1)
            (connection,) = proxy.front._connections._connections
            waiting = connection.out._transport.get_write_buffer_size()
            await pieces.end()

            assert waiting <= 262144 + 65536 + 200
            assert pieces.given < 400


async def test_a_stop_ends_a_stream_which_does_not_look_complete() -> None:
    pieces = Pieces()
    async with asking(pieces) as proxy, proxy.caller() as caller:
        await caller.send(EVENTS)
        await pieces.begun.wait()
        pieces.may_go_on.clear()
        proxy.front.close()

        with pytest.raises(ConnectionResetError):
            await caller.rest()
        await pieces.end()


async def test_the_drain_waits_for_an_answer_and_for_no_stream() -> None:
    pieces, slow = Pieces(), Slow()

    async def control(request: Request) -> Answer | Stream:
        return await (pieces(request) if request.path == "/-/events" else slow(request))

    async with asking(control) as proxy, proxy.caller() as reader, proxy.caller() as caller:
        await reader.send(EVENTS)
        await reader.head()
        await caller.send(LIVE)
        await slow.begun.wait()
        draining = asyncio.ensure_future(proxy.front.drain(20))
        await asyncio.sleep(0.05)
        assert not draining.done()
        slow.may_go_on.set()
        async with asyncio.timeout(10):
            assert await draining

        assert not pieces.closed.is_set()
        assert (await caller.rest()).startswith(b"HTTP/1.1 200 ")


async def test_one_who_is_answered_leaves_nothing_behind() -> None:
    async with asking() as proxy:
        for _ in range(3):
            await proxy.ask(LIVE)
        await until(lambda: not _tasks(proxy))


def _tasks(proxy: Harness) -> set[asyncio.Task[None]]:
    return proxy.front._services.tasks
