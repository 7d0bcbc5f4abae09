"""One connection to the upstream: one exchange at a time, parsed strictly, timed, never mixed up.

    idle ──begin──▶ awaiting head ──answer──▶ body ──end──▶ idle again, or discarded
      │                   │                     │
      └── any byte, EOF ──┴─── malformed, lost, late, given up ──▶ discarded

What arrives while idle is an answer to nobody's request (a late duplicate, a load balancer's 408):
the connection is closed, or the next caller would get it (aio-libs/aiohttp #13656).
"""

import asyncio
import math
import re
from typing import Final, cast

from proxy.errors import Problem
from proxy.gateway.http1 import (
    BodyDecoder,
    ChunkedDecoder,
    HeadBuffer,
    LengthDecoder,
    ResponseHead,
    UntilCloseDecoder,
    parse_response_head,
)
from proxy.gateway.upstream.seams import AnswerSink, Home
from proxy.gateway.upstream.wire import Wire
from proxy.system.clock import Clock
from proxy.system.tcp import DEAD_AFTER

# As much of a head as callers' own default limit; nginx takes 4 to 8 KiB, Go 1 MiB of headers.
MAX_HEAD: Final = 65536
# One TLS read of asyncio's; more in flight costs memory and gains nothing on a fast link.
WRITE_HIGH_WATER: Final = 262144
BODILESS: Final = frozenset({204, 304})
IDLE_TIMEOUT: Final = re.compile(rb"timeout\s*=\s*([0-9]{1,6})", re.IGNORECASE)
MAY_BE_HELD_OR_EMPTY: Final = frozenset({204, 304, 401})


class UpstreamConnection:
    """A connection of the pool; an exchange begins it and writes to it, and gets what comes back.

    An asyncio.Protocol by its methods, not by its base: a class with a base that is not compiled
    is not compiled either (see upstream/seams.py).
    """

    __slots__ = (
        "_clock", "_decoder", "_ended_well", "_head", "_held", "_home", "_lost", "_method",
        "_persistent", "_previous", "_reading_paused", "_refused", "_response_timeout", "_sink",
        "_wire", "answered", "deadline", "idle_since", "kept_for", "opened_at", "request_done",
        "reused", "transport", "waits_for_caller", "write_paused",
    )  # fmt: skip

    def __init__(self, home: Home, clock: Clock, response_timeout: float) -> None:
        self._home = home
        self._clock = clock
        self._response_timeout = response_timeout
        self.transport: asyncio.Transport | None = None
        self._wire: Wire  # once connected
        self._sink: AnswerSink | None = None
        self._head = HeadBuffer(MAX_HEAD, response=True)
        self._decoder: BodyDecoder | None = None
        self._held: list[bytes] | None = None
        self._lost: tuple[Exception | None] | None = None
        self._method = b""
        self._previous: ResponseHead | None = None
        self._persistent = False
        self._ended_well = False
        self._reading_paused = False
        self._refused = False  # by the answer, before the request was complete
        self.answered = False  # a byte of the answer has arrived
        self.request_done = False
        self.reused = False  # it has rested in the pool
        self.waits_for_caller = False  # the next byte is the caller's to send
        self.write_paused = False
        self.deadline = 0.0
        self.opened_at = clock.now()
        self.idle_since = 0.0
        self.kept_for = math.inf  # how long the upstream has said that it keeps it idle

    # ── what an exchange does with it ──

    def begin(self, sink: AnswerSink, method: bytes, now: float) -> None:
        """Take the connection for one exchange."""
        self._sink = sink
        self._method = method
        self._decoder = None
        self._refused = False
        self.answered = False
        self.request_done = False
        self.waits_for_caller = False
        self._wire.begin(now)
        self.deadline = now + self._response_timeout

    def write(self, data: bytes) -> None:
        """Send bytes of the request, unless the answer has refused it."""
        if self.transport is None or self._refused:
            return
        if not self.request_done:
            self.deadline = self._clock.monotonic() + self._response_timeout
            self._wire.keep_readable()
        self.transport.write(data)

    def pause_reading(self) -> None:
        """Read no more of the answer until resumed: the caller reads slowly."""
        self._reading_paused = True
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Go on reading the answer."""
        if not self._reading_paused or self._held is not None:
            return
        self._reading_paused = False
        self.deadline = self._clock.monotonic() + self._response_timeout
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def hold(self) -> None:
        """Keep back everything after the head just passed on, until `go_on` or `discard`.

        The connection is not used again: what comes meanwhile may lie within TLS, where polling
        the socket does not find it, and would be read as the next request's answer.
        """
        self._persistent = False
        self._held = []
        self.pause_reading()

    def go_on(self) -> None:
        """Pass on what was held back, and go on."""
        held, self._held = self._held or [], None
        if self._lost is None:
            self.resume_reading()
        try:
            self._body(b"".join(held))
        except Problem as problem:
            self._fail(problem)
        if self._lost is not None:
            self._end_of_stream(self._lost[0])

    def discard(self) -> None:
        """Break the connection off; nobody is called any more."""
        self._sink = None
        self._held = None
        self._persistent = False
        if self.transport is not None:
            self._wire.let_go()
            self.transport.abort()

    def is_usable(self) -> bool:
        """Return whether an exchange may begin on it."""
        return self._sink is None and self.transport is not None and not self.transport.is_closing()

    def has_input(self) -> bool:
        """Return whether something waits to be read that the event loop has not come to yet.

        On an idle connection that is its end, or what must not be answered to anyone. Costs a
        system call (half a microsecond).
        """
        return self._wire.has_input()

    def check_deadline(self, now: float) -> None:
        """Fail the exchange whose answer, or next piece of it, is overdue."""
        if self._sink is None or self._held is not None:
            return
        wire = self._wire
        if wire.has_moved():
            self.deadline = now + self._response_timeout
        if wire.is_dead(now):
            self._fail(
                Problem(
                    "connection_terminated",
                    f"The upstream has acknowledged nothing for {DEAD_AFTER:g} seconds: the "
                    "connection to it is dead. Whether it acted on the request is unknown.",
                )
            )
            return
        if now < self.deadline:
            return
        # No time-out while we wait for the caller, whether to read the answer or to send its body.
        if self._reading_paused:
            return
        if self.waits_for_caller and not (self.write_paused or self._refused):
            return
        what = "sent nothing more" if self.answered else "did not answer"
        self._fail(
            Problem(
                "http_response_timeout",
                f"The upstream {what} within upstream.response_timeout. It may still have acted "
                "on the request.",
            )
        )

    # ── called by the transport ──

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        self._wire = Wire(self.transport)

    def data_received(self, data: bytes) -> None:
        if self._sink is None:
            self.discard()
            return
        self.answered = True
        if self._decoder is not None:
            # Not before the head: interim answers must not put it off for ever.
            self.deadline = self._clock.monotonic() + self._response_timeout
        if self._held is not None:
            self._held.append(data)
            return
        try:
            if self._decoder is None:
                self._heads(data)
            else:
                self._body(data)
        except Problem as problem:
            self._fail(problem)

    def eof_received(self) -> None:
        self._ended_well = self._wire.has_said_goodbye()

    def connection_lost(self, exc: Exception | None) -> None:
        self._home.lost(self)
        if exc is not None:
            for data in self._wire.rest():
                self.data_received(data)
        self._wire.let_go()
        if self._sink is None:
            return
        if self._held is not None:
            self._lost = (exc,)
            return
        self._end_of_stream(exc)

    def pause_writing(self) -> None:
        self.write_paused = True
        if self._sink is not None:
            self._sink.upstream_full()

    def resume_writing(self) -> None:
        self.write_paused = False
        self.deadline = self._clock.monotonic() + self._response_timeout
        if self._sink is not None:
            self._sink.upstream_ready()

    # ── within ──

    def _heads(self, data: bytes) -> None:
        sink = self._sink
        while sink is not None:
            found = self._head.feed(data)
            if found is None:
                return
            raw, data = found
            head = self._previous = parse_response_head(raw, self._previous)
            if head.status >= 200:
                # RFC 9112 section 9.5: nobody wants the rest of the body.
                self._refused = head.status >= 300 and not self.request_done
                if b"keep-alive" in head.fields:
                    announced = IDLE_TIMEOUT.search(head.fields[b"keep-alive"])
                    # A second less: what we send takes its time to get there.
                    self.kept_for = int(announced[1]) - 1 if announced else math.inf
                break
            sink.interim(head)
            if self._sink is not sink or not data:
                return
        else:
            return
        if (
            len(data) == head.content_length
            and data
            and head.status not in MAY_BE_HELD_OR_EMPTY
            and self._method != b"HEAD"
        ):
            self._persistent = head.keep_alive
            self._sink = None
            self._settle(b"")
            sink.whole_answer(head, data)
            return
        self._decoder = self._decoder_for(head)
        self.deadline = self._clock.monotonic() + self._response_timeout
        sink.answer(head)
        if self._sink is not sink:
            return
        if self._held is not None:
            self._held.append(data)
            return
        self._body(data)

    def _decoder_for(self, head: ResponseHead) -> BodyDecoder:
        self._persistent = head.keep_alive
        # RFC 9112 section 6.3, in its order.
        if self._method == b"HEAD" or head.status in BODILESS:
            return LengthDecoder(0)
        if head.chunked:
            return ChunkedDecoder(upstream=True)
        if head.content_length is not None:
            return LengthDecoder(head.content_length)
        self._persistent = False
        return UntilCloseDecoder()

    def _body(self, data: bytes) -> None:
        sink, decoder = self._sink, self._decoder
        if sink is None or decoder is None:
            return
        piece = decoder.feed(data)
        if piece:
            sink.data(piece)
            if self._sink is not sink:
                return
        if decoder.finished:
            self._sink = None
            self._settle(decoder.excess)
            sink.end(decoder.trailers)
        else:
            sink.flush()

    def _settle(self, excess: bytes) -> None:
        self._wire.let_go()
        transport = self.transport
        # Do not reuse a paused connection: TLS may have buffered bytes that polling the socket
        # cannot see.
        if (
            self._persistent
            and self.request_done
            and not excess
            and not self._reading_paused
            and transport is not None
            and not transport.is_closing()
            and not transport.get_write_buffer_size()
        ):
            self._home.released(self)
        else:
            self.discard()

    def _end_of_stream(self, exc: Exception | None) -> None:
        sink = self._sink
        if sink is None:
            return
        if exc is None and self._ended_well and isinstance(self._decoder, UntilCloseDecoder):
            self._sink = None
            sink.end([])
            return
        self._fail(
            Problem(
                "connection_terminated",
                "The upstream closed the connection before its answer was complete. Whether it "
                "acted on the request is unknown.",
            )
        )

    def _fail(self, problem: Problem) -> None:
        sink = self._sink
        self.discard()
        if sink is not None:
            sink.failed(problem, self)
