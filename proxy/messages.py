"""A request to the proxy itself and its answer, as plain values.

The front makes the one of what came and writes the other; the control routes turn the one into the
other. So neither has to know of the other, and no HTTP library of either.
"""

import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

# A comma too: no value holds one (RFC 6265 section 4.1.1), and it joins what came in two headers.
COOKIE_END = re.compile("[;,]")


@dataclass(frozen=True, slots=True)
class Request:
    """A whole request, after the guards."""

    method: str
    target: str = field(repr=False)  # in origin form, as it came
    # By lower-case name; the values of one that is repeated are joined by ", ".
    fields: Mapping[bytes, bytes] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    is_tls: bool = False
    address: str | None = None  # the caller's; None over a Unix socket
    caller: str | None = None  # the name of its API key, or the one in its certificate

    @property
    def path(self) -> str:
        """Return the path as it came, nothing decoded."""
        return self.target.partition("?")[0]

    @property
    def raw_query(self) -> str:
        """Return the query as it came."""
        return self.target.partition("?")[2]

    @property
    def query(self) -> dict[str, str]:
        """Return the query's parameters, decoded; of one that came twice the first."""
        return dict(reversed(parse_qsl(self.raw_query, keep_blank_values=True)))

    @property
    def content_type(self) -> str:
        """Return the media type of the body in lower case, or nothing."""
        return (self.header("content-type") or "").partition(";")[0].strip().lower()

    @property
    def cookies(self) -> dict[str, str]:
        """Return the cookies."""
        pairs = (part.partition("=") for part in COOKIE_END.split(self.header("cookie") or ""))
        return {name.strip(): value.strip().strip('"') for name, equals, value in pairs if equals}

    def header(self, name: str) -> str | None:
        """Return a header's value; a byte that is no UTF-8 becomes a surrogate."""
        value = self.fields.get(name.lower().encode())
        return None if value is None else value.decode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    status: int = 200
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer that lasts as long as its reader; `pieces` is closed with it, whatever ends it."""

    headers: Sequence[tuple[str, str]]
    pieces: AsyncGenerator[bytes, None]
