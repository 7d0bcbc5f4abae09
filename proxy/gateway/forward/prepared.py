"""The head of a request as it goes upstream.

Programs repeat themselves. The field lines that were built for the request before on a caller's
connection are kept with that connection, for the same headers with another target.
"""

from proxy.gateway.guards import origin_form
from proxy.gateway.headers import OutboundHeaders
from proxy.gateway.http1 import Fields, RequestHead


class Prepared:
    """The field lines that were built last, of one connection's requests."""

    __slots__ = ("_headers", "_key_header", "_lines", "_parsed", "_prefix")

    def __init__(self, headers: OutboundHeaders, prefix: bytes) -> None:
        """Take the rules of headers, and the prefix of the upstream's paths."""
        self._headers = headers
        self._prefix = prefix
        self._parsed: Fields | None = None
        self._key_header: bytes | None = None
        self._lines = b""

    def build(self, head: RequestHead, key_header: bytes | None, credential: bytes) -> bytes:
        """Build the head: the target as it came, below the prefix.

        `key_header` is left out. The lines of the credential come last, then the blank line. Equal
        field blocks are the same object (http1.parse_request_head).
        """
        if head.parsed is not self._parsed or key_header != self._key_header:
            self._lines = self._headers.build(head, key_header)
            self._parsed, self._key_header = head.parsed, key_header
        target = head.target
        if not target.startswith(b"/"):
            target = origin_form(target)
        return b"%b %b%b HTTP/1.1\r\n%b%b\r\n" % (
            head.method, self._prefix, target, self._lines, credential
        )  # fmt: skip
