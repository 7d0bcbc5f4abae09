"""What forwarding needs of others, each a Protocol: whoever builds the Forwarder hands them in."""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Protocol

from proxy.errors import Problem
from proxy.gateway.http1 import Headers, RequestHead, ResponseHead
from proxy.gateway.limits import Waiter
from proxy.telemetry.traffic import RequestRecord


class Framing(Enum):
    """How the caller finds the end of an answer's body."""

    NONE = "none"  # HEAD, 204, 304
    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"  # for HTTP/1.0: ended by the end of the connection


class Inbound:
    """The caller's side of one request: where its answer goes and its body comes from."""

    @property
    def cors(self) -> list[tuple[bytes, bytes]]:
        """Headers of ours that the answer carries for a browser."""
        raise NotImplementedError

    def origin(self) -> bytes:
        """Name the origin that the caller used for us (proxy.system.origin)."""
        raise NotImplementedError

    def date_line(self) -> bytes:
        """Build the line of a Date header, without its end, for an answer that has none."""
        raise NotImplementedError

    def send_interim(self, head: bytes) -> None:
        raise NotImplementedError

    def send_head(self, lines: list[bytes], framing: Framing) -> None:
        """Send the head of an answer; its lines have no ends, and are the receiver's to change."""
        raise NotImplementedError

    def send(self, data: bytes) -> None:
        raise NotImplementedError

    def flush(self) -> None:
        raise NotImplementedError

    def end(self, trailers: Headers) -> None:
        raise NotImplementedError

    def send_whole(self, lines: list[bytes], body: bytes) -> None:
        """Send a whole answer, framed by its length, and end; lines as in `send_head`."""
        raise NotImplementedError

    def refuse(self, problem: Problem) -> None:
        """Answer with a problem of ours; the head must not have been sent."""
        raise NotImplementedError

    def abort(self, problem: Problem) -> None:
        """Break the answer off so that it cannot look complete."""
        raise NotImplementedError

    def pause_body(self) -> None:
        raise NotImplementedError

    def resume_body(self) -> None:
        raise NotImplementedError


class Credential(Protocol):
    """The header lines to set, each ended by CRLF, and which token they carry."""

    @property
    def lines(self) -> bytes: ...
    @property
    def generation(self) -> int: ...


class CredentialSource(Protocol):
    """One account's credential, kept valid by whoever owns the grant."""

    def current(self) -> Credential | None:
        """Return the valid credential in memory, if there is one; waits for nothing."""
        ...

    async def credential(self) -> Credential:
        """Return a valid credential, after a refresh if need be, or raise the Problem."""
        ...

    async def rejected(self, generation: int) -> Credential | None:
        """Note that the upstream answered 401; return a newer credential if there is one now."""
        ...


class Ticket(Protocol):
    """One request's way through the limits (proxy.gateway.limits)."""

    held: float  # seconds that it was held back for, so far

    def enter(self, waiter: Waiter) -> bool:
        """Go at once where the limits allow it; else the waiter is told when, or of a refusal."""
        ...

    def sent(self) -> None: ...
    def answered(self, fields: Mapping[bytes, bytes]) -> None: ...

    def resend_in(self, status: int, fields: Mapping[bytes, bytes]) -> float | None:
        """Return in how many seconds a refused request is to be sent again; None: it is not."""
        ...

    def again(self, wait: float) -> None:
        """Join the row again, for another sending not before `wait` seconds."""
        ...

    def over(self) -> None:
        """Give everything back; called exactly once."""
        ...


class Gate(Protocol):
    """The limits: whether a request may go now."""

    def ticket(
        self, account: str, operation: str, method: bytes, path: bytes, caller: str | None
    ) -> Ticket | None:
        """Make the ticket of a request; None where nothing limits it."""
        ...


class Open:
    """No limits."""

    def ticket(
        self,
        account: str,  # noqa: ARG002 - the door's shape
        operation: str,  # noqa: ARG002
        method: bytes,  # noqa: ARG002
        path: bytes,  # noqa: ARG002
        caller: str | None,  # noqa: ARG002
    ) -> None:
        """Let everything go."""
        return


class Transform(Protocol):
    """Changes the body of one answer while it streams; its length is not known beforehand."""

    def head(self, lines: list[bytes]) -> list[bytes]:
        """Change the status line and field lines, from which Content-Length is gone already."""
        ...

    def data(self, data: bytes) -> bytes: ...
    def end(self) -> bytes: ...


class Tap(Protocol):
    """Looks at one exchange as it passes, and changes nothing."""

    def sent(self, data: bytes) -> None:
        """See a piece of the request's body."""
        ...

    def head(self, head: ResponseHead) -> None: ...

    def data(self, data: bytes) -> None:
        """See a piece of the answer's body, as it came from the upstream."""
        ...

    def end(self, *, complete: bool) -> None:
        """See the end, exactly once; not `complete`: broken off, or answered by us."""
        ...


# Asked once for each answer, before it is framed: the request, the answer, the caller's origin.
TransformFor = Callable[[RequestHead, ResponseHead, Callable[[], bytes]], Transform | None]
# Asked once for each request that is forwarded: with its record, and the caller's origin.
TapFor = Callable[[RequestHead, RequestRecord, Callable[[], bytes]], Tap | None]
