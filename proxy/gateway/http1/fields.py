"""Header fields: names and values as received, and the few that frame a message.

Names are checked once and remembered; values are opaque bytes, Latin-1 and all, and pass as they
came (RFC 9110 section 5.5). A field block is a whole number of lines, each ended by CRLF.
"""

import re
from collections.abc import Callable, Iterable, Mapping

from proxy.errors import Problem

# As received: order, case and repeats kept, the white space around values taken off. Shared
# between the requests of one connection that repeat the same block, so never changed.
Headers = list[tuple[bytes, bytes]]
Malformed = Callable[[str], Problem]

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
LENGTH = re.compile(rb"0|[1-9][0-9]{0,17}")  # below 2**63, as every peer can hold it
FOLD = re.compile(rb"[ \t]*\r\n[ \t]+")
# What may stand in a block beside its line ends: deleting it must leave nothing but those.
PLAIN = bytes([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])
# An answer's values may hold other controls (RFC 9110 section 5.5 allows retaining them), but
# never the three that end a value for some other parser.
LOOSE = bytes(set(range(256)) - set(b"\r\n\0"))

MAX_FIELDS = 1000
# What is remembered is bounded, and forgotten all at once: names come from strangers.
REMEMBERED = 2048
LONGEST_REMEMBERED = 128
# What says nothing but this is not worth taking apart.
USUAL_KEEP_ALIVE = (b"keep-alive", b"Keep-Alive")
# Their values may be secrets, and seldom come twice.
NOT_REMEMBERED = {b"set-cookie", b"location", b"link", b"authentication-info"}
_NAMES: dict[bytes, bytes] = {}


def bad_request(detail: str) -> Problem:
    """Make the Problem of a caller's malformed message."""
    return Problem("bad_request", detail)


def protocol_error(detail: str) -> Problem:
    """Make the Problem of an upstream's malformed message."""
    return Problem("http_protocol_error", f"The upstream's answer is malformed: {detail}")


def parse_request_fields(block: bytes) -> tuple[Headers, dict[bytes, bytes]]:
    """Parse a caller's field block."""
    lines = block.split(b"\r\n")
    if block.translate(None, PLAIN) != b"\r\n" * (len(lines) - 1):
        raise bad_request("A header holds a control character or a line that ends in no CRLF.")
    lines.pop()  # after the last CRLF
    if len(lines) > MAX_FIELDS:
        raise Problem("head_too_large", f"The request has more than {MAX_FIELDS} headers.")
    headers: Headers = []
    fields: dict[bytes, bytes] = {}
    for line in lines:
        name, lower, value = _parse_line(line, bad_request)
        headers.append((name, value))
        if lower in fields:
            fields[lower] = fields[lower] + b", " + value
        else:
            fields[lower] = value
    return headers, fields


def parse_response_fields(block: bytes) -> tuple[list[bytes], dict[bytes, bytes]]:
    """Parse an upstream's field block: its lines, folded ones joined, and the fields in them."""
    lines = block.split(b"\r\n")
    lines.pop()  # after the last CRLF
    if len(lines) > MAX_FIELDS:
        raise protocol_error(f"it has more than {MAX_FIELDS} headers.")
    try:
        # All of it in C: an answer has a dozen lines.
        fields = dict(map(_response_line, lines))
    except _Folded:
        # RFC 9112 section 5.2: each fold becomes a space.
        if block.startswith((b" ", b"\t")):
            raise protocol_error("its headers begin with white space.") from None
        return parse_response_fields(FOLD.sub(b" ", block))
    if len(fields) != len(lines):
        fields.clear()
        for lower, value in map(_response_line, lines):
            fields[lower] = fields[lower] + b", " + value if lower in fields else value
    return lines, fields


def response_headers(lines: Iterable[bytes]) -> Headers:
    """Return the headers of an answer's lines, their names as received."""
    headers = []
    for line in lines:
        name, _, value = _parse_line(line, protocol_error)
        headers.append((name, value))
    return headers


class _Folded(Exception):
    """A line goes on from the one before."""


class _ResponseLines(dict[bytes, tuple[bytes, bytes]]):
    """Checked lines of answers, as name in lower case and value: most come with every answer."""

    def __missing__(self, line: bytes) -> tuple[bytes, bytes]:
        if line.translate(None, LOOSE):
            raise protocol_error("a header holds CR, LF or NUL.")
        if line.startswith((b" ", b"\t")):
            raise _Folded
        _, lower, value = _parse_line(line, protocol_error)
        if is_remembered(line, lower):
            if len(self) >= REMEMBERED:
                self.clear()
            self[line] = (lower, value)
        return lower, value


_response_line = _ResponseLines().__getitem__


def is_remembered(line: bytes, lower: bytes) -> bool:
    """Tell whether an answer's line is worth keeping, and holds no secret."""
    return len(line) <= LONGEST_REMEMBERED and lower not in NOT_REMEMBERED


def _parse_line(line: bytes, malformed: Malformed) -> tuple[bytes, bytes, bytes]:
    name, colon, value = line.partition(b":")
    if not colon:
        raise malformed("a header line has no colon.")
    lower = _NAMES.get(name)
    if lower is None:
        name, lower = _learn(name, malformed)
    return name, lower, value.strip(b" \t")


def _learn(name: bytes, malformed: Malformed) -> tuple[bytes, bytes]:
    if TOKEN.fullmatch(name) is None:
        # RFC 9112 section 5.1: refused in a request, taken off an answer by a proxy.
        name = name.rstrip(b" \t")
        if malformed is not protocol_error or TOKEN.fullmatch(name) is None:
            raise malformed("a header's name is not a token.")
        return name, name.lower()
    lower = name.lower()
    if len(name) <= 64:
        if len(_NAMES) >= REMEMBERED:
            _NAMES.clear()
        _NAMES[name] = lower
    return name, lower


def request_framing(minor: int, fields: Mapping[bytes, bytes]) -> tuple[int | None, bool]:
    """Find how a request's body is framed: its length, or chunked, or none (RFC 9112 6.3)."""
    length = fields.get(b"content-length")
    coding = fields.get(b"transfer-encoding")
    if coding is not None:
        if length is not None:
            raise bad_request("The request has both Content-Length and Transfer-Encoding.")
        if minor == 0:
            raise bad_request("HTTP/1.0 knows no Transfer-Encoding.")
        if coding.lower() != b"chunked":
            raise bad_request("The only Transfer-Encoding taken is chunked, once.")
        return None, True
    if length is None:
        return None, False
    if LENGTH.fullmatch(length) is None:
        raise bad_request("Content-Length is repeated or not a plain number.")
    return int(length), False


def response_framing(minor: int, fields: Mapping[bytes, bytes]) -> tuple[int | None, bool]:
    """Find how an answer's body is framed; neither length nor chunked: until the close."""
    length = fields.get(b"content-length")
    coding = fields.get(b"transfer-encoding")
    if coding is not None:
        if length is not None:
            raise protocol_error("it has both Content-Length and Transfer-Encoding.")
        if minor == 0 or coding.lower() != b"chunked":
            raise protocol_error("its Transfer-Encoding is not exactly chunked.")
        return None, True
    if length is None:
        return None, False
    if not length.isdigit() or len(length) > 18:
        raise protocol_error("its Content-Length is repeated or not a number.")
    return int(length), False


def connection_options(fields: Mapping[bytes, bytes]) -> list[bytes]:
    """List the options of Connection, in lower case; none where it is plainly keep-alive."""
    value = fields.get(b"connection")
    if value is None or value in USUAL_KEEP_ALIVE:
        return []
    return [option.strip(b" \t") for option in value.lower().split(b",")]


def keeps_alive(minor: int, fields: Mapping[bytes, bytes]) -> bool:
    """Tell whether a message's sender keeps the connection (RFC 9112 section 9.3)."""
    connection = fields.get(b"connection")
    if connection is None:
        return minor == 1
    if connection in USUAL_KEEP_ALIVE:
        return True
    options = connection_options(fields)
    return b"close" not in options and (minor == 1 or b"keep-alive" in options)
