"""One request of a caller's, from its head to the end of its answer: the Inbound of an exchange."""

from typing import TYPE_CHECKING, Protocol

from proxy.errors import Problem
from proxy.gateway.forward import Exchange, Framing
from proxy.gateway.front.answers import build_preflight_answer, build_problem_answer, origin_of
from proxy.gateway.front.outgoing import Outgoing
from proxy.gateway.guards import Admission, Route
from proxy.gateway.http1 import (
    BodyDecoder,
    ChunkedDecoder,
    Headers,
    LengthDecoder,
    RequestHead,
)
from proxy.smartrecruiters.operations import match
from proxy.telemetry.traffic import RequestRecord

if TYPE_CHECKING:
    from proxy.gateway.front.front import Front


# Bound once: before Python 3.12 each look-up of an enum's member costs a function call.
FORWARD = Route.FORWARD
BY_CHUNKS, BY_CLOSE = Framing.CHUNKED, Framing.CLOSE


class Host(Protocol):
    """The connection that a request came on."""

    front: "Front"
    out: Outgoing
    ahead: bytes
    admission: Admission | None
    local_ip: str | None
    write_paused: bool

    def socket_name(self) -> object: ...
    def write_interim(self, data: bytes) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...

    def answered(self, request: "InboundRequest") -> None:
        """Hear that the answer is written to its end."""
        ...

    def broken_off(self) -> None:
        """Hear that the answer was broken off and the connection closed."""
        ...


class InboundRequest:
    """The request under way on a connection; without a head, what could not be read as one."""

    __slots__ = (
        "_admission", "_body_paused", "_connection", "_decoder", "_exchange", "_front", "_moved_at",
        "_out", "_record", "_started_at", "_takes_body", "closes", "ended_at",
        "head",
    )  # fmt: skip

    def __init__(self, connection: Host, head: RequestHead | None) -> None:
        self._connection = connection
        self._front = connection.front
        self._out = connection.out
        self._out.begin()
        self.head = head
        self.ended_at = 0.0
        self.closes = False  # this answer is the connection's last
        self._admission: Admission | None = None
        self._exchange: Exchange | None = None
        self._record: RequestRecord | None = None
        self._decoder: BodyDecoder | None = None  # while the body is incomplete
        self._takes_body = False
        self._body_paused = False
        self._started_at = self._moved_at = self._front.clock.monotonic()

    @property
    def awaits_body(self) -> bool:
        """Tell whether what comes next belongs to this request."""
        return self._decoder is not None

    @property
    def is_unread(self) -> bool:
        """Tell whether something of the request may still come."""
        head = self.head
        return (
            self._decoder is not None
            or head is None
            or (not self._takes_body and (head.chunked or bool(head.content_length)))
        )

    # ── what the connection tells ──

    def forward(self, head: RequestHead, rest: bytes) -> None:
        """Guard the request and send it on; `rest` is what came behind its head."""
        front = self._front
        record = self._begin_record(head)
        admission = self._connection.admission
        try:
            front.check_open()
            if admission is None:
                front.forwarder.check_loop(head)
                admission = front.guards.check(head, FORWARD, self._connection.local_ip)
        except Problem as problem:
            self.refuse_unread(problem)
            return
        self._admission = admission
        record.caller = admission.caller
        record.account = admission.account
        operation = match(record.method, head.target.partition(b"?")[0].decode("latin-1"))
        if operation is not None:
            record.operation = operation.name
        if head.method == b"OPTIONS" and (preflight := front.guards.preflight(head)) is not None:
            self._answer_preflight(head, preflight, rest)
            return
        self._connection.admission = admission
        exchange = self._exchange = Exchange(front.forwarder, self, head, admission, record)
        if head.chunked or head.content_length:
            self._decoder = (
                ChunkedDecoder() if head.chunked else LengthDecoder(head.content_length or 0)
            )
            self._takes_body = True
            if rest:
                self.take_body(rest)
                if self._exchange is None:
                    return
        else:
            self._connection.ahead = rest
        exchange.start()
        front.traffic.catch_up()

    def turn_away(self, head: RequestHead | None, problem: Problem) -> None:
        """Refuse a request that was not for the upstream, or what is no request at all."""
        if head is None:
            self._begin_headless_record()
        else:
            self._begin_record(head)
        self.refuse_unread(problem)

    def take_body(self, data: bytes) -> None:
        """Take bytes of the request's body, and of what comes behind it."""
        decoder, exchange, record = self._decoder, self._exchange, self._record
        if decoder is None or exchange is None or record is None:
            return
        self._moved_at = self._front.clock.monotonic()
        try:
            piece = decoder.feed(data)
        except Problem as problem:
            self._cancel(problem)
            return
        if piece:
            record.bytes_in += len(piece)
            exchange.upload.feed(piece)
        if decoder.finished:
            self._decoder = None
            self._connection.ahead = decoder.excess
            exchange.upload.end(decoder.trailers)

    def caller_full(self) -> None:
        """Note that the caller reads more slowly than it is written to."""
        if self._exchange is not None:
            self._exchange.caller_full()

    def caller_ready(self) -> None:
        """Note that the caller can take more."""
        if self._exchange is not None:
            self._exchange.caller_ready()

    def check_stall(self, now: float) -> None:
        """Cut a body of which nothing has come for too long, unless it is held up by us."""
        exchange = self._exchange
        if exchange is None:
            return
        exchange.look(now)
        if exchange.awaits_caller and now - self._moved_at > self._front.listen.stall_timeout:
            self._cancel(
                Problem(
                    "bad_request",
                    "Nothing of the request's body came for listen.stall_timeout. What the "
                    "upstream had of it was broken off.",
                    status=408,
                )
            )

    def give_up(self) -> None:
        """End without an answer: the caller is gone, or does not read."""
        if self._exchange is not None:
            self._exchange.hang_up()
        self._break_off()

    # ── the Inbound of an exchange ──

    @property
    def cors(self) -> list[tuple[bytes, bytes]]:
        """The headers of ours that an answer carries for a browser."""
        if self.head is None or not self._front.has_cors:
            return []
        return self._front.guards.cors_headers(self.head, self._admission)

    def origin(self) -> bytes:
        """Name the origin that the caller used for us."""
        return origin_of(self.head, self._connection.socket_name())

    def date_line(self) -> bytes:
        """Build the Date header for an answer that has none."""
        return self._front.date_line()

    def send_interim(self, head: bytes) -> None:
        """Pass a 1xx on."""
        self._connection.write_interim(head)

    def send_head(self, head: bytes, framing: Framing) -> None:
        """Take the head of the answer."""
        # With a body still to come the connection is not to be kept: it may never come.
        self.closes = framing is BY_CLOSE or self._decoder is not None or not self._may_be_kept()
        if framing is BY_CHUNKS:
            head += b"Transfer-Encoding: chunked\r\n"
        self._out.head(head + self._connection_line(), framing)
        if self._connection.write_paused and self._exchange is not None:
            self._exchange.caller_full()

    def send(self, data: bytes) -> None:
        """Take a piece of the answer's body."""
        if self._record is not None:
            self._record.bytes_out += len(data)
        self._out.send(data)

    def flush(self) -> None:
        """Write what was taken."""
        self._out.flush()

    def end(self, trailers: Headers) -> None:
        """Write the answer's end."""
        self._out.end(trailers)
        self._settle()

    def send_whole(self, head: bytes, body: bytes) -> None:
        """Write a whole answer, framed by its length."""
        self.closes = self._decoder is not None or not self._may_be_kept()
        if self._record is not None:
            self._record.bytes_out = len(body)
        self._out.whole(b"".join((head, self._connection_line(), body)))
        self._settle()

    def refuse(self, problem: Problem) -> None:
        """Answer with a problem of ours."""
        if problem.code == "login_required" and problem.login_url is None:
            problem.login_url = self.origin().decode("latin-1") + "/-/login"
        front = self._front
        lines, body = build_problem_answer(
            problem,
            self.head,
            date=front.date_line(),
            cors=self.cors,
            problem_page=front.problem_page,
            page_headers=front.page_headers,
        )
        if self._decoder is not None or not self._may_be_kept():
            self.closes = True
        record = self._record
        if record is not None:
            record.status = problem.status
            record.whose = "proxy"
            record.code = problem.code
            record.bytes_out += len(body)
            lines += b"X-Request-ID: %b\r\n" % record.request_id.encode()
        self._out.head(lines + self._connection_line() + body)
        self._out.flush()
        self._settle()

    def refuse_unread(self, problem: Problem) -> None:
        """Refuse what a guard does not let in, or nobody can read; what follows is not read."""
        self.closes = True
        self.refuse(problem)

    def abort(self, problem: Problem) -> None:
        """Break off an answer under way."""
        if not self._out.has_left:
            # The caller can still be told in full.
            self._out.drop()
            self.refuse(problem)
            return
        if self._record is not None:
            self._record.code = problem.code
        self._break_off()

    def pause_body(self) -> None:
        """Take no more of the body for now."""
        if not self._body_paused:
            self._body_paused = True
            self._connection.pause_reading()

    def resume_body(self) -> None:
        """Take more of the body."""
        if self._body_paused:
            self._body_paused = False
            self._moved_at = self._front.clock.monotonic()
            self._connection.resume_reading()

    # ── within ──

    def _begin_record(self, head: RequestHead) -> RequestRecord:
        traffic = self._front.traffic
        fields = head.fields
        traffic.started()
        given = fields.get(b"x-request-id")
        record = self._record = RequestRecord(
            traffic.request_id(given),
            self._front.clock.now(),
            head.method.decode("ascii"),
            head.target,
        )
        record.named = given is not None
        traceparent = fields.get(b"traceparent")
        if traceparent is not None:
            record.traceparent = traffic.traceparent(traceparent)
        return record

    def _begin_headless_record(self) -> None:
        """Count and log what could not be read too: nothing of it is known well enough to tell."""
        traffic = self._front.traffic
        traffic.started()
        self._record = RequestRecord(traffic.request_id(None), self._front.clock.now(), "-", b"")

    def _end_record(self, *, aborted: bool) -> None:
        record, self._record = self._record, None
        self.ended_at = self._front.clock.monotonic()
        self._exchange = None
        if record is not None:
            record.duration = self.ended_at - self._started_at
            record.aborted = aborted
            self._front.traffic.finished(record)

    def _may_be_kept(self) -> bool:
        head = self.head
        front = self._front
        return head is not None and head.keep_alive and not (front.draining or front.retiring)

    def _connection_line(self) -> bytes:
        if self.closes:
            return b"Connection: close\r\n\r\n"
        if self.head is not None and self.head.minor == 0:
            return b"Connection: keep-alive\r\n\r\n"
        return b"\r\n"

    def _answer_preflight(
        self, head: RequestHead, headers: list[tuple[bytes, bytes]], rest: bytes
    ) -> None:
        # Browsers send no body; any other is not worth reading.
        self.closes = head.has_body or not self._may_be_kept()
        self._connection.ahead = rest
        if self._record is not None:
            self._record.status = 204
        answer = build_preflight_answer(headers, self._front.date_line())
        self._out.head(answer + self._connection_line())
        self._out.flush()
        self._settle()

    def _cancel(self, problem: Problem) -> None:
        """End for a fault of the caller's, told as far as that is still possible."""
        exchange = self._exchange
        self.closes = True
        if exchange is None:
            return
        exchange.hang_up()
        if exchange.head_sent:
            self.abort(problem)
        else:
            self.refuse(problem)

    def _settle(self) -> None:
        self._end_record(aborted=False)
        self._connection.answered(self)

    def _break_off(self) -> None:
        self._end_record(aborted=True)
        self._decoder = None
        self._out.break_off()
        self._connection.broken_off()
