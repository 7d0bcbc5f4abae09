"""Heads: the request line or status line with its fields, and the buffer they are gathered in."""

import re
from dataclasses import dataclass

from proxy.errors import Problem
from proxy.gateway.http1.fields import (
    LONGEST_REMEMBERED,
    REMEMBERED,
    Headers,
    bad_request,
    keeps_alive,
    parse_request_fields,
    parse_response_fields,
    protocol_error,
    request_framing,
    response_framing,
    response_headers,
)

END = b"\r\n\r\n"
REQUEST_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e\x80-\xff]+) HTTP/1\.([01])")
STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([0-9]{3})(?: ([\t\x20-\x7e\x80-\xff]*))?")
BARE_LF = re.compile(rb"(?<!\r)\n")
# The first byte of a method. TLS, SSH and garbage are told at once, not after header_timeout.
METHOD_START = frozenset(b"!#$%&'*+-.^_`|~0123456789") | frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)


@dataclass(slots=True)
class RequestHead:
    """A caller's request head. `fields` joins repeated values by a comma, names in lower case."""

    method: bytes
    target: bytes
    minor: int  # HTTP/1.minor
    headers: Headers
    fields: dict[bytes, bytes]
    content_length: int | None
    chunked: bool
    keep_alive: bool = True
    raw: bytes = b""  # the head as received
    block: bytes = b""  # the field lines of it
    outbound: bytes | None = None  # what headers.py made of the block, kept with it
    prepared: bytes | None = None  # what forward/ made of the whole head, kept with it

    @property
    def has_body(self) -> bool:
        return self.chunked or bool(self.content_length)


@dataclass(slots=True)
class ResponseHead:
    """An upstream's answer head."""

    minor: int
    status: int
    reason: bytes
    lines: list[bytes]  # the field lines, without their ends; folded ones joined
    fields: dict[bytes, bytes]
    content_length: int | None
    chunked: bool
    keep_alive: bool = True
    raw: bytes = b""  # the head as received
    inbound: bytes | None = None  # what headers.py made of it, kept with it

    @property
    def headers(self) -> Headers:
        """Names and values as received; most answers are passed on by their lines alone."""
        return response_headers(self.lines)


def parse_request_head(head: bytes, previous: RequestHead | None = None) -> RequestHead:
    """Parse a request head: through the CRLF of its last header, without the blank line.

    Programs repeat themselves: a head equal to the previous one on its connection is that one, the
    very object; a block equal to the previous block shares what was parsed then, framing included,
    as all of it follows from the block and the version.
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
            previous.headers,
            previous.fields,
            previous.content_length,
            previous.chunked,
            previous.keep_alive,
            head,
            previous.block,
            previous.outbound,
        )
    headers, fields = parse_request_fields(block)
    content_length, chunked = request_framing(minor, fields)
    kept = keeps_alive(minor, fields)
    return RequestHead(
        method, target, minor, headers, fields, content_length, chunked, kept, head, block
    )


def parse_response_head(head: bytes, previous: ResponseHead | None = None) -> ResponseHead:
    """Parse an answer's head: through the CRLF of its last header, without the blank line.

    As with requests, a head equal to the previous one on its connection is that one.
    """
    if previous is not None and previous.raw == head:
        return previous
    line_end = head.find(b"\r\n")
    minor, status, reason = _STATUS_LINES[head[:line_end]]
    lines, fields = parse_response_fields(head[line_end + 2 :])
    content_length, chunked = response_framing(minor, fields)
    kept = keeps_alive(minor, fields)
    return ResponseHead(minor, status, reason, lines, fields, content_length, chunked, kept, head)


class _StatusLines(dict[bytes, tuple[int, int, bytes]]):
    """Status lines, parsed: an upstream uses few."""

    def __missing__(self, line: bytes) -> tuple[int, int, bytes]:
        found = STATUS_LINE.fullmatch(line)
        if found is None:
            raise protocol_error("it does not begin with a status line of HTTP/1.")
        version, digits, reason = found.groups()
        status = int(digits)
        if not 100 <= status <= 599:
            raise protocol_error("its status is not within 200 to 599.")
        if status == 101:
            raise protocol_error("it switches protocols (101), which nobody asked for.")
        parsed = (version[0] - 0x30, status, reason or b"")
        if len(self) >= REMEMBERED:
            self.clear()
        if len(line) <= LONGEST_REMEMBERED:
            self[line] = parsed
        return parsed


_STATUS_LINES = _StatusLines()


class HeadBuffer:
    """Gathers a head that comes in pieces, and refuses early what cannot become one.

    Time is linear in what arrives, however small the pieces: only the new bytes are looked at.
    """

    __slots__ = ("_limit", "_response", "held")

    def __init__(self, limit: int, *, response: bool = False) -> None:
        self._limit = limit
        self._response = response
        self.held = bytearray()  # of a head that is not finished

    def feed(self, data: bytes) -> tuple[bytes, bytes] | None:
        """Take bytes; return a finished head (without its blank line) and what follows it."""
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
