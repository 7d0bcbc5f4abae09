"""Targets: which forms of a request target are accepted, and what of it goes upstream.

The bytes that pass are passed as they came, never decoded and encoded again (rule 1 of requests in
docs/behaviour.md). So what must not pass is refused rather than mended: whoever normalises a path
hopes that the other side normalises alike.
"""

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from proxy.errors import Problem

METHODS_TAKEN: Final = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
# They would echo the bearer (TRACE, TRACK) or make a tunnel past every rule (CONNECT).
REFUSED_METHODS: Final = frozenset({b"TRACE", b"TRACK", b"CONNECT"})

RAW_IN_PATH: Final = re.compile(rb"[^!-~]|[\\#]")
# curl, PHP, lynx and Node's fetch send a query as it was written, `Müller` and backslash included.
RAW_IN_QUERY: Final = re.compile(rb"[^!-~\x80-\xff]|#")
ABSOLUTE: Final = re.compile(rb"https?://([^/?]*)(.*)", re.IGNORECASE | re.DOTALL)
# `.` and `..`, each dot literal or encoded once, whichever separator the other side may honour.
DOT_SEGMENT: Final = re.compile(
    rb"(?:/|%2f|%5c)(?:\.|%2e){1,2}(?:$|/|%2f|%5c|;|%3b)", re.IGNORECASE | re.DOTALL
)
# Where a path ends early in many a C library, or a header begins.
ENCODED_CONTROL: Final = re.compile(rb"%0[0ad]", re.IGNORECASE)

TOKEN_ENDPOINT: Final = b"/identity/oauth"
DECODINGS: Final = 4


def split_absolute(target: bytes) -> tuple[bytes, bytes] | None:
    """Split an absolute-form target into its authority and its origin-form; None for others."""
    match = ABSOLUTE.fullmatch(target)
    if match is None:
        return None
    authority, rest = match.groups()
    return authority, rest if rest.startswith(b"/") else b"/" + rest


def origin_form(target: bytes) -> bytes:
    """Return what goes upstream of a target: all of it, but for an absolute form's authority."""
    if target.startswith(b"/"):
        return target
    parts = split_absolute(target)
    return target if parts is None else parts[1]


def refused(detail: str) -> Problem:
    """Make the problem of a target that is not accepted."""
    return Problem("bad_request", detail)


def check_method(method: bytes) -> None:
    """Refuse the methods that are never accepted, in any case: an upstream might fold it."""
    if method.upper() in REFUSED_METHODS:
        if method.upper() == b"CONNECT":
            raise Problem(
                "bad_request",
                "This is no forward proxy. Do not name it in https_proxy: set the tool's base URL "
                "to this proxy's own address instead.",
                status=405,
                headers=[("Allow", METHODS_TAKEN)],
            )
        raise Problem(
            "bad_request",
            "TRACE and TRACK are not taken: they would show the token.",
            status=405,
            headers=[("Allow", METHODS_TAKEN)],
        )


def check_target(target: bytes) -> None:
    """Refuse an origin-form target that could be read in two ways."""
    if not target.startswith(b"/"):
        raise refused("The target is neither a path nor a URL of this proxy's own.")
    path, _, query = target.partition(b"?")
    if RAW_IN_PATH.search(path):
        raise refused(
            "The path has a raw control character, space, backslash, '#' or non-ASCII byte in it. "
            "Percent-encode it."
        )
    if RAW_IN_QUERY.search(query):
        raise refused(
            "The query has a raw control character, space or '#' in it. Percent-encode it."
        )
    if DOT_SEGMENT.search(path):
        raise refused("The path has a dot segment in it, literal or encoded. Resolve it first.")
    if ENCODED_CONTROL.search(path):
        raise refused("The path has an encoded NUL, CR or LF in it.")


def canonical(path: bytes) -> bytes:
    """Return a path as the most obliging of servers would read it: for refusing, never to send."""
    for _ in range(DECODINGS):
        decoded = unquote_to_bytes(path)
        if decoded == path:
            break
        path = decoded
    segments: list[bytes] = []
    for segment in path.lower().replace(b"\\", b"/").split(b"/"):
        name = segment.partition(b";")[0].strip()
        if name == b"..":
            del segments[-1:]
        elif name not in (b"", b"."):
            segments.append(name)
    return b"/" + b"/".join(segments)


def is_token_endpoint(path: bytes, prefix: bytes) -> bool:
    """Return whether a path, however it is written, leads to the upstream's OAuth endpoints."""
    if canonical(path).startswith(TOKEN_ENDPOINT):
        return True
    return bool(prefix) and canonical(prefix + path).startswith(TOKEN_ENDPOINT)
