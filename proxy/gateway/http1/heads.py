"""Heads: the request line or status line with its fields, and the buffer they are gathered in."""

import re
from typing import Final

from proxy.errors import Problem
from proxy.gateway.http1.fields import (
    COMMA,
    Field,
    Headers,
    as_headers,
    bad_request,
    keeps_alive,
    parse_request_fields,
    parse_response_fields,
    protocol_error,
    request_framing,
    response_framing,
    values_after,
    values_by_name,
)

END: Final = b"\r\n\r\n"
REQUEST_LINE: Final = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e\x80-\xff]+) HTTP/1\.([01])"
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
        "block", "chunked", "content_length", "fields", "keep_alive", "lines", "method", "minor",
        "raw", "target",
    )  # fmt: skip

    def __init__(
        self,
        method: bytes,
        target: bytes,
        minor: int,
        lines: list[Field],
        fields: dict[bytes, bytes],
        framing: tuple[int | None, bool],
        *,
        keep_alive: bool,
        raw: bytes,
        block: bytes,
    ) -> None:
        self.method = method
        self.target = target
        self.minor = minor  # HTTP/1.minor
        self.lines = lines
        self.fields = fields  # values by name in lower case, repeated ones joined by a comma
        self.content_length, self.chunked = framing
        self.keep_alive = keep_alive
        self.raw = raw  # the head as received
        self.block = block  # the field lines of it

    @property
    def headers(self) -> Headers:
        """Names and values as received."""
        return as_headers(self.lines)

    @property
    def has_body(self) -> bool:
        return self.chunked or bool(self.content_length)


class ResponseHead:
    """An upstream's answer head."""

    __slots__ = (
        "chunked", "content_length", "fields", "keep_alive", "lines", "minor", "raw", "reason",
        "status", "status_line",
    )  # fmt: skip

    def __init__(
        self,
        status_line: bytes,
        version: tuple[int, int, bytes],
        lines: list[Field],
        fields: dict[bytes, bytes],
        framing: tuple[int | None, bool],
        *,
        keep_alive: bool,
        raw: bytes,
    ) -> None:
        self.status_line = status_line
        self.minor, self.status, self.reason = version
        self.lines = lines
        self.fields = fields  # as in a request
        self.content_length, self.chunked = framing
        self.keep_alive = keep_alive
        self.raw = raw  # the head as received

    @property
    def headers(self) -> Headers:
        """Names and values as received."""
        return as_headers(self.lines)


def parse_request_head(head: bytes, previous: RequestHead | None = None) -> RequestHead:
    """Parse a request head: through the CRLF of its last header, without the blank line.

    A head equal to the previous one on its connection is that one, the very object; a block equal
    to the previous block shares what was parsed then, framing included, as all of it follows from
    the block and the version.
    """
    if previous is not None and previous.raw == head:
        return previous
    line_end = head.find(b"\r\n")
    line = REQUEST_LINE.fullmatch(head, 0, line_end)
    if line is None:
        raise bad_request("The request line is not: method, target, HTTP/1.1, a space between.")
    method, target, version = line.groups()
    minor = version[0] - 0x30
    block = head[line_end + 2 :]
    if previous is not None and previous.block == block and previous.minor == minor:
        return RequestHead(
            method,
            target,
            minor,
            previous.lines,
            previous.fields,
            (previous.content_length, previous.chunked),
            keep_alive=previous.keep_alive,
            raw=head,
            block=previous.block,
        )
    if previous is None:
        lines = parse_request_fields(block)
        fields = values_by_name(lines)
    else:
        lines = parse_request_fields(block, previous.lines)
        fields, _ = values_after(lines, previous.lines, previous.fields)
    return RequestHead(
        method,
        target,
        minor,
        lines,
        fields,
        request_framing(minor, fields),
        keep_alive=keeps_alive(minor, fields),
        raw=head,
        block=block,
    )


def parse_response_head(head: bytes, previous: ResponseHead | None = None) -> ResponseHead:
    """Parse an answer's head: through the CRLF of its last header, without the blank line.

    As with requests, a head equal to the previous one on its connection is that one.
    """
    if previous is not None and previous.raw == head:
        return previous
    line_end = head.find(b"\r\n")
    line = head[:line_end]
    if previous is not None and previous.status_line == line:
        version = previous.minor, previous.status, previous.reason
    else:
        version = _parse_status_line(line)
    if previous is None:
        lines = parse_response_fields(head[line_end + 2 :])
        fields, framed_alike = values_by_name(lines), False
    else:
        lines = parse_response_fields(head[line_end + 2 :], previous.lines)
        fields, framed_alike = values_after(lines, previous.lines, previous.fields)
    if previous is not None and framed_alike and previous.minor == version[0]:
        framing = previous.content_length, previous.chunked
        kept = previous.keep_alive
    else:
        framing = response_framing(version[0], fields)
        if framing[0] is not None and COMMA in fields[b"content-length"]:
            lines = _with_one_length(lines)
        kept = keeps_alive(version[0], fields)
    return ResponseHead(line, version, lines, fields, framing, keep_alive=kept, raw=head)


def _parse_status_line(line: bytes) -> tuple[int, int, bytes]:
    found = STATUS_LINE.fullmatch(line)
    if found is None:
        raise protocol_error("it does not begin with a status line of HTTP/1.")
    version, digits, reason = found.groups()
    status = int(digits)
    if status < 100:
        raise protocol_error("its status is not within 200 to 999.")
    if status == 101:
        raise protocol_error("it switches protocols (101), which nobody asked for.")
    return version[0] - 0x30, status, reason or b""


def _with_one_length(lines: list[Field]) -> list[Field]:
    """Keep the first length of several that are equal, in a line that says it once."""
    kept: list[Field] = []
    for field in lines:
        if field.lower != b"content-length":
            kept.append(field)
        elif not any(one.lower == b"content-length" for one in kept):
            value = field.value.partition(b",")[0].strip(b" \t")
            kept.append(Field(field.line, field.name, field.lower, value))
    return kept


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
