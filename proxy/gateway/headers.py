"""Which headers pass, which are ours, and where links lead: requests up, answers down.

The order is the safety of it: hop-by-hop headers, those that `Connection` names included, go
**first**; then the credential is set, **last**. The other way round, `Connection: authorization`
takes the credential off again (golang/go #50580, CVE-2022-31813). A header that frames, routes or
authorizes cannot be named away. Everything that is not named below passes as it came, in order,
repeats and Latin-1 bytes included, and nothing is invented.
"""

import re
from collections.abc import Callable, Collection, Sequence
from typing import Final
from urllib.parse import urlsplit

from proxy.gateway.http1 import Headers, RequestHead, ResponseHead

# The list of RFC 9110 section 7.6.1, and two more, each with its reason.
HOP_BY_HOP: Final = {
    b"connection",
    b"keep-alive",
    b"proxy-connection",
    b"te",
    b"transfer-encoding",
    b"upgrade",
    b"proxy-authenticate",  # for the next client on the way alone (RFC 9110 section 11.7.1)
    b"http2-settings",  # goes with an offer of h2c (RFC 7540 section 3.2.1)
}
# What does not go up; as a trailer it does not come down either (`passing_trailers`).
NOT_FOR_UPSTREAM: Final = HOP_BY_HOP | {
    b"host",  # becomes the upstream's
    b"authorization",  # becomes ours
    b"proxy-authorization",
    b"x-smarttoken",  # SmartRecruiters would take it as a credential
    b"forwarded",  # the inside of a caller's network is no concern of the upstream's
    b"x-real-ip",
}
PREFIXES_NOT_FOR_UPSTREAM: Final = (b"x-srproxy-", b"x-forwarded-")
NOT_FOR_CALLER: Final = HOP_BY_HOP | {
    b"alt-svc",  # would lead the caller past us (golang/go #30359)
    b"strict-transport-security",  # would bind to localhost, every port of it
}
# What `Connection` may not name away: what frames a message or says how it is sent, routes it,
# shows its way (Via), dates it, or is set by us.
PROTECTED: Final = {
    b"host", b"content-length", b"transfer-encoding", b"authorization", b"via", b"date",
    b"trailer", b"expect",
}  # fmt: skip
# A trailer may not frame, route or authorize (RFC 9110 section 6.5.1), nor be what we drop.
NOT_IN_TRAILERS: Final = {
    b"content-length", b"content-encoding", b"content-type", b"content-range", b"trailer",
    b"via", b"cookie", b"set-cookie", b"www-authenticate", b"cache-control", b"expect", b"range",
    b"max-forwards", b"age", b"date", b"expires", b"location", b"retry-after", b"vary",
    b"x-api-key",
}  # fmt: skip
LINKS: Final = {b"location", b"content-location"}
# An answer with one of these is looked at header by header.
LOOKED_AT: Final = frozenset(LINKS | {b"link", b"set-cookie", b"trailer"})
# Cache limit; the cache is cleared when full, since callers choose the names.
REMEMBERED: Final = 2048
# Where requests have passed: not in Via, for which many servers switch compression off.
INSTANCES: Final = b"x-srproxy-instance"
OUR_COOKIES: Final = b"srproxy_"
COOKIE_PREFIXES: Final = (b"__Host-", b"__Secure-")

LINK_TARGET: Final = re.compile(rb"<([^<>]*)>")
ABSOLUTE: Final = re.compile(rb"(?:(https?):)?//([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
DEFAULT_PORTS: Final = {b"http": b"80", b"https": b"443"}


def _is_kept_back(lower: bytes) -> bool:
    return lower in NOT_FOR_UPSTREAM or lower.startswith(PREFIXES_NOT_FOR_UPSTREAM)


def _passes_up(lower: bytes) -> bool:
    """Return whether a request header passes, by its name alone."""
    if b"_" not in lower:
        return not _is_kept_back(lower)
    plain = _plain(lower)
    return not (_is_kept_back(plain) or plain in PROTECTED)


def _plain(lower: bytes) -> bytes:
    """Read `_` as `-`, as some servers do (CGI).

    A request's header that is spelt with `_` must not get through if its `-` spelling is dropped.
    Names in the heads of answers are taken literally: no client reads them otherwise.
    """
    return lower.replace(b"_", b"-")


class OutboundHeaders:
    """Builds request headers for one upstream, with the decision for each name remembered."""

    def __init__(
        self, authority: bytes, instance: bytes, *, dropped: Collection[bytes] = ()
    ) -> None:
        """Take the upstream's authority, and a token that is this process's own.

        `dropped` names headers, in lower case, that do not go up besides the usual ones.
        """
        self._dropped = dropped
        self._first = b"Host: %b" % authority
        self._instance = instance
        self._mark = b"X-SRProxy-Instance: %b" % instance
        self._names: dict[bytes, bool] = {}  # in lower case: whether it passes

    def has_passed(self, head: RequestHead) -> bool:
        """Return whether a request came through this very instance already."""
        passed = head.fields.get(INSTANCES)
        return passed is not None and self._instance in passed.replace(b",", b" ").split()

    def build(self, head: RequestHead, key_header: bytes | None) -> bytes:
        """Build the field lines of a request, all but the credential, each ended by CRLF.

        A header is dropped for one of these reasons, the first three by its name alone and also
        where it is spelt with `_`:

        1. it is in NOT_FOR_UPSTREAM, or begins with one of PREFIXES_NOT_FOR_UPSTREAM;
        2. it is one of `dropped`, which the constructor was given;
        3. it is `key_header`, which may carry an API key of ours;
        4. `Connection` names it, and it is not in PROTECTED;
        5. it is a Cookie with nothing but our own cookies (else only those are taken out);
        6. it is Trailer, and the body is not chunked;
        7. it is Expect, from HTTP/1.0.

        One that is spelt with `_` is dropped too if its `-` spelling is in PROTECTED.
        """
        named = _named_away(head.framing.options)
        lines = [self._first]
        chunked = head.chunked
        names = self._names
        for field in head.parsed.lines:
            lower = field.lower
            passes = names.get(lower)
            if passes is None:
                passes = self._decide(lower)
            if not passes or (named and lower in named):
                continue
            if key_header and len(lower) == len(key_header) and _plain(lower) == key_header:
                continue
            if lower == b"cookie" and OUR_COOKIES in field.value:
                value = _without_our_cookies(field.value)
                if value:
                    lines.append(b"%b: %b" % (field.name, value))
                continue
            if lower == b"trailer" and not chunked:
                continue  # trailers need chunks
            if lower == b"expect" and head.minor == 0:
                continue  # RFC 9110 section 10.1.1: from HTTP/1.0 it is to be ignored
            lines.append(field.passing)
        passed = head.fields.get(INSTANCES)
        lines.append(
            b"X-SRProxy-Instance: %b, %b" % (passed, self._instance) if passed else self._mark
        )
        if chunked:
            lines.append(b"Transfer-Encoding: chunked")
        lines.append(b"")
        return b"\r\n".join(lines)

    def _decide(self, lower: bytes) -> bool:
        if len(self._names) >= REMEMBERED:
            self._names.clear()
        passes = self._names[lower] = _plain(lower) not in self._dropped and _passes_up(lower)
        return passes


def _named_away(options: list[bytes]) -> set[bytes]:
    return set(options) - PROTECTED if options else set()


def _without_our_cookies(value: bytes) -> bytes:
    kept = [pair for pair in value.split(b";") if not _cookie_name(pair).startswith(OUR_COOKIES)]
    return b";".join(kept).strip(b" \t")


def _cookie_name(pair: bytes) -> bytes:
    name = pair.strip(b" \t")
    for prefix in COOKIE_PREFIXES:
        name = name.removeprefix(prefix)
    return name


def passing_trailers(trailers: Headers) -> Headers:
    """Choose the trailers that may be passed on.

    For both directions alike: what must not go up as a header does not come down as a trailer.
    """
    return [
        (name, value)
        for name, value in trailers
        if (lower := _plain(name.lower())) not in NOT_IN_TRAILERS
        and not _is_kept_back(lower)
        and lower not in NOT_FOR_CALLER
    ]


class Links:
    """Leads links that point at the upstream to the origin that the caller used instead."""

    def __init__(self, upstream_url: str) -> None:
        parts = urlsplit(upstream_url)
        self._scheme = parts.scheme.lower().encode()
        self._host = (parts.hostname or "").encode("ascii")
        self._authority = _canonical(self._scheme, parts.netloc.encode("ascii"))
        self._prefix = parts.path.rstrip("/").encode()

    def rewrite(self, url: bytes, origin: bytes) -> bytes:
        """Rewrite one URL reference; what points elsewhere is returned as it is."""
        absolute = ABSOLUTE.fullmatch(url)
        if absolute is None:
            if self._prefix and url.startswith(b"/"):
                below = self._below_prefix(url)
                return url if below is None else below
            return url
        scheme, authority, rest = absolute.groups()
        # By http or https: a redirect to the other one must not lead past us, in clear perhaps.
        scheme = scheme.lower() if scheme is not None else self._scheme
        if _canonical(scheme, authority) != self._authority:
            return url
        below = self._below_prefix(rest)
        return url if below is None else origin + below

    def rewrite_link(self, value: bytes, origin: bytes) -> bytes:
        """Rewrite each target of a Link header (RFC 8288), its parameters untouched."""
        return LINK_TARGET.sub(lambda m: b"<%b>" % self.rewrite(m[1], origin), value)

    def _below_prefix(self, path: bytes) -> bytes | None:
        if not self._prefix:
            return path
        if not path.startswith(self._prefix):
            return None
        rest = path[len(self._prefix) :]
        if rest and rest[:1] not in (b"/", b"?", b"#"):
            return None
        return rest if rest.startswith(b"/") else b"/" + rest

    def for_our_host(self, cookie: bytes) -> bytes:
        """Take the Domain off a Set-Cookie's value where it is the upstream's host or a parent.

        Without Domain the browser ties the cookie to our host, and sends it back to us.
        """
        pair, *attributes = cookie.split(b";")
        return b";".join([pair, *(one for one in attributes if not self._is_our_domain(one))])

    def _is_our_domain(self, attribute: bytes) -> bool:
        name, _, domain = attribute.lower().partition(b"=")
        domain = domain.strip(b" \t").removeprefix(b".")
        return name.strip(b" \t") == b"domain" and (
            domain == self._host or (bool(domain) and self._host.endswith(b"." + domain))
        )


def _canonical(scheme: bytes, authority: bytes) -> bytes:
    host, colon, port = authority.lower().rpartition(b":")
    if not colon or b"]" in port:
        return authority.lower()
    return host if port in (b"", DEFAULT_PORTS[scheme]) else host + b":" + port


class InboundHeaders:
    """Builds the headers of an answer."""

    def __init__(self, links: Links) -> None:
        self._links = links

    def build(
        self,
        head: ResponseHead,
        origin: Callable[[], bytes],
        *,
        keep_trailer: bool = False,
        cors: Sequence[tuple[bytes, bytes]] = (),
    ) -> list[bytes]:
        """Build the status line and field lines of an answer, all but framing and Connection.

        Without their ends, in a list of the caller's own.
        `cors` are headers of ours, and stand in for the upstream's own such headers.
        """
        status, options = head.status, head.framing.options
        # RFC 9110 section 8.6: neither an interim answer nor a 204 has a length.
        lengthless = status == 204 or status < 200
        names = head.parsed.names
        passing = names.passing
        if passing is None:
            passing = names.passing = _passing(names.lowers)
        lines = [head.status_line.passing]
        if passing and not (options or cors or lengthless):
            fields = head.parsed.lines
            lines += [fields[number].passing for number in passing]
        else:
            dropped = _named_away(options) | NOT_FOR_CALLER
            if lengthless:
                dropped.add(b"content-length")
            if not keep_trailer:
                dropped.add(b"trailer")
            lines += self._look_at(head, dropped, origin, replaces_cors=bool(cors))
            lines += [b"%b: %b" % header for header in cors]
        return lines

    def _look_at(
        self,
        head: ResponseHead,
        dropped: set[bytes],
        origin: Callable[[], bytes],
        *,
        replaces_cors: bool,
    ) -> list[bytes]:
        kept = []
        for field in head.parsed.lines:
            lower = field.lower
            if lower in dropped or (replaces_cors and lower.startswith(b"access-control-")):
                continue
            if lower in LINKS:
                value = self._links.rewrite(field.value, origin())
            elif lower == b"link":
                value = self._links.rewrite_link(field.value, origin())
            elif lower == b"set-cookie":
                value = self._links.for_our_host(field.value)
            else:
                kept.append(field.passing)
                continue
            kept.append(b"%b: %b" % (field.name, value))
        return kept


def _passing(lowers: tuple[bytes, ...]) -> list[int]:
    """Choose the lines of an answer that pass as they are; none where each is to be looked at."""
    if not LOOKED_AT.isdisjoint(lowers):
        return []
    return [number for number, lower in enumerate(lowers) if lower not in NOT_FOR_CALLER]
