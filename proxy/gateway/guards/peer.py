"""A caller's side of a connection, as the sockets have it: made once, when it is accepted."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, and at which address of ours."""

    address: str | None = None  # the caller's; None over a Unix socket
    local: tuple[str, int] | None = None  # the address that it connected to, and the port
    is_unix: bool = False
    tls: bool = False
    # Of the certificate that it showed: the common name, and the subject as RFC 4514 writes it.
    subjects: tuple[str, ...] = ()

    @classmethod
    def of(cls, extra_info: Callable[[str], object], subjects: tuple[str, ...] = ()) -> Self:
        """Read it off a transport's `get_extra_info`."""
        ours, theirs = extra_info("sockname"), extra_info("peername")
        return cls(
            address=str(theirs[0]) if isinstance(theirs, tuple) else None,
            local=(str(ours[0]), int(ours[1])) if isinstance(ours, tuple) else None,
            is_unix=not isinstance(ours, tuple),
            tls=extra_info("ssl_object") is not None,
            subjects=subjects,
        )

    @property
    def local_ip(self) -> str | None:
        """Return the address of ours alone."""
        return self.local[0] if self.local is not None else None

    @property
    def name(self) -> str | None:
        """Return the name that its certificate gives it."""
        return self.subjects[0] if self.subjects else None
