"""The one request of a delegated connection: its head as it is, its body framed anew.

The control routes answer one request and close; what lies behind it must never be parsed.
"""

import re

from proxy.gateway.http1 import LAST_CHUNK, BodyDecoder, ChunkedDecoder, LengthDecoder, encode_chunk

CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)[ \t]*\r\n", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
END = b"\r\n\r\n"


class OneRequest:
    """Cuts the request out; the first data it is fed begins with a whole head, parsed already."""

    def __init__(self) -> None:
        self._body: BodyDecoder | None = None
        self._is_chunked = False

    def feed(self, data: bytes) -> bytes:
        """Return what of the data belongs to the request; raises Problem for a malformed chunk."""
        head = b""
        if self._body is None:
            head, _, data = data.partition(END)
            length = CONTENT_LENGTH.search(head + b"\r\n")
            self._is_chunked = CHUNKED.search(head) is not None
            size = int(length[1]) if length else 0
            self._body = ChunkedDecoder() if self._is_chunked else LengthDecoder(size)
            head += END
        if self._body.finished:
            return head
        piece = self._body.feed(data)
        if self._is_chunked:
            piece = encode_chunk(piece) if piece else b""
            piece += LAST_CHUNK if self._body.finished else b""
        return head + piece
