"""One caller's connection: requests in, one after the other, and their answers out.

    idle ─▶ head ─▶ guards ─▶ forwarded ─▶ answered ─▶ idle
                      │  └──▶ delegated: the connection is the control protocol's from here on
                      └─────▶ refused ─▶ idle, or lingering
    lingering: answered for good; what still comes is thrown away until the caller has read

What comes behind a request waits its turn (pipelining), bounded. The caller's FIN is a hang-up, as
in nginx: programs that give up a call close its connection, and no other sign of it exists.
"""

import asyncio
import select
from enum import Enum
from typing import TYPE_CHECKING, cast

from proxy.errors import Problem
from proxy.gateway.front.answers import build_control_request
from proxy.gateway.front.outgoing import Outgoing
from proxy.gateway.front.request import InboundRequest
from proxy.gateway.guards import Admission, Route
from proxy.gateway.http1 import HeadBuffer, RequestHead, parse_request_head

if TYPE_CHECKING:
    from proxy.gateway.front.front import Front

WRITE_HIGH_WATER = 262144
# How long what a caller still sends is thrown away, so that our close does not become a reset that
# takes the answer off it (RFC 9112 section 9.6); after each byte, and altogether, as in nginx.
LINGER_TIMEOUT = 5.0
LINGER_LIMIT = 30.0
EVENT_STREAM = b"/-/events"
HANG_UP = getattr(select, "POLLRDHUP", 0)  # a FIN behind what is not read yet; Linux alone has it


class State(Enum):
    """Whose the next byte is."""

    IDLE = "idle"  # or within a head
    FORWARDING = "forwarding"
    DELEGATED = "delegated"
    LINGERING = "lingering"


# Bound once: before Python 3.12 each look-up of an enum's member costs a function call.
IDLE, FORWARDING, DELEGATED, LINGERING = State
FORWARD = Route.FORWARD


class CallerConnection(asyncio.Protocol):
    """A caller's connection, and what is under way on it."""

    def __init__(self, front: "Front") -> None:
        self.front = front
        self.out: Outgoing = cast("Outgoing", None)  # once connected
        self.ahead = b""  # what came behind the request under way
        self.local_ip: str | None = None
        self.write_paused = False
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)  # once connected
        # What the guards said to the request before, if it was let through: it holds for the same
        # head again.
        self.admission: Admission | None = None
        self._state = IDLE
        self._heads = HeadBuffer(front.listen.max_head_size)
        self._previous: RequestHead | None = None
        self._request: InboundRequest | None = None
        self._delegate: asyncio.Protocol | None = None
        self._holds_drain = True
        self._processing = False
        self._reading_paused = False
        self._deadline = 0.0
        self._linger_end = 0.0

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
        if self._request is not None:
            self._request.give_up()
        else:
            self._transport.abort()

    def check_deadline(self, now: float) -> None:
        """Act on what is overdue."""
        if self._state is DELEGATED:
            return
        if self.out.is_stuck(now, self.front.listen.stall_timeout) or (
            self._reading_paused and self._has_hung_up()
        ):
            self.break_off()
        elif self._request is not None:
            self._request.check_stall(now)
        elif self._state is LINGERING:
            if now >= self._deadline or now >= self._linger_end:
                self._transport.abort()
        elif now < self._deadline:
            return
        elif self._heads.held:
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
        self.out = Outgoing(self._transport)
        address = self.socket_name()
        if isinstance(address, tuple):
            self.local_ip = address[0]
        self._deadline = self.front.clock.monotonic() + self.front.listen.idle_timeout
        if not self.front.joined(self):
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
        elif self._request is not None:
            if self._request.awaits_body:
                self._request.take_body(data)
            else:
                self.ahead += data
                if len(self.ahead) > self.front.listen.max_head_size:
                    self.pause_reading()
        elif state is DELEGATED:
            if self._delegate is not None:
                self._delegate.data_received(data)
        else:
            self._deadline = self.front.clock.monotonic() + LINGER_TIMEOUT

    def eof_received(self) -> bool | None:
        if self._state is DELEGATED and self._delegate is not None:
            return self._delegate.eof_received()
        if self._request is not None:
            self._request.give_up()
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._state is DELEGATED and self._delegate is not None:
            self._delegate.connection_lost(exc)
        elif self._request is not None:
            self._request.give_up()
        self._state = LINGERING
        self.front.left(self)

    def pause_writing(self) -> None:
        self.write_paused = True
        if self._delegate is not None:
            self._delegate.pause_writing()
        elif self._request is not None:
            self._request.caller_full()

    def resume_writing(self) -> None:
        self.write_paused = False
        if self._delegate is not None:
            self._delegate.resume_writing()
        elif self._request is not None:
            self._request.caller_ready()

    # ── requests in ──

    def _has_hung_up(self) -> bool:
        """Tell whether the caller has closed; for while nothing is read, which would show it."""
        raw = self._transport.get_extra_info("socket")
        if raw is None or raw.fileno() < 0:
            return False
        poll = select.poll()
        poll.register(raw.fileno(), HANG_UP)  # a reset is told without being asked for
        return bool(poll.poll(0))

    def _process(self, data: bytes) -> None:
        """Take requests from `data` until one has to be waited for."""
        front = self.front
        self.ahead = b""
        begun = False
        self._processing = True
        try:
            while data and self._state is IDLE:
                if not self._heads.held:
                    # RFC 9112 section 2.2: one empty line before a request is let pass.
                    if data.startswith(b"\r\n"):
                        data = data[2:]
                        continue
                    begun = True
                found = self._heads.feed(data)
                if found is None:
                    if begun:
                        self._deadline = front.clock.monotonic() + front.listen.header_timeout
                    return
                begun = False
                raw, rest = found
                head = parse_request_head(raw, self._previous)
                self.ahead = b""
                self._begin(head, rest)
                data = self.ahead
        except Problem as problem:
            self._reject(problem)
        finally:
            self._processing = False

    def _begin(self, head: RequestHead, rest: bytes) -> None:
        if head is not self._previous:
            self._previous = head
            self.admission = None
        if self.admission is None:
            route = self.front.guards.classify(head.target)
            if route is not FORWARD or self.front.probes_only:
                self._begin_own(head, rest, route)
                return
        self._state = FORWARDING
        request = self._request = InboundRequest(self, head)
        request.forward(head, rest)

    def _begin_own(self, head: RequestHead, rest: bytes, route: Route) -> None:
        """Guard a request to the proxy itself and hand the connection over."""
        try:
            self.front.check_route(route)
            self.front.guards.check(head, route, self.local_ip)
        except Problem as problem:
            self._state = FORWARDING
            request = self._request = InboundRequest(self, head)
            request.turn_away(head, problem)
            return
        self._state = DELEGATED
        self._holds_drain = not head.target.startswith(EVENT_STREAM)
        delegate = self._delegate = self.front.control_factory()
        delegate.connection_made(self._transport)
        delegate.data_received(build_control_request(head) + rest)

    def _reject(self, problem: Problem) -> None:
        """Refuse what is no request at all."""
        self._state = FORWARDING
        request = self._request = InboundRequest(self, None)
        request.turn_away(None, problem)

    # ── what the request under way tells and asks ──

    def socket_name(self) -> object:
        """Return the address that the caller connected to."""
        return self._transport.get_extra_info("sockname")

    def write_interim(self, data: bytes) -> None:
        """Write an interim answer."""
        self._transport.write(data)

    def pause_reading(self) -> None:
        """Take no more from the caller for now."""
        if not self._reading_paused and not self._transport.is_closing():
            self._reading_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take more from the caller."""
        if self._reading_paused and not self._transport.is_closing():
            self._reading_paused = False
            self._transport.resume_reading()

    def answered(self, request: InboundRequest) -> None:
        """Go on to the next request, or close."""
        self._request = None
        if request.closes or request.is_unread or self._transport.is_closing():
            self._linger(may_come=request.is_unread or bool(self.ahead))
        else:
            self._state = IDLE
            self._deadline = request.ended_at + self.front.listen.idle_timeout
            if self._reading_paused:
                self.resume_reading()
            if self.ahead and not self._processing:
                self._process(self.ahead)
        if self.front.draining:
            self.front.settled()

    def broken_off(self) -> None:
        """Wait for the end of a connection that was closed within an answer."""
        self._request = None
        self._begin_lingering()
        self.front.settled()

    def _linger(self, *, may_come: bool) -> None:
        """Close, but where more may come only once the caller has had its answer."""
        self._begin_lingering()
        if self._transport.is_closing():
            return
        if not may_come:
            self._transport.close()
            return
        self._transport.write_eof()
        self.resume_reading()

    def _begin_lingering(self) -> None:
        now = self.front.clock.monotonic()
        self._state = LINGERING
        self.ahead = b""
        self._deadline, self._linger_end = now + LINGER_TIMEOUT, now + LINGER_LIMIT
