"""Header fields: names and values as received, and the few that frame a message.

Values are opaque bytes, Latin-1 and all, and pass as they came (RFC 9110 section 5.5). A field
block is a whole number of lines, each ended by CRLF. Programs repeat themselves: a line equal to
the one in its place in the head before, on the same connection, is that very field, and a block
with the same names is read by what follows from the names alone.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

from proxy.errors import Problem

# As received: order, case and repeats kept, the white space around values taken off.
Headers = list[tuple[bytes, bytes]]
Malformed = Callable[[str], Problem]

TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
LENGTH: Final = re.compile(rb"0|[1-9][0-9]{0,17}")  # below 2**63, as every peer can hold it
# As numbers: looking for bytes in bytes by `in` raises and drops a TypeError first.
CR: Final = 0x0D
LF: Final = 0x0A
NUL: Final = 0x00
SPACE: Final = 0x20
COMMA: Final = 0x2C
FOLD: Final = re.compile(rb"[ \t]*\r\n[ \t]+")
# Bytes allowed in request headers. After deleting them only CRLFs may be left.
PLAIN: Final = bytes([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])

MAX_FIELDS: Final = 1000
# How much is remembered of one kind, and how long one of it may be: callers choose all of it.
REMEMBERED: Final = 1024
LONGEST_NAME: Final = 64
LONGEST_LINE: Final = 128
MOST_NAMES: Final = 32
# What tells where a message ends, and whether its connection is kept.
FRAMING: Final = frozenset({b"connection", b"content-length", b"transfer-encoding"})
# These values of Connection need no parsing.
USUAL_KEEP_ALIVE: Final = (b"keep-alive", b"Keep-Alive")
# Headers that hold no secret, and say the same on every connection of a program.
COMMON: Final = frozenset({
    b"accept", b"accept-encoding", b"accept-language", b"cache-control", b"connection",
    b"content-type", b"host", b"user-agent",
})  # fmt: skip


class Field:
    """One header, checked; never changed, as heads share it."""

    __slots__ = ("line", "lower", "name", "passing", "value")

    def __init__(self, line: bytes, name: bytes, lower: bytes, value: bytes) -> None:
        self.line = line  # as received, without its end
        self.name = name
        self.lower = lower
        self.value = value
        # The line as it is passed on, without its end: itself, as nearly all are written so.
        usual = len(line) == len(name) + 2 + len(value) and line[len(name) + 1] == SPACE
        self.passing = line if usual else b"%b: %b" % (name, value)


def bad_request(detail: str) -> Problem:
    """Make the Problem of a caller's malformed message."""
    return Problem("bad_request", detail)


def protocol_error(detail: str) -> Problem:
    """Make the Problem of an upstream's malformed message."""
    return Problem("http_protocol_error", f"The upstream's answer is malformed: {detail}")


class Names:
    """The names of a block in lower case, in order; blocks with the same share this object."""

    __slots__ = ("has_date", "lowers", "passing")

    def __init__(self, lowers: tuple[bytes, ...]) -> None:
        self.lowers = lowers
        self.has_date = b"date" in lowers
        # Which lines of an answer pass to the caller as they are; kept by whoever decides that
        # (headers.InboundHeaders).
        self.passing: list[int] | None = None


class Fields:
    """A parsed field block; never changed, as heads share it."""

    __slots__ = ("framed_as_before", "lines", "names", "values")

    def __init__(
        self,
        lines: list[Field],
        names: Names,
        values: dict[bytes, bytes],
        *,
        framed_as_before: bool = False,
    ) -> None:
        self.lines = lines
        self.names = names
        self.values = values  # by name in lower case, repeated ones joined by a comma
        # All that frames a message is as in the block that this one was compared with.
        self.framed_as_before = framed_as_before

    @property
    def headers(self) -> Headers:
        """Names and values as received."""
        return [(field.name, field.value) for field in self.lines]


# What heads of all connections share: names that were checked, as written, with themselves and
# their lower case; whole lines of COMMON; names of blocks. A program that has many connections
# open, each with a call that is held back, repeats itself on each of them.
_names: Final[dict[bytes, tuple[bytes, bytes]]] = {}
_common: Final[dict[bytes, Field]] = {}
_blocks: Final[dict[tuple[bytes, ...], Names]] = {}


def make_fields(lines: list[Field]) -> Fields:
    """Put fields together: their names, and the values by name."""
    names = _names_of(tuple([field.lower for field in lines]))
    values = {field.lower: field.value for field in lines}
    if len(values) != len(lines):
        values.clear()
        for field in lines:
            lower = field.lower
            values[lower] = values[lower] + b", " + field.value if lower in values else field.value
    return Fields(lines, names, values)


def _names_of(lowers: tuple[bytes, ...]) -> Names:
    names = _blocks.get(lowers)
    if names is None:
        names = Names(lowers)
        if len(lowers) <= MOST_NAMES and max(map(len, lowers), default=0) <= LONGEST_NAME:
            if len(_blocks) >= REMEMBERED:
                _blocks.clear()
            _blocks[lowers] = names
    return names


def parse_request_fields(block: bytes, before: Fields | None = None) -> Fields:
    """Parse a caller's field block; `before` is that of the head before."""
    lines = block.split(b"\r\n")
    if block.translate(None, PLAIN) != b"\r\n" * (len(lines) - 1):
        raise bad_request("A header holds a control character or a line that ends in no CRLF.")
    lines.pop()  # after the last CRLF
    if len(lines) > MAX_FIELDS:
        raise Problem("head_too_large", f"The request has more than {MAX_FIELDS} headers.")
    if before is None:
        return make_fields([_common.get(line) or _parse_common(line) for line in lines])
    return _parse_lines(lines, before, bad_request)


def _parse_common(line: bytes) -> Field:
    """Parse a line of a connection's first request; remember it where others may have it too."""
    field = _parse_line(line, bad_request)
    if field.lower in COMMON and len(line) <= LONGEST_LINE:
        if len(_common) >= REMEMBERED:
            _common.clear()
        _common[line] = field
    return field


def parse_response_fields(block: bytes) -> Fields:
    """Parse an upstream's field block, folded lines joined: of its trailers."""
    return parse_response_lines(block.split(b"\r\n")[:-1])


def parse_response_lines(lines: list[bytes], before: Fields | None = None) -> Fields:
    """Parse an upstream's field lines, without their ends; folded ones are joined.

    `before` is the block of the answer before, on the same connection.
    """
    if len(lines) > MAX_FIELDS:
        raise protocol_error(f"it has more than {MAX_FIELDS} headers.")
    try:
        return _parse_lines(lines, before, protocol_error)
    except Problem:
        # RFC 9112 section 5.2: each fold becomes a space. No name begins with one, so that a fold
        # always leads here.
        block = b"\r\n".join(lines)
        joined = FOLD.sub(b" ", block)
        if joined == block:
            raise
    return parse_response_lines(joined.split(b"\r\n"), before)


def _parse_lines(lines: list[bytes], before: Fields | None, malformed: Malformed) -> Fields:
    if before is None:
        return make_fields([_parse_line(line, malformed) for line in lines])
    known = len(before.lines)
    parsed = before.lines[: len(lines)]
    alike = len(lines) == known == len(before.values)  # in their names, none of them repeated
    values = before.values.copy()
    framed_as_before = True
    # By number: mypyc calls Python for a zip that is told how strict.
    for number, line in enumerate(lines):
        if number >= known:
            parsed.append(_parse_line(line, malformed))
            continue
        old = parsed[number]
        if old.line == line:
            continue
        field = parsed[number] = _parse_line(line, malformed)
        lower = field.lower
        alike = alike and lower == old.lower
        values[lower] = field.value
        framed_as_before = framed_as_before and lower not in FRAMING
    if not alike:
        return make_fields(parsed)
    return Fields(parsed, before.names, values, framed_as_before=framed_as_before)


def _parse_line(line: bytes, malformed: Malformed) -> Field:
    name, colon, value = line.partition(b":")
    if not colon:
        raise malformed("a header line has no colon.")
    # An answer's values may hold controls (RFC 9110 section 5.5 allows retaining them), but never
    # the three that end a value for some other parser. A request's were looked at all together.
    if CR in value or LF in value or NUL in value:
        raise malformed("a header holds CR, LF or NUL.")
    if len(value) > 1 and value[0] == SPACE and value[1] > SPACE and value[-1] > SPACE:
        value = value[1:]  # as nearly all are written
    else:
        value = value.strip(b" \t")
    known = _names.get(name)
    if known is None:
        known = _learn_name(name, malformed)
    return Field(line, known[0], known[1], value)


def _learn_name(name: bytes, malformed: Malformed) -> tuple[bytes, bytes]:
    """Check a name; return it, and in lower case."""
    if TOKEN.fullmatch(name) is None:
        # RFC 9112 section 5.1: refused in a request, taken off an answer by a proxy.
        name = name.rstrip(b" \t")
        if malformed is not protocol_error or TOKEN.fullmatch(name) is None:
            raise malformed("a header's name is not a token.")
    known = name, name.lower()
    if len(name) <= LONGEST_NAME:
        if len(_names) >= REMEMBERED:
            _names.clear()
        _names[name] = known
    return known


class MessageFraming:
    """How a message's body is framed, and what becomes of its connection."""

    __slots__ = ("chunked", "content_length", "keep_alive", "options")

    def __init__(
        self, length: int | None, options: list[bytes], *, chunked: bool, keep_alive: bool
    ) -> None:
        # Neither length nor chunked: a request has no body, an answer's ends with the connection.
        self.content_length = length
        self.chunked = chunked
        self.keep_alive = keep_alive
        self.options = options  # of Connection; none where it is plainly keep-alive


# Of most requests, and shared by them: no length, on a connection that is closed or kept.
UNFRAMED: Final = [
    MessageFraming(None, [], chunked=False, keep_alive=False),
    MessageFraming(None, [], chunked=False, keep_alive=True),
]


def request_framing(minor: int, values: Mapping[bytes, bytes]) -> MessageFraming:
    """Find how a request is framed: by its length, or chunked, or without a body (RFC 9112 6.3)."""
    length = values.get(b"content-length")
    coding = values.get(b"transfer-encoding")
    if coding is not None:
        if length is not None:
            raise bad_request("The request has both Content-Length and Transfer-Encoding.")
        if minor == 0:
            raise bad_request("HTTP/1.0 knows no Transfer-Encoding.")
        if coding.lower() != b"chunked":
            raise bad_request("The only Transfer-Encoding taken is chunked, once.")
    elif length is not None and LENGTH.fullmatch(length) is None:
        raise bad_request("Content-Length is repeated or not a plain number.")
    return _framing(minor, values, length, coding)


def response_framing(minor: int, values: Mapping[bytes, bytes]) -> MessageFraming:
    """Find how an answer is framed; neither length nor chunked: until the close.

    What is stated twice and alike counts once (RFC 9110 section 8.6).
    """
    length = values.get(b"content-length")
    coding = values.get(b"transfer-encoding")
    if coding is not None:
        if length is not None:
            raise protocol_error("it has both Content-Length and Transfer-Encoding.")
        if minor == 0 or _said_once(coding.lower()) != b"chunked":
            raise protocol_error("its Transfer-Encoding is not exactly chunked.")
    elif length is not None:
        if COMMA in length:
            length = _said_once(length)
        if not length.isdigit() or len(length) > 18:
            raise protocol_error("its Content-Length is repeated or not a number.")
    return _framing(minor, values, length, coding)


def _framing(
    minor: int, values: Mapping[bytes, bytes], length: bytes | None, coding: bytes | None
) -> MessageFraming:
    connection = values.get(b"connection")
    options: list[bytes] = []
    if connection is None:
        keep_alive = minor == 1
    elif connection in USUAL_KEEP_ALIVE:
        keep_alive = True
    else:
        options = [option.strip(b" \t") for option in connection.lower().split(b",")]
        # RFC 9112 section 9.3.
        keep_alive = b"close" not in options and (minor == 1 or b"keep-alive" in options)
    if length is None and coding is None and not options:
        return UNFRAMED[keep_alive]
    return MessageFraming(
        None if length is None else int(length),
        options,
        chunked=coding is not None,
        keep_alive=keep_alive,
    )


def _said_once(value: bytes) -> bytes:
    said = {part.strip(b" \t") for part in value.split(b",")}
    return said.pop() if len(said) == 1 else value
