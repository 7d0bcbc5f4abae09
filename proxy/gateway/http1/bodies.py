"""Bodies: one decoder for each framing (RFC 9112 section 6), and the chunks that we write.

A decoder is fed what arrives and gives what of it is body. `finished` only after the framing's own
end was seen: a body that breaks off never finishes. What came after the end is `excess`.
"""

import re
from typing import Final

from proxy.gateway.http1.fields import (
    Headers,
    bad_request,
    parse_request_fields,
    parse_response_fields,
    protocol_error,
)

# A size of 15 digits stays below 2**63. Extensions must be RFC 9112's grammar, and are dropped.
# No possessive quantifiers: before 3.11.5 CPython matches them wrongly over a group (its issue
# 106052), and 3.11.2, Debian's, took a bare `5;`. No repeat can contain the character that follows
# it, so the time stays linear without them.
CHUNK_LINE: Final = re.compile(
    rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[ \t]*[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
    rb"(?:[ \t]*=[ \t]*(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
    rb'|"(?:[\t !\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"))?)*'
)
# Some servers pad the size with spaces, and clients have always accepted that.
PADDED_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")
BARE_LF: Final = re.compile(rb"(?<!\r)\n")
# Sizes and extensions are overhead that we do not pass on: as little of it as Go allows a line.
MAX_CHUNK_LINE: Final = 4096
MAX_TRAILERS: Final = 16384
LAST_CHUNK: Final = b"0\r\n\r\n"


class BodyDecoder:
    """What the two sides know of a body on its way in."""

    __slots__ = ("excess", "finished", "trailers")

    def __init__(self) -> None:
        self.finished = False
        self.excess = b""
        self.trailers: Headers = []

    def feed(self, data: bytes) -> bytes:
        """Feed bytes as they came; return those that are body."""
        raise NotImplementedError


class LengthDecoder(BodyDecoder):
    """A body whose length was announced."""

    __slots__ = ("left",)

    def __init__(self, length: int) -> None:
        super().__init__()
        self.left = length
        self.finished = length == 0

    def feed(self, data: bytes) -> bytes:
        size = len(data)
        if size < self.left:
            self.left -= size
            return data
        self.finished = True
        if size > self.left:
            self.excess = data[self.left :]
            data = data[: self.left]
        self.left = 0
        return data


class UntilCloseDecoder(BodyDecoder):
    """A body that only the end of the connection ends; whoever sees that end says so."""

    __slots__ = ()

    def feed(self, data: bytes) -> bytes:
        return data


# What a chunked body's decoder waits for.
SIZE: Final = 0
DATA: Final = 1
DATA_END: Final = 2
TRAILERS: Final = 3


class ChunkedDecoder(BodyDecoder):
    """A chunked body (RFC 9112 section 7.1), checked to the byte."""

    __slots__ = ("_held", "_left", "_state", "_upstream")

    def __init__(self, *, upstream: bool = False) -> None:
        super().__init__()
        self._upstream = upstream
        self._state = SIZE
        self._left = 0
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        if self._held:
            data = self._held + data
            self._held = b""
        pieces: list[bytes] = []
        at = 0
        while not self.finished:
            before = at
            state = self._state
            if state == DATA:
                piece = data[at : at + self._left]
                if piece:
                    pieces.append(piece)
                    at += len(piece)
                    self._left -= len(piece)
                if self._left:
                    return b"".join(pieces) if len(pieces) != 1 else pieces[0]
                self._state = DATA_END
                continue
            if state == SIZE:
                at = self._size(data, at)
            elif state == DATA_END:
                at = self._data_end(data, at)
            else:
                at = self._trailers(data, at)
            if at == before:
                self._held = data[at:]
                break
        return b"".join(pieces) if len(pieces) != 1 else pieces[0]

    # Each of these returns where it got to: the same place when more bytes are needed.

    def _size(self, data: bytes, at: int) -> int:
        end = data.find(b"\r\n", at, at + MAX_CHUNK_LINE)
        if end < 0:
            if len(data) - at >= MAX_CHUNK_LINE or BARE_LF.search(data, at):
                raise self._malformed("a chunk's size line is too long or ends in no CRLF.")
            return at
        pattern = PADDED_CHUNK_LINE if self._upstream else CHUNK_LINE
        line = pattern.fullmatch(data, at, end)
        if line is None:
            raise self._malformed("a chunk's size is not a plain hexadecimal number.")
        self._left = int(line[1], 16)
        self._state = DATA if self._left else TRAILERS
        return end + 2

    def _data_end(self, data: bytes, at: int) -> int:
        ending = data[at : at + 2]
        if ending == b"\r\n":
            self._state = SIZE
            return at + 2
        if ending not in (b"", b"\r"):
            raise self._malformed("a chunk is not ended by CRLF where its size says.")
        return at

    def _trailers(self, data: bytes, at: int) -> int:
        if data.startswith(b"\r\n", at):
            end = at
        else:
            end = data.find(b"\r\n\r\n", at, at + MAX_TRAILERS)
            if end < 0:
                if len(data) - at >= MAX_TRAILERS:
                    raise self._malformed(f"its trailers exceed {MAX_TRAILERS} bytes.")
                if BARE_LF.search(data, at):
                    raise self._malformed("a trailer's line ends in no CRLF.")
                return at
            end += 2
            block = data[at:end]
            parse = parse_response_fields if self._upstream else parse_request_fields
            self.trailers = parse(block).headers
        self.finished = True
        self.excess = data[end + 2 :]
        return end + 2

    def _malformed(self, what: str) -> Exception:
        if self._upstream:
            return protocol_error(what)
        return bad_request(f"The request's chunked body is malformed: {what}")


def encode_chunk(data: bytes) -> bytes:
    """Frame a piece of body, which must not be empty: an empty chunk would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def encode_last_chunk(trailers: Headers) -> bytes:
    """Frame the end of a chunked body."""
    if not trailers:
        return LAST_CHUNK
    lines = [b"%b: %b\r\n" % trailer for trailer in trailers]
    return b"0\r\n%b\r\n" % b"".join(lines)
