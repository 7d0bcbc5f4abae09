"""An answer on its way to the caller: head, framing, body; through a transform, past a tap.

The transform is chosen before the answer is framed, since it may change the length. Without one a
body is neither read nor copied.
"""

from typing import Final

from proxy.gateway.forward.forwarder import Forwarder
from proxy.gateway.forward.seams import Framing, Inbound, Tap, Transform
from proxy.gateway.headers import passing_trailers
from proxy.gateway.http1 import Headers, RequestHead, ResponseHead

# The statuses without a body (RFC 9112 section 6.3), beside every answer to HEAD.
BODILESS: Final = frozenset({204, 304})
CONTENT_LENGTH: Final = b"content-length:"
# Bound once: before Python 3.12 each look-up of an enum's member costs a function call.
NO_BODY: Final = Framing.NONE
BY_LENGTH: Final = Framing.LENGTH
BY_CHUNKS: Final = Framing.CHUNKED
BY_CLOSE: Final = Framing.CLOSE


class Delivery:
    """The answer of one exchange; after `send_head` come `data` and `flush`, then `end`."""

    __slots__ = ("_forwarder", "_inbound", "_request", "_tap", "_transform")

    def __init__(
        self, forwarder: Forwarder, inbound: Inbound, request: RequestHead, tap: Tap | None
    ) -> None:
        self._forwarder = forwarder
        self._inbound = inbound
        self._request = request
        self._transform: Transform | None = None
        self._tap = tap

    def send_head(self, head: ResponseHead, extra: bytes | None) -> None:
        """Send the head; `extra` is a header line of ours beside it."""
        transform = self._begin(head)
        request = self._request
        if request.method == b"HEAD" or head.status in BODILESS:
            framing, self._transform = NO_BODY, None
        elif head.content_length is not None and transform is None:
            framing = BY_LENGTH
        elif request.minor == 1:
            framing = BY_CHUNKS
        else:
            framing = BY_CLOSE
        lines = self._lines(head, keep_trailer=framing is BY_CHUNKS and head.chunked)
        if extra is not None:
            lines.append(extra)
        self._inbound.send_head(lines, framing)

    def send_whole(self, head: ResponseHead, body: bytes, extra: bytes | None) -> None:
        """Send an answer that came all at once, as most do, framed by its length."""
        transform = self._begin(head)
        lines = self._lines(head, keep_trailer=False)
        tap = self._tap
        if tap is not None:
            tap.data(body)
            tap.end(complete=True)
        if transform is not None:
            body = transform.data(body) + transform.end()
            lines.append(b"Content-Length: %d" % len(body))
        if extra is not None:
            lines.append(extra)
        self._inbound.send_whole(lines, body)

    def data(self, data: bytes) -> None:
        """Send a piece of the body."""
        if self._tap is not None:
            self._tap.data(data)
        if self._transform is not None:
            data = self._transform.data(data)
            if not data:
                return
        self._inbound.send(data)

    def end(self, trailers: Headers) -> None:
        """Send the end."""
        if self._tap is not None:
            self._tap.end(complete=True)
        if self._transform is not None:
            rest = self._transform.end()
            if rest:
                self._inbound.send(rest)
        self._inbound.end(passing_trailers(trailers) if trailers else trailers)

    def break_off(self) -> None:
        """Note that no end will come."""
        if self._tap is not None:
            self._tap.end(complete=False)

    # ── within ──

    def _begin(self, head: ResponseHead) -> Transform | None:
        if self._tap is not None:
            self._tap.head(head)
        transform_for = self._forwarder.transform_for
        if transform_for is not None:
            self._transform = transform_for(self._request, head, self._inbound.origin)
        return self._transform

    def _lines(self, head: ResponseHead, *, keep_trailer: bool) -> list[bytes]:
        inbound = self._inbound
        lines = self._forwarder.inbound.build(
            head, inbound.origin, keep_trailer=keep_trailer, cors=inbound.cors
        )
        if not head.parsed.names.has_date:
            lines.append(inbound.date_line())  # RFC 9110 section 6.6.1
        if self._transform is not None:
            lines = [line for line in lines if not line.lower().startswith(CONTENT_LENGTH)]
            lines = self._transform.head(lines)
        return lines
