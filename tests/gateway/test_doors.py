"""The doors of an exchange: what holds it back, changes its answer, or looks at it."""

import asyncio
from collections.abc import Mapping

import pytest

from proxy.errors import Problem
from proxy.gateway.limits import Waiter
from tests.support.proxying import GET, HOST, FakeCredentials, proxying
from tests.support.recorder import OK, RecordedConnection, Recorder

BUSY = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 4\r\n\r\nbusy"
SPLIT_BUSY = b"HTTP/1.1 429 Too Many Requests\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbusy\r\n"
JSON = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
POST = b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\nhi"


class FakeTicket:
    """A ticket that a test lets through by hand."""

    def __init__(self, *, free: bool, resends: int) -> None:
        self.held = 0.0
        self.told: list[str] = []
        self.waiter: Waiter
        self._free = free
        self._resends = resends

    def enter(self, waiter: Waiter) -> bool:
        self.waiter = waiter
        return self._free

    def sent(self) -> None:
        self.told.append("sent")

    def answered(self, fields: Mapping[bytes, bytes]) -> None:
        self.told.append("answered")

    def resend_in(self, status: int, fields: Mapping[bytes, bytes]) -> float | None:
        self._resends -= 1
        return 0.0 if self._resends >= 0 else None

    def again(self, wait: float) -> None:
        self.told.append("again")
        self.waiter.admitted()

    def over(self) -> None:
        self.told.append("over")


class FakeGate:
    def __init__(self, *, free: bool = True, resends: int = 0) -> None:
        self.tickets: list[FakeTicket] = []
        self.asked: list[tuple[str, str, bytes, bytes, str | None]] = []
        self._free, self._resends = free, resends

    def ticket(
        self, account: str, operation: str, method: bytes, target: bytes, caller: str | None
    ) -> FakeTicket:
        self.asked.append((account, operation, method, target, caller))
        self.tickets.append(FakeTicket(free=self._free, resends=self._resends))
        return self.tickets[-1]


class Shouting:
    """A transform that makes a body longer."""

    def head(self, lines: list[bytes]) -> list[bytes]:
        assert b"content-length" not in b"\n".join(lines).lower()
        return [line.replace(b"text/plain", b"text/loud") for line in lines]

    def data(self, data: bytes) -> bytes:
        return data.upper()

    def end(self) -> bytes:
        return b"!!"


class Watching:
    def __init__(self) -> None:
        self.seen: list[tuple[str, object]] = []

    def sent(self, data: bytes) -> None:
        self.seen.append(("sent", data))

    def head(self, head) -> None:
        self.seen.append(("head", head.status))

    def data(self, data: bytes) -> None:
        self.seen.append(("data", data))

    def end(self, *, complete: bool) -> None:
        self.seen.append(("end", complete))


# ── the gate ──


async def test_a_request_that_may_not_go_yet_is_held_with_its_body() -> None:
    gate = FakeGate(free=False)
    async with Recorder() as upstream, proxying(upstream, gate=gate) as proxy:
        async with proxy.caller() as caller:
            await caller.send(POST.replace(b"/x", b"/jobs/7?a=b"))
            while not gate.tickets:
                await asyncio.sleep(0)
            assert upstream.connections == []
            gate.tickets[0].held = 1.5
            gate.tickets[0].waiter.admitted()
            head, _ = await caller.answer()

    assert head.startswith(b"HTTP/1.1 200 ")
    assert gate.asked == [("default", "other", b"POST", b"/jobs/7", None)]
    assert gate.tickets[0].told == ["sent", "answered", "over"]
    assert proxy.records[0].held == 1.5


async def test_a_request_that_was_held_for_too_long_is_refused_and_its_ticket_over() -> None:
    gate = FakeGate(free=False)
    async with Recorder() as upstream, proxying(upstream, gate=gate) as proxy:
        async with proxy.caller() as caller:
            await caller.send(GET)
            while not gate.tickets:
                await asyncio.sleep(0)
            problem = Problem("rate_limited", "Too long.", retry_after=3)
            gate.tickets[0].waiter.refused(problem)
            head, _ = await caller.answer()

    assert head.startswith(b"HTTP/1.1 429 ")
    assert gate.tickets[0].told == ["over"]
    assert upstream.connections == []


async def test_a_held_request_whose_caller_hangs_up_gives_its_ticket_back() -> None:
    gate = FakeGate(free=False)
    async with Recorder() as upstream, proxying(upstream, gate=gate) as proxy:
        async with proxy.caller() as caller:
            await caller.send(GET)
            while not gate.tickets:
                await asyncio.sleep(0)
            gate.tickets[0].held = 1.5
        while "over" not in gate.tickets[0].told:
            await asyncio.sleep(0)

    assert gate.tickets[0].told == ["over"]
    assert (proxy.records[0].aborted, proxy.records[0].held) == (True, 1.5)


async def test_a_held_request_that_fails_unforeseen_is_answered(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gate = FakeGate(free=False)
    async with Recorder() as upstream, proxying(upstream, gate=gate) as proxy:
        async with proxy.caller() as caller:
            await caller.send(GET)
            while not gate.tickets:
                await asyncio.sleep(0)
            monkeypatch.setattr(gate.tickets[0], "sent", lambda: 1 / 0)
            gate.tickets[0].waiter.admitted()
            head, body = await caller.answer()

    assert head.startswith(b"HTTP/1.1 500 ")
    assert b"internal_error" in body
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("busy", [[BUSY], [SPLIT_BUSY, b"0\r\n\r\n"]], ids=["whole", "in pieces"])
async def test_a_429_is_waited_out_and_sent_again_whatever_the_method(busy: list[bytes]) -> None:
    async def script(connection: RecordedConnection) -> None:
        await connection.request()
        for piece in busy:
            connection.send(piece)
            await asyncio.sleep(0.01)
        await connection.request()
        connection.send(OK)

    gate = FakeGate(resends=1)
    async with Recorder(script=script) as upstream, proxying(upstream, gate=gate) as proxy:
        head, _ = await proxy.ask(POST)

    assert head.startswith(b"HTTP/1.1 200 ")
    assert [request.body for request in upstream.requests] == [b"hi", b"hi"]
    assert gate.tickets[0].told == ["sent", "answered", "again", "sent", "answered", "over"]
    assert proxy.records[0].replays == 1


async def test_a_429_that_is_not_waited_out_is_passed_on_with_a_retry_after() -> None:
    async with Recorder([BUSY]) as upstream, proxying(upstream, gate=FakeGate()) as proxy:
        head, body = await proxy.ask(GET)

    assert head.startswith(b"HTTP/1.1 429 ")
    assert b"\r\nRetry-After: 1\r\n" in head
    assert b"Proxy-Status" not in head
    assert body == b"busy"


async def test_without_a_credential_the_ticket_is_given_back() -> None:
    gate = FakeGate()
    credentials = FakeCredentials(None, problem=Problem("login_required", "Log in."))
    async with Recorder() as upstream:
        async with proxying(upstream, gate=gate, credentials=credentials) as proxy:
            await proxy.ask(GET)

    assert gate.tickets[0].told == ["over"]


# ── transforms and taps ──


@pytest.mark.parametrize("pieces", [[JSON], [JSON[:-5], b"he", b"llo"]], ids=["whole", "pieces"])
async def test_a_transform_changes_the_body_and_its_framing(pieces: list[bytes]) -> None:
    async def script(connection: RecordedConnection) -> None:
        await connection.request()
        for piece in pieces:
            connection.send(piece)
            await asyncio.sleep(0.01)

    asked = []

    def transform_for(request, answer, origin):
        asked.append((request.target, answer.status, origin()))
        return Shouting()

    async with Recorder(script=script) as upstream:
        async with proxying(upstream, transform_for=transform_for) as proxy:
            head, body = await proxy.ask(GET)

    assert asked == [(b"/x", 200, b"http://localhost")]
    assert b"\r\nContent-Type: text/loud\r\n" in head
    if len(pieces) == 1:
        assert b"\r\nContent-Length: 7\r\n" in head
        assert body == b"HELLO!!"
    else:
        assert b"\r\nTransfer-Encoding: chunked\r\n" in head
        assert body.replace(b"\r\n", b"").endswith(b"!!0")


@pytest.mark.parametrize("transform_for", [None, lambda *_: None], ids=["without", "with"])
async def test_with_a_transform_no_encoded_body_is_asked_for(transform_for) -> None:
    asking = GET.replace(b"\r\n\r\n", b"\r\nAccept-Encoding: gzip\r\n\r\n")
    async with Recorder() as upstream:
        async with proxying(upstream, transform_for=transform_for) as proxy:
            await proxy.ask(asking)

    assert (b"Accept-Encoding" in upstream.requests[0].head) is (transform_for is None)


async def test_a_transform_of_an_answer_without_a_body_gets_none() -> None:
    async with Recorder([JSON[:-5]]) as upstream:
        async with proxying(upstream, transform_for=lambda *_: Shouting()) as proxy:
            async with proxy.caller() as caller:
                await caller.send(
                    GET.replace(b"GET", b"HEAD").replace(
                        b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"
                    )
                )
                received = await caller.rest()

    assert received.endswith(b"\r\n\r\n")


async def test_a_tap_sees_both_bodies_and_the_end() -> None:
    tap = Watching()
    async with Recorder([JSON]) as upstream:
        async with proxying(upstream, tap_for=lambda *_: tap) as proxy:
            await proxy.ask(POST)

    assert tap.seen == [("sent", b"hi"), ("head", 200), ("data", b"hello"), ("end", True)]


async def test_a_tap_sees_that_an_answer_broke_off() -> None:
    tap = Watching()
    sent = JSON.replace(b"Length: 5", b"Length: 50")
    async with Recorder([sent]) as upstream:
        async with proxying(upstream, tap_for=lambda *_: tap) as proxy, proxy.caller() as caller:
            await caller.send(GET)
            await caller.head()
            upstream.connections[0].writer.close()
            await caller.rest()

    assert tap.seen[-1] == ("end", False)
    assert [what for what, _ in tap.seen].count("end") == 1


# ── a go-ahead that never comes ──


async def test_a_caller_that_waits_in_vain_for_100_continue_is_told_to_go_on() -> None:
    async def script(connection: RecordedConnection) -> None:
        head = await connection.head()
        assert head is not None
        await connection.body(head)
        connection.send(b"HTTP/1.1 100 Continue\r\n\r\n" + OK)

    async with Recorder(script=script) as upstream, proxying(upstream) as proxy:
        async with proxy.caller() as caller:
            await caller.send(POST[:-4].replace(b"POST", b"PUT") + b"Expect: 100-continue\r\n\r\n")
            while not upstream.connections:
                await asyncio.sleep(0)
            proxy.clock.offset += 2.0
            assert await caller.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
            head, _ = await caller.ask(b"hi")

    assert head.startswith(b"HTTP/1.1 200 ")
