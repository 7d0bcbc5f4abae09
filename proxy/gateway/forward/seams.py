"""What forwarding needs of others: the caller's side of a request, and a source of credentials."""

from enum import Enum
from typing import Protocol

from proxy.errors import Problem
from proxy.gateway.http1 import Headers


class Framing(Enum):
    """How the body of an answer is told from what follows it, towards the caller."""

    NONE = "none"  # HEAD, 204, 304
    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"  # for HTTP/1.0: ended by the end of the connection


class Inbound(Protocol):
    """The caller's side of one request: where its answer goes and its body comes from."""

    @property
    def cors(self) -> list[tuple[bytes, bytes]]:
        """Headers of ours that the answer carries for a browser."""
        ...

    def origin(self) -> bytes:
        """Name the origin that the caller used for us: http, and its Host."""
        ...

    def date_line(self) -> bytes:
        """Build a Date header for an answer that has none."""
        ...

    def send_interim(self, head: bytes) -> None: ...
    def send_head(self, head: bytes, framing: Framing) -> None: ...
    def send(self, data: bytes) -> None: ...
    def flush(self) -> None: ...
    def end(self, trailers: Headers) -> None: ...

    def send_whole(self, head: bytes, body: bytes) -> None:
        """Send a whole answer, framed by its length, and end."""
        ...

    def refuse(self, problem: Problem) -> None:
        """Answer with a problem of ours; the head must not have been sent."""
        ...

    def abort(self, problem: Problem) -> None:
        """Break the answer off so that it cannot look complete."""
        ...

    def pause_body(self) -> None: ...
    def resume_body(self) -> None: ...


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
        """Hear that the upstream answered 401; return a newer credential if there is one now."""
        ...
