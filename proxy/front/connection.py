"""One caller's connection: requests in, one after the other, and their answers out.

    idle ─▶ head ─▶ guards ─▶ forwarded ─▶ answered ─▶ idle
                      │  └──▶ delegated: the connection is the control protocol's from here on
                      └─────▶ refused ─▶ idle, or lingering
    lingering: answered for good; what still comes is thrown away until the caller has read

What comes behind a request waits its turn (pipelining), bounded. The caller's FIN is a hang-up, as
in nginx: programs that give up a call close its connection, and no other sign of it exists.
"""

import asyncio
from enum import Enum
from typing import TYPE_CHECKING, cast

from proxy.errors import Problem
from proxy.forward import Exchange, Framing
from proxy.front.answers import (
    build_control_request,
    build_preflight_answer,
    build_problem_answer,
    origin_of,
)
from proxy.front.outgoing import Outgoing
from proxy.guards import Admission, Route
from proxy.http1 import (
    BodyDecoder,
    ChunkedDecoder,
    HeadBuffer,
    Headers,
    LengthDecoder,
    RequestHead,
    keeps_alive,
    parse_request_head,
)
from proxy.traffic import Record

if TYPE_CHECKING:
    from proxy.front.front import Front

WRITE_HIGH_WATER = 262144
# How long what a caller still sends is thrown away, so that our close does not become a reset that
# takes the answer off it (RFC 9112 section 9.6); after each byte, and altogether, as in nginx.
LINGER_TIMEOUT = 5.0
LINGER_LIMIT = 30.0


class State(Enum):
    """Whose the next byte is."""

    IDLE = "idle"  # or within a head
    FORWARDING = "forwarding"
    DELEGATED = "delegated"
    LINGERING = "lingering"


# Bound once: before Python 3.12 each look-up of an enum's member costs a function call.
IDLE, FORWARDING, DELEGATED, LINGERING = State
BY_CLOSE, BY_CHUNKS, TO_FORWARD = Framing.CLOSE, Framing.CHUNKED, Route.FORWARD


class CallerConnection(asyncio.Protocol):
    """A caller's connection; the Inbound of each exchange on it."""

    def __init__(self, front: "Front") -> None:
        self._front = front
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._local_ip: str | None = None
        self._state = IDLE
        self._heads = HeadBuffer(front.listen.max_head_size)
        self._previous: RequestHead | None = None
        self._delegate: asyncio.Protocol | None = None
        self._holds_drain = True
        self._deadline = 0.0
        self._linger_end = 0.0
        # what came behind the request under way
        self._ahead = b""
        self._processing = False
        # the request under way
        self._head: RequestHead | None = None
        self._admission: Admission | None = None
        self._exchange: Exchange | None = None
        self._decoder: BodyDecoder | None = None  # while its body is incomplete
        self._record: Record | None = None
        self._started_at = 0.0
        # its answer
        self._out: Outgoing = cast("Outgoing", None)
        self._closes = False
        # flow
        self._body_paused = False
        self._ahead_paused = False
        self._write_paused = False
        self._moved_at = 0.0

    # ── what the front asks ──

    @property
    def is_busy(self) -> bool:
        """Tell whether a request is under way."""
        return self._state in (FORWARDING, DELEGATED)

    @property
    def holds_drain(self) -> bool:
        """Tell whether the drain waits for this connection: not for an endless event stream."""
        return self._state is FORWARDING or (self._state is DELEGATED and self._holds_drain)

    def close_if_idle(self) -> None:
        """Close a connection that nothing happens on."""
        if self._state is IDLE:
            self._transport.close()

    def break_off(self) -> None:
        """Close at once, whatever is under way."""
        if self._state is FORWARDING:
            self._give_up()
        else:
            self._transport.abort()

    def check_deadline(self, now: float) -> None:
        """Act on what is overdue."""
        if self._state is DELEGATED:
            return
        if self._out.is_stuck(now, self._front.listen.stall_timeout):
            self._give_up()
        elif self._state is FORWARDING:
            exchange = self._exchange
            if (
                exchange is not None
                and exchange.awaits_caller
                and now - self._moved_at > self._front.listen.stall_timeout
            ):
                self._cut_upload()
        elif now >= self._deadline or (self._state is LINGERING and now >= self._linger_end):
            if self._state is LINGERING:
                self._transport.abort()
            elif len(self._heads):
                self._reject(
                    Problem(
                        "bad_request",
                        "The request's head did not come within listen.header_timeout.",
                        status=408,
                    )
                )
            elif not self._transport.get_write_buffer_size():
                self._transport.close()

    # ── what the transport tells ──

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        self._out = Outgoing(self._transport)
        address = transport.get_extra_info("sockname")
        if isinstance(address, tuple):
            self._local_ip = address[0]
        self._deadline = self._front.clock.monotonic() + self._front.listen.idle_timeout
        if not self._front.joined(self):
            self._reject(
                Problem(
                    "connection_limit_reached",
                    "More callers are connected than listen.max_connections admits. Nothing was "
                    "forwarded.",
                    retry_after=1,
                )
            )

    def data_received(self, data: bytes) -> None:
        state = self._state
        if state is IDLE:
            self._process(data)
        elif state is FORWARDING:
            if self._decoder is not None:
                self._take_body(data)
            else:
                self._ahead += data
                if len(self._ahead) > self._front.listen.max_head_size:
                    self._ahead_paused = True
                    self._transport.pause_reading()
        elif state is DELEGATED:
            if self._delegate is not None:
                self._delegate.data_received(data)
        else:
            self._deadline = self._front.clock.monotonic() + LINGER_TIMEOUT

    def eof_received(self) -> bool | None:
        if self._state is DELEGATED and self._delegate is not None:
            return self._delegate.eof_received()
        if self._state is FORWARDING:
            self._give_up()
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._state is DELEGATED and self._delegate is not None:
            self._delegate.connection_lost(exc)
        elif self._state is FORWARDING:
            self._give_up()
        self._state = LINGERING
        self._front.left(self)

    def pause_writing(self) -> None:
        self._write_paused = True
        if self._delegate is not None:
            self._delegate.pause_writing()
        elif self._exchange is not None:
            self._exchange.caller_full()

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._delegate is not None:
            self._delegate.resume_writing()
        elif self._exchange is not None:
            self._exchange.caller_ready()

    # ── requests in ──

    def _process(self, data: bytes) -> None:
        """Take requests from `data` until one has to be waited for."""
        self._processing = True
        try:
            while data and self._state is IDLE:
                is_first = not len(self._heads)
                # RFC 9112 section 2.2: one empty line before a request is let pass.
                if is_first and data.startswith(b"\r\n"):
                    data = data[2:]
                    continue
                found = self._heads.feed(data)
                if found is None:
                    if is_first:
                        listen, clock = self._front.listen, self._front.clock
                        self._deadline = clock.monotonic() + listen.header_timeout
                    return
                raw, rest = found
                head = self._previous = parse_request_head(raw, self._previous)
                self._ahead = b""
                self._begin(head, rest)
                data, self._ahead = self._ahead, b""
        except Problem as problem:
            self._reject(problem)
            return
        finally:
            self._processing = False
        if self._state is FORWARDING:
            self._ahead = data

    def _begin(self, head: RequestHead, rest: bytes) -> None:
        front = self._front
        self._head = head
        self._admission = None
        self._closes = False
        self._out.begin()
        guards = front.guards
        fields = head.fields
        now = self._started_at = self._moved_at = front.clock.monotonic()
        route = guards.classify(head.target)
        if route is not TO_FORWARD or front.probes_only:
            self._begin_own(head, rest, route)
            return
        self._state = FORWARDING
        record = self._note(head)
        try:
            front.check_open()
            if b"via" in fields:
                front.forwarder.check_loop(head)
            admission = self._admission = guards.check(head, route, self._local_ip)
        except Problem as problem:
            self._refuse_unread(problem)
            return
        record.caller = admission.caller
        if head.method == b"OPTIONS" and (preflight := guards.preflight(head)) is not None:
            self._answer_preflight(preflight, rest)
            return
        exchange = self._exchange = front.forwarder.begin(self, head, admission, record)
        if head.chunked or head.content_length:
            decoder: BodyDecoder = (
                ChunkedDecoder() if head.chunked else LengthDecoder(head.content_length or 0)
            )
            self._decoder = decoder
            self._moved_at = now
            if rest:
                self._take_body(rest)
                if self._exchange is not exchange:
                    return
        else:
            self._ahead = rest
        exchange.start()

    def _note(self, head: RequestHead) -> Record:
        """Begin the record of a request."""
        traffic = self._front.traffic
        fields = head.fields
        traffic.started()
        record = self._record = Record(
            traffic.request_id(fields.get(b"x-request-id")),
            self._front.clock.now(),
            head.method.decode("ascii"),
            head.target,
        )
        traceparent = fields.get(b"traceparent")
        if traceparent is not None:
            record.traceparent = traffic.traceparent(traceparent)
        return record

    def _take_body(self, data: bytes) -> None:
        decoder, exchange, record = self._decoder, self._exchange, self._record
        if decoder is None or exchange is None or record is None:
            return
        self._moved_at = self._front.clock.monotonic()
        try:
            piece = decoder.feed(data)
        except Problem as problem:
            exchange.hang_up()
            self._closes = True
            self._fail(problem)
            return
        record.bytes_in += len(piece)
        if piece:
            exchange.upload.feed(piece)
        if decoder.finished:
            self._decoder = None
            self._ahead = decoder.excess
            exchange.upload.end(decoder.trailers)

    def _begin_own(self, head: RequestHead, rest: bytes, route: Route) -> None:
        """Guard a request to the proxy itself and hand the connection over."""
        front = self._front
        self._state = FORWARDING  # until it is decided
        try:
            front.check_route(route)
            front.guards.check(head, route, self._local_ip)
        except Problem as problem:
            self._note(head)
            self._refuse_unread(problem)
            return
        self._state = DELEGATED
        self._holds_drain = not head.target.startswith(b"/-/events")
        delegate = self._delegate = front.control_factory()
        delegate.connection_made(self._transport)
        delegate.data_received(build_control_request(head) + rest)

    # ── the Inbound of an exchange ──

    def origin(self) -> bytes:
        """Name the origin that the caller used for us."""
        return origin_of(self._head, self._transport.get_extra_info("sockname"))

    @property
    def cors(self) -> list[tuple[bytes, bytes]]:
        """The headers of ours that an answer carries for a browser."""
        if self._head is None or not self._front.has_cors:
            return []
        return self._front.guards.cors_headers(self._head, self._admission)

    def date_line(self) -> bytes:
        """Build the Date header for an answer that has none."""
        return self._front.date_line()

    def send_interim(self, head: bytes) -> None:
        self._transport.write(head)

    def send_head(self, head: bytes, framing: Framing) -> None:
        request = self._head
        if request is None:
            return
        # With a body still to come the connection is not to be kept: it may never come.
        self._closes = (
            framing is BY_CLOSE
            or self._decoder is not None
            or self._front.draining
            or not keeps_alive(request.minor, request.fields)
        )
        if framing is BY_CHUNKS:
            head += b"Transfer-Encoding: chunked\r\n"
        self._out.head(head + self._connection_line(), framing)
        if self._write_paused and self._exchange is not None:
            self._exchange.caller_full()

    def send(self, data: bytes) -> None:
        if self._record is not None:
            self._record.bytes_out += len(data)
        self._out.send(data)

    def flush(self) -> None:
        self._out.flush()

    def end(self, trailers: Headers) -> None:
        self._out.end(trailers)
        self._finish()

    def refuse(self, problem: Problem) -> None:
        """Answer with a problem of ours."""
        head = self._head
        if problem.code == "login_required" and problem.login_url is None:
            problem.login_url = self.origin().decode("latin-1") + "/-/login"
        front = self._front
        lines, body = build_problem_answer(
            problem,
            head,
            date=front.date_line(),
            cors=self.cors,
            problem_page=front.problem_page,
            page_headers=front.page_headers,
        )
        if (
            head is None
            or self._decoder is not None
            or front.draining
            or not keeps_alive(head.minor, head.fields)
        ):
            self._closes = True
        record = self._record
        if record is not None:
            record.status = problem.status
            record.whose = "proxy"
            record.code = problem.code
            record.bytes_out += len(body)
        self._out.head(lines + self._connection_line() + body)
        self._out.flush()
        self._finish()

    def abort(self, problem: Problem) -> None:
        """Break off an answer under way."""
        if not self._out.has_left:
            # The caller can still be told in full.
            self._out.drop()
            self.refuse(problem)
            return
        if self._record is not None:
            self._record.code = problem.code
        self._break_answer()

    def pause_body(self) -> None:
        if not self._body_paused:
            self._body_paused = True
            if not self._transport.is_closing():
                self._transport.pause_reading()

    def resume_body(self) -> None:
        if self._body_paused:
            self._body_paused = False
            self._moved_at = self._front.clock.monotonic()
            if not self._transport.is_closing():
                self._transport.resume_reading()

    # ── answers out, and the end of a request ──

    def _connection_line(self) -> bytes:
        if self._closes:
            return b"Connection: close\r\n\r\n"
        if self._head is not None and self._head.minor == 0:
            return b"Connection: keep-alive\r\n\r\n"
        return b"\r\n"

    def _answer_preflight(self, headers: list[tuple[bytes, bytes]], rest: bytes) -> None:
        head = self._head
        if head is None or self._record is None:
            return
        # Browsers send none; any other body is not worth reading.
        self._closes = head.has_body or not keeps_alive(head.minor, head.fields)
        self._record.status = 204
        self._ahead = rest
        answer = build_preflight_answer(headers, self._front.date_line())
        self._out.head(answer + self._connection_line())
        self._out.flush()
        self._finish()

    def _refuse_unread(self, problem: Problem) -> None:
        """Refuse a request that a guard does not let in; its body, if any, is not read."""
        self._closes = True
        self.refuse(problem)

    def _reject(self, problem: Problem) -> None:
        """Refuse what is no request at all."""
        self._head = None
        self._closes = True
        self._state = FORWARDING
        self.refuse(problem)

    def _fail(self, problem: Problem) -> None:
        if self._exchange is not None and self._exchange.head_sent:
            self.abort(problem)
        else:
            self.refuse(problem)

    def _cut_upload(self) -> None:
        """End a request whose body has stopped coming."""
        if self._exchange is not None:
            self._exchange.hang_up()
        self._closes = True
        self._fail(
            Problem(
                "bad_request",
                "Nothing of the request's body came for listen.stall_timeout. What the upstream "
                "had of it was broken off.",
                status=408,
            )
        )

    def _finish(self) -> None:
        """End the request under way, answered, and go on to the next or close."""
        self._end_record(aborted=False)
        self._exchange = None
        if self._closes or self._decoder is not None or self._transport.is_closing():
            self._linger()
        else:
            self._state = IDLE
            self._deadline = self._front.clock.monotonic() + self._front.listen.idle_timeout
            self._listen_again()
            if self._ahead and not self._processing:
                data, self._ahead = self._ahead, b""
                self._process(data)
        self._front.settled()

    def _linger(self) -> None:
        """Close, but only once the caller has had its answer."""
        incomplete = self._decoder is not None or self._head is None or bool(self._ahead)
        self._decoder = None
        self._ahead = b""
        self._state = LINGERING
        if self._transport.is_closing():
            return
        now = self._front.clock.monotonic()
        self._deadline = now + LINGER_TIMEOUT
        self._linger_end = now + LINGER_LIMIT
        if not incomplete and not self._closes_early():
            self._transport.close()
            return
        self._transport.write_eof()
        self._listen_again()

    def _listen_again(self) -> None:
        """Read on: a request that was refused while its body was paused leaves reading paused."""
        if self._body_paused or self._ahead_paused:
            self._body_paused = self._ahead_paused = False
            self._transport.resume_reading()

    def _closes_early(self) -> bool:
        # A guard's refusal comes before the body was looked at.
        return self._head is not None and self._head.has_body

    def _give_up(self) -> None:
        """End the request under way without its answer: the caller is gone or does not read."""
        if self._exchange is not None:
            self._exchange.hang_up()
        self._break_answer()

    def _break_answer(self) -> None:
        """Close so that an answer under way cannot look complete."""
        self._end_record(aborted=True)
        self._exchange = None
        self._decoder = None
        self._state = LINGERING
        self._ahead = b""
        now = self._front.clock.monotonic()
        self._deadline, self._linger_end = now + LINGER_TIMEOUT, now + LINGER_LIMIT
        self._out.break_off()
        self._front.settled()

    def _end_record(self, *, aborted: bool) -> None:
        record, self._record = self._record, None
        if record is not None:
            record.duration = self._front.clock.monotonic() - self._started_at
            record.aborted = aborted
            self._front.traffic.finished(record)
