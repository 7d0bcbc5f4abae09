"""Origins: which web pages may call, by `Origin` and by Fetch Metadata; and CORS for those.

Two guards, because each is blind where the other sees: simple form posts carry `Origin`, images,
scripts and navigations only `Sec-Fetch-Site`. Programs send neither and are none of a browser's
business. Without `access.allowed_origins` no CORS header is ever sent; with it never `*`, and never
`Access-Control-Allow-Private-Network`.
"""

import re
from collections.abc import Iterable
from typing import Final

from proxy.gateway.guards.hosts import parse_authority

ORIGIN: Final = re.compile(rb"(https?)://(.+)", re.IGNORECASE)
DEFAULT_PORTS: Final = {b"http": 80, b"https": 443}
# Whoever sends something else is no browser we know: refused like a foreign page.
UNSUSPICIOUS_SITES: Final = frozenset({b"same-origin", b"none"})
HEADER_NAMES: Final = re.compile(
    rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]*,[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*"
)
METHODS: Final = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
USUAL_HEADERS = (
    b"Authorization, Content-Type, X-API-Key, X-SmartToken, X-SRProxy-Account, X-SRProxy-Key, "
    b"X-Request-ID"
)
# What a page may read of an answer, besides what every page may.
EXPOSED = (
    b"Content-Disposition, Content-Location, ETag, Link, Location, Proxy-Status, Retry-After, "
    b"X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Concurrent-Limit, "
    b"X-RateLimit-Concurrent-Remaining"
)
REMEMBERED: Final = 1024
LONGEST: Final = 512


def is_own(origin: bytes, host: bytes) -> bool:
    """Return whether an origin is the request's own: http or https on this very Host and port."""
    match = ORIGIN.fullmatch(origin)
    if match is None:
        return False
    scheme, authority = match.groups()
    theirs, ours = parse_authority(authority), parse_authority(host)
    if theirs is None or ours is None or theirs[0] != ours[0]:
        return False
    default = DEFAULT_PORTS[scheme.lower()]
    return (theirs[1] or default) == (ours[1] or default)


class Origins:
    """The allow-list of origins."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = {origin.lower().encode(): origin.encode() for origin in allowed}
        self._own: dict[tuple[bytes, bytes], bool] = {}

    def __bool__(self) -> bool:
        return bool(self._allowed)

    def allowed(self, origin: bytes | None) -> bytes | None:
        """Return the origin if it is one of `access.allowed_origins`."""
        if origin is None or not self._allowed:
            return None
        return self._allowed.get(origin.lower())

    def is_own(self, origin: bytes, host: bytes | None) -> bool:
        """Return whether an origin is the request's own; the verdict is remembered."""
        if host is None or len(origin) > LONGEST:
            return False
        verdict = self._own.get((origin, host))
        if verdict is None:
            verdict = is_own(origin, host)
            if len(self._own) >= REMEMBERED:
                self._own.clear()
            self._own[origin, host] = verdict
        return verdict

    def answer_headers(self, origin: bytes | None) -> list[tuple[bytes, bytes]]:
        """Build the headers of an answer; `origin` is one that `allowed` returned, or None."""
        if not self._allowed:
            return []
        # On every answer: a cache must not give one origin's answer to another.
        headers = [(b"Vary", b"Origin")]
        if origin is not None:
            headers.append((b"Access-Control-Allow-Origin", origin))
            headers.append((b"Access-Control-Expose-Headers", EXPOSED))
        return headers

    def preflight_headers(self, origin: bytes, wanted: bytes | None) -> list[tuple[bytes, bytes]]:
        """Build the answer to a preflight from an allowed origin."""
        names = wanted if wanted and HEADER_NAMES.fullmatch(wanted) else USUAL_HEADERS
        return [
            (b"Vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
            (b"Access-Control-Allow-Origin", origin),
            (b"Access-Control-Allow-Methods", METHODS),
            (b"Access-Control-Allow-Headers", names),
            (b"Access-Control-Max-Age", b"600"),
        ]
