"""One request of a caller's, from its head to the end of its answer: the Inbound of an exchange."""

from typing import Final

from proxy.errors import Problem
from proxy.gateway.forward import Exchange, Framing
from proxy.gateway.front.asked import Asked
from proxy.gateway.front.caller_side import CallerSide
from proxy.gateway.front.here import Here, dry_run, token
from proxy.gateway.front.own_answers import OwnAnswers
from proxy.gateway.front.records import begin_record
from proxy.gateway.front.services import Services
from proxy.gateway.guards import Guards, Route, WrongKey
from proxy.gateway.http1 import (
    BodyDecoder,
    ChunkedDecoder,
    Headers,
    LengthDecoder,
    RequestHead,
)
from proxy.telemetry.audit import audit

# Bound once: before Python 3.12 each look-up of an enum's member costs a function call.
FORWARD: Final = Route.FORWARD
TOKEN: Final = Route.TOKEN
BY_CHUNKS: Final = Framing.CHUNKED
BY_CLOSE: Final = Framing.CLOSE


class InboundRequest(OwnAnswers):
    """The request under way on a connection; without a head, what could not be read as one."""

    __slots__ = ("_body_paused", "_decoder", "_moved_at", "_started_at", "_takes_body", "ended_at")

    def __init__(self, services: Services, caller: CallerSide, head: RequestHead | None) -> None:
        self._services = services
        self._caller = caller
        self._out = caller.out
        self._out.begin()
        self.head = head
        self.ended_at = 0.0
        self.closes = False
        self.is_endless = False
        self._admission = None
        self._exchange = None
        self._record = None
        self._late = None
        self._decoder: BodyDecoder | None = None  # while the body is incomplete
        self._takes_body = False
        self._body_paused = False
        self._started_at = self._moved_at = services.clock.monotonic()

    @property
    def awaits_body(self) -> bool:
        """Return whether what comes next belongs to this request."""
        return self._decoder is not None

    @property
    def is_unread(self) -> bool:
        """Return whether something of the request may still come."""
        head = self.head
        return (
            self._decoder is not None
            or head is None
            or (not self._takes_body and (head.chunked or bool(head.content_length)))
        )

    # ── called by the connection ──

    def forward(
        self, guards: Guards, head: RequestHead, rest: bytes, *, is_checked: bool = False
    ) -> None:
        """Guard the request and send it on; `rest` is what came behind its head.

        `is_checked`: the very same head was let in before by the same guards.
        """
        caller = self._caller
        record = self._record = begin_record(self._services, caller.peer, head)
        admission = caller.admission
        if caller.is_draining:
            text = "The proxy is stopping. Nothing was forwarded; try again."
            self._refuse_unread(Problem("shutting_down", text))
            return
        try:
            if admission is None:
                self._services.forwarder.check_loop(head)
                admission = guards.check(head, FORWARD, caller.peer)
            elif not is_checked:
                guards.check_again(head, caller.peer, admission)
        except Problem as problem:
            self._refuse_unread(problem)
            return
        self._admission = admission
        record.caller = admission.caller or caller.peer.name
        if head.method == b"OPTIONS" and (preflight := guards.preflight(head)) is not None:
            self._answer_preflight(head, preflight, rest)
            return
        record.account = admission.account
        if guards.is_dry_run(head.method):
            forwarder = self._services.forwarder
            self._serve(head, rest, dry_run(self, head, forwarder, admission, record))
            return
        caller.admission = admission
        forwarder = self._services.forwarder
        exchange = Exchange(forwarder, self, head, admission, record, caller.prepared)
        self._serve(head, rest, exchange)
        self._services.traffic.catch_up()

    def give_token(self, guards: Guards, head: RequestHead, rest: bytes) -> None:
        """Answer a tool that asks for a token itself (rule 4 of requests)."""
        record = self._record = begin_record(self._services, self._caller.peer, head)
        try:
            guards.check(head, TOKEN, self._caller.peer)
        except Problem as problem:
            self._refuse_unread(problem)
            return
        limit = self._services.forwarder.max_replay_body
        self._serve(head, rest, token(self, head, guards, limit, record, self._delay))

    def ask(self, guards: Guards, head: RequestHead, rest: bytes, route: Route) -> None:
        """Have the control routes answer; what might be smuggled behind it is never parsed."""
        services, peer = self._services, self._caller.peer
        try:
            admission = self._admission = guards.check(head, route, peer)
        except Problem as problem:
            self.turn_away(problem)
            return
        self.closes = True
        who = admission.caller or peer.name
        control, tasks, now = services.control, services.tasks, self._started_at
        self._serve(head, rest, Asked(self, head, peer, who, control, tasks, now=now))

    def turn_away(self, problem: Problem) -> None:
        """Refuse a request that was not for the upstream, or what is no request at all."""
        self._record = begin_record(self._services, self._caller.peer, self.head)
        self._refuse_unread(problem)

    def take_body(self, data: bytes) -> None:
        """Decode bytes of the request's body, and of what comes behind it."""
        decoder, exchange = self._decoder, self._exchange
        if decoder is None or exchange is None:
            return
        self._moved_at = self._services.clock.monotonic()
        try:
            piece = decoder.feed(data)
        except Problem as problem:
            self._cancel(problem)
            return
        if piece:
            if self._record is not None:
                self._record.bytes_in += len(piece)
            exchange.upload.feed(piece)
        if decoder.finished and self._exchange is not None:
            self._decoder = None
            self._caller.pipelined = decoder.excess
            exchange.upload.end(decoder.trailers)

    def caller_full(self) -> None:
        """Note that the caller reads more slowly than it is written to."""
        if self._exchange is not None:
            self._exchange.caller_full()

    def caller_ready(self) -> None:
        """Note that the caller reads again."""
        if self._exchange is not None:
            self._exchange.caller_ready()

    def check_stall(self, now: float) -> None:
        """Cut a body of which nothing has come for too long, unless it is held up by us."""
        exchange = self._exchange
        if exchange is None:
            return
        exchange.look(now)
        if exchange.awaits_caller and now - self._moved_at > self._services.listen.stall_timeout:
            self._cancel(
                Problem(
                    "bad_request",
                    "Nothing of the request's body came for listen.stall_timeout. What the "
                    "upstream had of it was broken off.",
                    status=408,
                )
            )

    def give_up(self, *, reset: bool = False) -> None:
        """End without the end of an answer: the caller is gone, or does not read."""
        if self._exchange is not None:
            self._exchange.hang_up()
        self._break_off(reset=reset)

    def left(self) -> None:
        """Note that the answer has been written to its end."""
        self._end_record(aborted=False)

    # ── the Inbound of an exchange ──

    def send_interim(self, head: bytes) -> None:
        """Pass a 1xx on."""
        self._out.interim(head)

    def send_head(self, lines: list[bytes], framing: Framing) -> None:
        """Queue the head of the answer."""
        # With a body still to come the connection is not to be kept: it may never come.
        if framing is BY_CLOSE or self._decoder is not None or not self._may_be_kept():
            self.closes = True
        if framing is BY_CHUNKS:
            lines.append(b"Transfer-Encoding: chunked")
        self._out.head(self._whole(lines, b""), framing)
        if self._caller.write_paused and self._exchange is not None:
            self._exchange.caller_full()

    def send(self, data: bytes) -> None:
        """Queue a piece of the answer's body."""
        if self._record is not None:
            self._record.bytes_out += len(data)
        self._out.send(data)

    def flush(self) -> None:
        """Write what is queued."""
        self._out.flush()

    def end(self, trailers: Headers) -> None:
        """Write the answer's end."""
        self._out.end(trailers)
        self._settle()

    def send_whole(self, lines: list[bytes], body: bytes) -> None:
        """Write a whole answer, framed by its length."""
        self.closes = self._decoder is not None or not self._may_be_kept()
        if self._record is not None:
            self._record.bytes_out = len(body)
        self._out.whole(self._whole(lines, body))
        self._settle()

    def abort(self, problem: Problem) -> None:
        """Break off an answer under way."""
        if not self._out.has_left:
            # The caller can still be answered in full.
            self._out.drop()
            self.refuse(problem)
            return
        if self._record is not None:
            self._record.code = problem.code
        self._break_off()

    def pause_body(self) -> None:
        """Read no more of the body for now."""
        if not self._body_paused:
            self._body_paused = True
            self._caller.pause_reading()

    def resume_body(self) -> None:
        """Read on."""
        if self._body_paused:
            self._body_paused = False
            self._moved_at = self._services.clock.monotonic()
            self._caller.resume_reading()

    # ── within ──

    def _end_record(self, *, aborted: bool) -> None:
        record, self._record = self._record, None
        self.ended_at = self._services.clock.monotonic()
        self._exchange = None
        if record is not None:
            record.duration = self.ended_at - self._started_at
            record.aborted = aborted
            self._services.traffic.finished(record)

    def _serve(self, head: RequestHead, rest: bytes, exchange: Exchange | Here) -> None:
        """Have the request served, its body fed as it comes."""
        self._exchange = exchange
        if head.chunked or head.content_length:
            self._decoder = (
                ChunkedDecoder() if head.chunked else LengthDecoder(head.content_length or 0)
            )
            self._takes_body = True
            if rest:
                self.take_body(rest)
                if self._is_over():
                    return
        else:
            self._caller.pipelined = rest
        exchange.start()

    def _is_over(self) -> bool:
        # A method of its own: mypyc assumes that an attribute keeps, across a call, the value that
        # was assigned before it.
        return self._exchange is None

    def _refuse_unread(self, problem: Problem) -> None:
        """Refuse what a guard does not let in, or nobody can read; what follows is not read."""
        self.closes = True
        if self._record is not None:
            self._record.caller = problem.caller
        delay = 0.0
        if isinstance(problem, WrongKey):
            delay = self._delay()
        if delay:
            self._call_late(delay, lambda: self.refuse(problem))
        else:
            self.refuse(problem)

    def _delay(self) -> float:
        """Count a wrong key; return after how many seconds it is to be answered."""
        services, address = self._services, self._caller.peer.address
        audit("key_refused", None, address, "unauthorized")
        return services.wrong_keys.delay(address, services.clock.monotonic())

    def _cancel(self, problem: Problem) -> None:
        """End for a fault of the caller's, answered as far as that is still possible."""
        exchange = self._exchange
        self.closes = True
        if exchange is None:
            return
        was_told = exchange.head_sent
        exchange.hang_up()
        if was_told:
            self.abort(problem)
        else:
            self.refuse(problem)

    def _break_off(self, *, reset: bool = False) -> None:
        if self._late is not None:
            self._late.cancel()
        if self._record is not None:
            self._record.bytes_out = max(0, self._record.bytes_out - self._out.unsent())
        self._end_record(aborted=True)
        self._decoder = None
        self._out.break_off(reset=reset)
        self._caller.broken_off()
