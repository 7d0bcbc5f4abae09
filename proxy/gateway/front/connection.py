"""One caller's connection: requests in, one after the other, and their answers out.

    IDLE ─▶ SERVING ─▶ (LEAVING) ─▶ IDLE, or LINGERING

What comes behind a request waits its turn (pipelining), bounded: the next one is begun only when
the answer before has left this process, and reading is paused while much waits. The caller's FIN is
a hang-up, as in nginx: programs that give up a call close its connection, and no other sign of it
exists.
"""

import asyncio
import re
from enum import Enum
from typing import Final, cast

from proxy.errors import Problem
from proxy.gateway.front.caller_side import CallerSide
from proxy.gateway.front.outgoing import Outgoing
from proxy.gateway.front.registry import Connections
from proxy.gateway.front.request import InboundRequest
from proxy.gateway.front.services import Services
from proxy.gateway.guards import Admission, Guards, Peer, Route
from proxy.gateway.http1 import HeadBuffer, RequestHead, parse_request_head
from proxy.system.server_tls import subject_names
from proxy.system.tcp import has_hung_up

WRITE_HIGH_WATER: Final = 262144
# With at most this many bytes unwritten, treat the answer as sent; else wait until the buffer is
# empty.
SURELY_LEAVES: Final = 16384
# How long to drain input before closing; closing with unread input sends a reset that can destroy
# the answer (RFC 9112 section 9.6). After each byte, and altogether, as in nginx.
LINGER_TIMEOUT: Final = 5.0
LINGER_LIMIT: Final = 30.0
# Requests served in one go before other connections have their turn.
TURN: Final = 8
EMPTY_LINES: Final = re.compile(rb"(?:\r\n)+")


class State(Enum):
    """State of a caller's connection."""

    IDLE = "idle"  # or within a head
    SERVING = "serving"
    LEAVING = "leaving"  # answered; the answer waits to be written
    LINGERING = "lingering"  # answered for good; what still comes is thrown away


# Bound once: before Python 3.12 each look-up of an enum's member costs a function call.
IDLE: Final = State.IDLE
SERVING: Final = State.SERVING
LEAVING: Final = State.LEAVING
LINGERING: Final = State.LINGERING
FORWARD: Final = Route.FORWARD
TOKEN: Final = Route.TOKEN
PROBES: Final = frozenset({Route.LIVE, Route.READY, Route.METRICS})


class CallerConnection(CallerSide):
    """A caller's connection, and what is under way on it; an asyncio.Protocol by its methods."""

    def __init__(self, services: Services, connections: Connections) -> None:
        self.pipelined = b""  # what came behind the request under way
        self.write_paused = False
        self.prepared = services.forwarder.prepared()
        # What the guards said to the last call that was let through: as long as they are the same
        # guards, it holds for the same method and headers again, whatever the target.
        self.admission: Admission | None = None
        self.resting_since = 0.0
        self._services = services
        self._connections = connections
        self._transport: asyncio.Transport  # once connected, as `out` and `peer`
        self._state = IDLE
        self._heads = HeadBuffer(services.listen.max_head_size)
        self._previous: RequestHead | None = None
        self._guards: Guards | None = None  # who gave the admission
        self._request: InboundRequest | None = None
        self._begun_line = b""  # the CR of an empty line whose LF is still to come
        self._has_ended = False  # the caller has sent its FIN
        self._processing = False
        self._reading_paused = False
        self._deadline = 0.0
        self._linger_end = 0.0

    # ── what the registry asks ──

    @property
    def is_busy(self) -> bool:
        """Return whether a request is under way, or its answer not yet written."""
        return self._state in (SERVING, LEAVING)

    @property
    def is_resting(self) -> bool:
        """Return whether nothing happens here."""
        return self._state is IDLE and not self._heads.held and not self.pipelined

    @property
    def holds_drain(self) -> bool:
        """Return whether the drain waits for this connection: not for an endless stream."""
        if self._request is not None:
            return not self._request.is_endless
        return bool(self._transport.get_write_buffer_size())

    def close_if_idle(self) -> None:
        """Close a connection that nothing happens on."""
        if self._state is IDLE:
            self._transport.close()

    def evict(self) -> None:
        """Close, for another connection that needs the place."""
        self._transport.close()

    def break_off(self) -> None:
        """Close at once, whatever is under way."""
        if self._request is not None:
            self._request.give_up(reset=True)
        else:
            self._transport.abort()

    def check_deadline(self, now: float) -> None:
        """Act on what is overdue."""
        listen = self._services.listen
        if self.out.is_stuck(now, listen.stall_timeout) or (
            self._reading_paused and has_hung_up(self._transport.get_extra_info("socket"))
        ):
            self.break_off()
        elif self._state is LEAVING:
            return
        elif self._request is not None:
            self._request.check_stall(now)
        elif self._state is LINGERING:
            if now >= self._deadline or now >= self._linger_end:
                self._transport.abort()
        elif now < self._deadline:
            return
        elif self._heads.held:
            text = "The request's head did not come within listen.header_timeout."
            self._turn_away(None, Problem("bad_request", text, status=408))
        elif not self._transport.get_write_buffer_size():
            self._transport.close()

    # ── called by the transport ──

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        self.out = Outgoing(self._transport)
        certificate = transport.get_extra_info("peercert")
        self.peer = Peer.of(transport.get_extra_info, subject_names(certificate))
        self.resting_since = self._services.clock.monotonic()
        self._deadline = self.resting_since + self._services.listen.idle_timeout
        self._connections.join(self)

    def data_received(self, data: bytes) -> None:
        state = self._state
        if state is IDLE:
            if self.pipelined:
                self._keep(data)  # it has its turn soon
            else:
                self._process(data)
        elif self._request is not None:
            if self._request.awaits_body:
                self._request.take_body(data)
            else:
                self._keep(data)
        else:
            self._deadline = self._services.clock.monotonic() + LINGER_TIMEOUT

    def eof_received(self) -> bool | None:
        self._has_ended = True
        if self._state is LEAVING:
            return True  # it may well read on: the answer is complete
        if self._request is not None:
            self._request.give_up()
        return None

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if self._request is not None:
            self._request.give_up()
        self._state = LINGERING
        self._connections.leave(self)

    def pause_writing(self) -> None:
        self.write_paused = True
        if self._request is not None:
            self._request.caller_full()

    def resume_writing(self) -> None:
        self.write_paused = False
        if self._state is LEAVING:
            self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
            self._left()
        elif self._request is not None:
            self._request.caller_ready()

    # ── requests in ──

    def _keep(self, data: bytes) -> None:
        """Keep what cannot be parsed yet."""
        self.pipelined += data
        if len(self.pipelined) > self._services.listen.max_head_size:
            self.pause_reading()

    def _process(self, data: bytes) -> None:
        """Serve requests from `data` until one has to be waited for, or others have their turn."""
        listen = self._services.listen
        self.pipelined = b""
        begun = False
        served = 0
        self._processing = True
        try:
            while data and self._state is IDLE:
                if served == TURN:
                    self.pipelined = data
                    asyncio.get_running_loop().call_soon(self._go_on)
                    return
                if not self._heads.held:
                    data = self._without_empty_lines(data)
                    if not data:
                        break
                    begun = True
                found = self._heads.feed(data)
                if found is None:
                    if begun:
                        self._deadline = self._services.clock.monotonic() + listen.header_timeout
                    break
                begun = False
                raw, rest = found
                head = parse_request_head(raw, self._previous)
                self.pipelined = b""
                self._begin(head, rest)
                served += 1
                data = self.pipelined
        except Problem as problem:
            self._turn_away(None, problem)
        finally:
            self._processing = False
        if self._reading_paused and self._state is IDLE:
            self.resume_reading()

    def _without_empty_lines(self, data: bytes) -> bytes:
        """Let empty lines before a request pass (RFC 9112 section 2.2), however they are cut."""
        if self._begun_line:
            data, self._begun_line = self._begun_line + data, b""
        if data[:1] != b"\r":
            return data
        empty = EMPTY_LINES.match(data)
        if empty is not None:
            data = data[empty.end() :]
        if data == b"\r":
            data, self._begun_line = b"", data
        return data

    def _go_on(self) -> None:
        """Serve what waits, once there is time for it and the answer before has left."""
        if self._state is IDLE and self.pipelined and not self._processing:
            self._process(self.pipelined)

    def _begin(self, head: RequestHead, rest: bytes) -> None:
        guards = self._services.in_force.guards
        previous = self._previous
        if guards is not self._guards or (
            previous is None or head.parsed is not previous.parsed or head.method != previous.method
        ):
            self.admission = None
        self._previous = head
        self._guards = guards
        is_checked = head is previous and self.admission is not None
        route = FORWARD if is_checked else guards.classify(head)
        if self._services.probes_only and route not in PROBES:
            text = "This listener serves /-/live, /-/ready and /-/metrics alone."
            self._turn_away(head, Problem("not_found", text))
            return
        try:
            self._connections.check_room(route)
        except Problem as problem:
            self._turn_away(head, problem)
            return
        self._state = SERVING
        request = self._request = InboundRequest(self._services, self, head)
        if route is FORWARD:
            request.forward(guards, head, rest, is_checked=is_checked)
        elif route is not TOKEN:
            request.ask(guards, head, rest, route)
        elif head.method == b"POST":
            request.give_token(guards, head, rest)
        else:
            request.forward(guards, head, rest)

    def _turn_away(self, head: RequestHead | None, problem: Problem) -> None:
        """Refuse a request, or what is none."""
        self._state = SERVING
        request = self._request = InboundRequest(self._services, self, head)
        request.turn_away(problem)

    # ── called by the request under way ──

    @property
    def is_retiring(self) -> bool:
        """Return whether each answer is its connection's last."""
        return self._connections.retiring

    @property
    def is_draining(self) -> bool:
        """Return whether no further request is served."""
        return self._connections.draining

    def pause_reading(self) -> None:
        """Read no more from the caller for now."""
        if not self._reading_paused and not self._transport.is_closing():
            self._reading_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on from the caller."""
        if self._reading_paused and not self._transport.is_closing():
            self._reading_paused = False
            self._transport.resume_reading()

    def answered(self) -> None:
        """Note that the answer is complete; wait until it has left, where it is long."""
        if self._transport.get_write_buffer_size() <= SURELY_LEAVES or self._transport.is_closing():
            self._left()
        else:
            self._state = LEAVING
            self._transport.set_write_buffer_limits(high=0)

    def broken_off(self) -> None:
        """Wait for the end of a connection that was closed within an answer."""
        self._request = None
        self._begin_lingering()
        self._connections.settled()

    def _left(self) -> None:
        """Go on to the next request, or close."""
        request, self._request = self._request, None
        if request is None:
            return
        request.left()
        if request.closes or request.is_unread or self._has_ended or self._transport.is_closing():
            self._linger(may_come=request.is_unread or bool(self.pipelined))
        else:
            self._state = IDLE
            self.resting_since = request.ended_at
            self._deadline = request.ended_at + self._services.listen.idle_timeout
            if not self._processing:
                if self.pipelined:
                    self._process(self.pipelined)
                elif self._reading_paused:
                    self.resume_reading()
        if self._connections.draining:
            self._connections.settled()

    def _linger(self, *, may_come: bool) -> None:
        """Close, but where more may come only once the caller has had its answer."""
        self._begin_lingering()
        if self._transport.is_closing():
            return
        if not may_come or not self._transport.can_write_eof():
            self._transport.close()  # TLS goes on reading by itself until the caller has closed
            return
        self._transport.write_eof()
        self.resume_reading()

    def _begin_lingering(self) -> None:
        now = self._services.clock.monotonic()
        self._state = LINGERING
        self.pipelined = b""
        self._deadline, self._linger_end = now + LINGER_TIMEOUT, now + LINGER_LIMIT
