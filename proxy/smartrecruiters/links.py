r"""Rewrites absolute links in JSON bodies to the origin that the caller used, as the body streams.

A string value that begins with the upstream's origin and path prefix, written plainly or with `\/`,
and goes on with `/`, `?`, `#` or ends there, gets the caller's origin in their place. Nothing else
of the body is touched, and a key never is.

No JSON is parsed. In JSON a quote that is followed by `https:` and not preceded by a backslash
opens a string: what follows one that closes is a comma, colon, bracket or blank. Whether the string
is a value is told by what stands before it: a colon, an opening bracket or nothing (a value), an
opening brace (a key). After a comma it may be either, and what follows its end tells: it is kept
until then, up to LONGEST_KEPT bytes; a longer one passes as it is.
"""

import re
from urllib.parse import urlsplit

BLANKS = b" \t\r\n"
JSON = re.compile(r"application/(?:json|[\w!#$&^.+-]+\+json)\s*(?:;.*)?", re.IGNORECASE | re.DOTALL)
ENDS = b'/?#"'
# More than any server takes as a URL.
LONGEST_KEPT = 16384
STRING = re.compile(rb'"(?:[^"\\]|\\.)*"[ \t\r\n]*', re.DOTALL)
DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def is_rewritten(status: int, content_type: str | None, content_encoding: str | None) -> bool:
    """Tell whether links in an answer's body are looked for: whole, plain JSON only.

    A part of a body (206) may begin within a string, and its Content-Range gives lengths.
    """
    return (
        status != 206
        and content_type is not None
        and JSON.fullmatch(content_type.strip()) is not None
        and (content_encoding or "identity").strip().lower() == "identity"
    )


def weak(etag: bytes) -> bytes:
    """Return the ETag of a rewritten body: no longer the same bytes (RFC 9110 section 8.8.1)."""
    return etag if etag.startswith(b"W/") else b"W/" + etag


class LinkTarget:
    """The links to look for: the upstream's URL, prepared once."""

    def __init__(self, upstream_url: str) -> None:
        parts = urlsplit(upstream_url)
        authority = parts.netloc.lower().removesuffix(DEFAULT_PORTS.get(parts.scheme, "-"))
        self.url = f"{parts.scheme}://{authority}{parts.path.rstrip('/')}".encode("ascii")
        self.opening = b'"%b:' % parts.scheme.encode("ascii")
        self.pattern = re.compile(b'"' + re.escape(self.url).replace(b"/", rb"\\?/"))
        # The most bytes that a match may take: quote, each slash escaped, a backslash after it.
        self.longest = len(self.url) + self.url.count(b"/") + 2

    def may_begin(self, tail: bytes) -> bool:
        """Tell whether a match may begin with these bytes (a quote first) and go on behind them."""
        if len(tail) > self.longest:
            return False
        text = tail[1:].removesuffix(b"\\").replace(b"\\/", b"/")
        return self.url.startswith(text)


class LinkRewriter:
    """Rewrites one body piece by piece; keeps back at most LONGEST_KEPT bytes of it."""

    def __init__(self, target: LinkTarget, origin: bytes) -> None:
        self._target = target
        self._origin = origin
        self._escaped_origin = origin.replace(b"/", b"\\/")
        self._kept = b""
        self._last = b""  # the last byte that was sent on
        self._last_mark = b""  # the last one that was not a blank

    def data(self, piece: bytes) -> bytes:
        """Take a piece of the body; return what can be sent on."""
        return self._rewrite(self._kept + piece, is_last=False)

    def end(self) -> bytes:
        """End the body; return what was kept back."""
        return self._rewrite(self._kept, is_last=True)

    def _rewrite(self, data: bytes, *, is_last: bool) -> bytes:
        """Rewrite link by link; the data before `done` is decided."""
        target = self._target
        parts: list[bytes] = []
        done = at = 0
        keep_from = len(data)
        while (at := data.find(target.opening, at)) >= 0:
            found = target.pattern.match(data, at)
            if found is None:
                at += 1
                continue
            follower = data[found.end() : found.end() + 2]
            if not is_last and follower in (b"", b"\\"):
                keep_from = at
                break
            if not follower or (follower[:1] not in ENDS and follower != b"\\/"):
                at += 1
                continue
            is_value = self._is_value(data, at, is_last=is_last)
            if is_value is None:
                keep_from = at
                break
            if is_value:
                escaped = b"\\" in found[0]
                parts += (data[done : at + 1], self._escaped_origin if escaped else self._origin)
                done = found.end()
            at = found.end()
        else:
            if not is_last:
                keep_from = self._unsure_from(data, max(done, len(data) - target.longest))
        self._kept = data[keep_from:]
        self._remember(data, keep_from)
        if not parts:
            return data[:keep_from]
        parts.append(data[done:keep_from])
        return b"".join(parts)

    def _unsure_from(self, data: bytes, start: int) -> int:
        """Return where a link may begin that continues in the next piece; else the data's end."""
        quote = data.rfind(b'"', start)
        if quote >= 0 and self._target.may_begin(data[quote:]):
            return quote
        return len(data)

    def _is_value(self, data: bytes, at: int, *, is_last: bool) -> bool | None:
        """Tell whether the string that opens here is a value; None while that cannot be told."""
        if (data[at - 1 : at] if at else self._last) == b"\\":
            return False  # an escaped quote within a string
        before = at - 1
        while before >= 0 and data[before] in BLANKS:
            before -= 1
        mark = data[before : before + 1] if before >= 0 else self._last_mark
        if mark == b"{":
            return False
        if mark != b",":
            return True
        string = STRING.match(data, at)
        if string is not None and string.end() < len(data):
            return data[string.end()] != ord(":")
        if is_last or len(data) - at > LONGEST_KEPT:
            return False
        return None

    def _remember(self, data: bytes, end: int) -> None:
        if not end:
            return
        self._last = data[end - 1 : end]
        while end and data[end - 1] in BLANKS:
            end -= 1
        if end:
            self._last_mark = data[end - 1 : end]
