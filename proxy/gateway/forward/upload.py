"""A request's body on its way up: framed for the upstream, and kept for a repeat while it fits."""

from typing import Final

from proxy.gateway.forward.seams import Inbound, Tap
from proxy.gateway.headers import passing_trailers
from proxy.gateway.http1 import Headers, RequestHead, encode_chunk, encode_last_chunk
from proxy.gateway.upstream import UpstreamConnection

# What may wait for a connection to be had, beyond what is kept anyway.
WAITING_LIMIT: Final = 65536


class Upload:
    """The body of one request; sent as it comes, and again from its start if it was kept."""

    __slots__ = (
        "_connection", "_inbound", "_length", "_limit", "_paused", "_pieces", "_size", "_tap",
        "chunked", "complete", "expects_continue", "kept",
    )  # fmt: skip

    def __init__(
        self, head: RequestHead, inbound: Inbound, limit: int, tap: Tap | None = None
    ) -> None:
        self._inbound = inbound
        self._limit = limit
        self._tap = tap
        self._length = head.content_length
        self._connection: UpstreamConnection | None = None
        self._pieces: list[bytes] = []  # framed, from the start on
        self._size = 0
        self._paused = False
        self.chunked = head.chunked
        self.complete = not (head.chunked or head.content_length)
        self.kept = self._length is None or self._length <= limit
        self.expects_continue = (
            not self.complete
            and head.minor == 1
            and head.fields.get(b"expect", b"").lower() == b"100-continue"
        )

    @property
    def is_replayable(self) -> bool:
        """Return whether the whole body can be sent again: kept, and sure to fit to its end."""
        return self.kept and (self.complete or self._length is not None)

    @property
    def awaits_caller(self) -> bool:
        """Return whether the next byte is the caller's to send, and it may."""
        return not (self.complete or self.expects_continue or self._paused)

    def feed(self, data: bytes) -> None:
        """Send a piece of the body, or keep it until there is a connection."""
        self.expects_continue = False
        self._size += len(data)
        if self._tap is not None:
            self._tap.sent(data)
        if self.chunked:
            data = encode_chunk(data)
        connection = self._connection
        if self.kept and self._size > self._limit:
            self.kept = False
            if connection is not None:
                self._pieces.clear()
        if self.kept or connection is None:
            self._pieces.append(data)
        if connection is not None:
            connection.waits_for_caller = True
            connection.write(data)
        elif self._size > max(self._limit, WAITING_LIMIT):
            self.pause()

    def end(self, trailers: Headers) -> None:
        """Send the end of the body, or keep it."""
        self.complete = True
        self.expects_continue = False
        last = encode_last_chunk(passing_trailers(trailers)) if self.chunked else b""
        connection = self._connection
        if last and (self.kept or connection is None):
            self._pieces.append(last)
        if connection is not None:
            if last:
                connection.write(last)
            connection.request_done = True
            connection.waits_for_caller = False

    def attach(self, connection: UpstreamConnection, head: bytes) -> None:
        """Send the head and what there is of the body, in one write, and go on from there."""
        self._connection = connection
        if self._pieces:
            head += b"".join(self._pieces)
            if not self.kept:
                self._pieces.clear()
        if self.complete:
            connection.request_done = True
        else:
            connection.waits_for_caller = not self.expects_continue
        connection.write(head)
        if self._paused and not connection.write_paused:
            self.resume()

    def detach(self) -> None:
        """Send nothing more on the connection; keep what comes meanwhile."""
        self._connection = None

    def forget(self) -> None:
        """Keep nothing more: the request will not be repeated."""
        self.kept = False
        if self._connection is not None:
            self._pieces.clear()

    def continued(self) -> None:
        """Note that the caller was told to go on with its body."""
        self.expects_continue = False
        if self._connection is not None and not self.complete:
            self._connection.waits_for_caller = True

    def pause(self) -> None:
        """Read no more from the caller for now."""
        if not self._paused and not self.complete:
            self._paused = True
            self._inbound.pause_body()

    def resume(self) -> None:
        """Read on from the caller."""
        if self._paused:
            self._paused = False
            self._inbound.resume_body()


class _NoUpload(Upload):
    """A request without a body: complete from the start, with nothing to keep or to pause."""

    def __init__(self) -> None:
        self.chunked = False
        self.complete = True
        self.kept = True
        self.expects_continue = False

    @property
    def is_replayable(self) -> bool:
        return True

    @property
    def awaits_caller(self) -> bool:
        return False

    def attach(self, connection: UpstreamConnection, head: bytes) -> None:
        connection.request_done = True
        connection.write(head)

    def detach(self) -> None:
        pass

    def forget(self) -> None:
        pass

    def continued(self) -> None:
        pass

    def pause(self) -> None:
        pass

    def resume(self) -> None:
        pass


# Without state, so that all requests without a body, which are most, share one.
NO_UPLOAD: Upload = _NoUpload()
