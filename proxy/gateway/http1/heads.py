"""Heads: the request line or status line with its fields, and the buffer they are gathered in."""

import re
from typing import Final

from proxy.errors import Problem
from proxy.gateway.http1.fields import (
    COMMA,
    Field,
    Fields,
    Headers,
    MessageFraming,
    bad_request,
    make_fields,
    parse_request_fields,
    parse_response_lines,
    protocol_error,
    request_framing,
    response_framing,
)

END: Final = b"\r\n\r\n"
# A plain target, in two groups, or any other in one. Plain is what nobody can read in two ways, as
# nearly all are: in its path nothing is encoded, and no segment is empty or begins with a dot; its
# query has no controls and no "#".
REQUEST_LINE: Final = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) "
    rb"(?:((?=/)(?:/[A-Za-z0-9_~!$&'()*+,=:@-][A-Za-z0-9._~!$&'()*+,=:@-]*)*/?)"
    rb"(?:\?([!-\"$-~\x80-\xff]*))?|([\x21-\x7e\x80-\xff]+))"
    rb" HTTP/1\.([01])"
)
STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([0-9]{3})(?: ([\t\x20-\x7e\x80-\xff]*))?")
BARE_LF: Final = re.compile(rb"(?<!\r)\n")
# The first byte of a method. TLS, SSH and garbage are recognized at once, not after header_timeout.
METHOD_START: Final = frozenset(b"!#$%&'*+-.^_`|~0123456789") | frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)


# Plain classes: a dataclass's constructor is not compiled, and these are made for every request.
class RequestHead:
    """A caller's request head."""

    __slots__ = (
        "block_at", "chunked", "content_length", "fields", "framing", "is_plain", "keep_alive",
        "method", "minor", "parsed", "path", "query", "raw",
    )  # fmt: skip

    def __init__(
        self,
        method: bytes,
        path: bytes,
        query: bytes | None,
        minor: int,
        parsed: Fields,
        framing: MessageFraming,
        *,
        is_plain: bool,
        raw: bytes,
        block_at: int,
    ) -> None:
        self.method = method
        self.path = path  # of the target as received: up to the first "?"
        self.query = query  # behind it; None without one
        self.minor = minor  # HTTP/1.minor
        self.parsed = parsed
        self.fields = parsed.values  # by name in lower case, repeated ones joined by a comma
        self.framing = framing
        self.content_length = framing.content_length
        self.chunked = framing.chunked
        self.keep_alive = framing.keep_alive
        self.is_plain = is_plain  # of the target (REQUEST_LINE)
        self.raw = raw  # the head as received
        self.block_at = block_at  # where its field lines begin

    @property
    def target(self) -> bytes:
        """The target as received."""
        return self.path if self.query is None else b"%b?%b" % (self.path, self.query)

    @property
    def headers(self) -> Headers:
        """Names and values as received."""
        return self.parsed.headers

    @property
    def has_body(self) -> bool:
        return self.chunked or bool(self.content_length)


class ResponseHead:
    """An upstream's answer head."""

    __slots__ = (
        "chunked", "content_length", "fields", "framing", "keep_alive", "parsed", "raw", "status",
        "status_line",
    )  # fmt: skip

    def __init__(
        self, status_line: "StatusLine", parsed: Fields, framing: MessageFraming, *, raw: bytes
    ) -> None:
        self.status_line = status_line
        self.status = status_line.status
        self.parsed = parsed
        self.fields = parsed.values  # as in a request
        self.framing = framing
        self.content_length = framing.content_length
        self.chunked = framing.chunked
        self.keep_alive = framing.keep_alive
        self.raw = raw  # the head as received

    @property
    def reason(self) -> bytes:
        """What the status line says behind the status."""
        return self.status_line.reason

    @property
    def headers(self) -> Headers:
        """Names and values as received."""
        return self.parsed.headers


class StatusLine:
    """An answer's first line; answers that repeat it share this object."""

    __slots__ = ("line", "minor", "passing", "reason", "status")

    def __init__(self, line: bytes, minor: int, status: int, reason: bytes) -> None:
        self.line = line  # as received, without its end
        self.minor = minor  # HTTP/1.minor
        self.status = status
        self.reason = reason
        self.passing = b"HTTP/1.1 %d %b" % (status, reason)  # as it is passed on


def parse_request_head(head: bytes, previous: RequestHead | None = None) -> RequestHead:
    """Parse a request head: through the CRLF of its last header, without the blank line.

    A head equal to the previous one on its connection is that one, the very object; a field block
    equal to the previous block shares what was parsed then, framing included, as all of it follows
    from the block and the version.
    """
    if previous is not None and previous.raw == head:
        return previous
    line_end = head.find(b"\r\n")
    line = REQUEST_LINE.fullmatch(head, 0, line_end)
    if line is None:
        raise bad_request("The request line is not: method, target, HTTP/1.1, a space between.")
    method, path, query, unlike, version = line.groups()
    minor = version[0] - 0x30
    is_plain = unlike is None
    if not is_plain:
        path, mark, query = unlike.partition(b"?")
        if not mark:
            query = None
    block_at = line_end + 2
    block = head[block_at:]
    if (
        previous is not None
        and previous.minor == minor
        and previous.raw[previous.block_at :] == block
    ):
        parsed, framing = previous.parsed, previous.framing
    else:
        parsed = parse_request_fields(block, None if previous is None else previous.parsed)
        framing = request_framing(minor, parsed.values)
    return RequestHead(
        method, path, query, minor, parsed, framing,
        is_plain=is_plain, raw=head, block_at=block_at,
    )  # fmt: skip


def parse_response_head(head: bytes, previous: ResponseHead | None = None) -> ResponseHead:
    """Parse an answer's head: through the CRLF of its last header, without the blank line.

    As with requests, a head equal to the previous one on its connection is that one.
    """
    if previous is not None and previous.raw == head:
        return previous
    lines = head.split(b"\r\n")
    line = lines[0]
    if previous is None:
        status_line = _parse_status_line(line)
        parsed = parse_response_lines(lines[1:-1])
    else:
        status_line = previous.status_line
        if status_line.line != line:
            status_line = _parse_status_line(line)
        parsed = parse_response_lines(lines[1:-1], previous.parsed)
        if parsed.framed_as_before and status_line.minor == previous.status_line.minor:
            return ResponseHead(status_line, parsed, previous.framing, raw=head)
    framing = response_framing(status_line.minor, parsed.values)
    if framing.content_length is not None and COMMA in parsed.values[b"content-length"]:
        parsed = _with_one_length(parsed)
    return ResponseHead(status_line, parsed, framing, raw=head)


def _parse_status_line(line: bytes) -> StatusLine:
    found = STATUS_LINE.fullmatch(line)
    if found is None:
        raise protocol_error("it does not begin with a status line of HTTP/1.")
    version, digits, reason = found.groups()
    status = int(digits)
    if status < 100:
        raise protocol_error("its status is not within 200 to 999.")
    if status == 101:
        raise protocol_error("it switches protocols (101), which nobody asked for.")
    return StatusLine(line, version[0] - 0x30, status, reason or b"")


def _with_one_length(parsed: Fields) -> Fields:
    """Keep the first length of several that are equal, in a line that says it once."""
    kept: list[Field] = []
    for field in parsed.lines:
        if field.lower != b"content-length":
            kept.append(field)
        elif not any(one.lower == b"content-length" for one in kept):
            value = field.value.partition(b",")[0].strip(b" \t")
            kept.append(Field(field.line, field.name, field.lower, value))
    return make_fields(kept)


class HeadBuffer:
    """Gathers a head that comes in pieces, and refuses early what cannot become one.

    Time is linear in what arrives, however small the pieces: only the new bytes are searched.
    """

    __slots__ = ("_limit", "_response", "held")

    def __init__(self, limit: int, *, response: bool = False) -> None:
        self._limit = limit
        self._response = response
        self.held = bytearray()  # of a head that is not finished

    def feed(self, data: bytes) -> tuple[bytes, bytes] | None:
        """Feed bytes; return a finished head (without its blank line) and what follows it."""
        held = self.held
        if not held:
            end = data.find(END)
            if 0 <= end <= self._limit:
                return data[: end + 2], data[end + 4 :]
        looked = len(held)
        held += data
        end = held.find(END, max(0, looked - 3))
        if end < 0 or end > self._limit:
            self._refuse_early(looked, min(len(held), self._limit))
            if end > self._limit or len(held) > self._limit:
                raise self._too_large()
            return None
        head, rest = bytes(held[: end + 2]), bytes(held[end + 4 :])
        held.clear()
        return head, rest

    def _refuse_early(self, looked: int, until: int) -> None:
        held = self.held
        if self._response:
            if not (b"HTTP/1." if len(held) >= 7 else b"HTTP/1."[: len(held)]) == held[:7]:
                raise protocol_error("it does not begin with HTTP/1.")
        elif held and held[0] not in METHOD_START:
            raise bad_request("The request does not begin with a method.")
        if BARE_LF.search(held, looked, until):
            if self._response:
                raise protocol_error("a line of its head ends in no CRLF.")
            raise bad_request("A line of the request's head ends in no CRLF.")

    def _too_large(self) -> Problem:
        if self._response:
            return protocol_error(f"its head is longer than {self._limit} bytes.")
        first = self.held.find(b"\r\n", 0, self._limit)
        if first < 0:
            return Problem(
                "head_too_large",
                "The request line is longer than listen.max_head_size.",
                status=414,
            )
        return Problem("head_too_large", "The request head exceeds listen.max_head_size.")
