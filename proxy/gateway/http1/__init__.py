"""The grammar of HTTP/1.1, strict, for both sides: heads in, heads and framings out.

One place decides what is malformed (RFC 9112), for callers and for the upstream alike, so that two
parsers can never read one message in two ways. What is malformed raises a Problem that repeats
nothing of the message: `bad_request` or `head_too_large` for a caller's, `http_protocol_error` for
the upstream's. Nothing here does I/O; a sender's bytes go in as they come, however they are cut.

Stricter than the RFC where leniency has made requests smuggleable: no bare CR or LF, no obs-fold
and no control characters in requests, `Content-Length` once and without leading zeros,
`Transfer-Encoding` only as exactly `chunked` and never beside a length or in HTTP/1.0.
Of the upstream alone a framing that is stated twice and alike is accepted, as one.
"""

from proxy.gateway.http1.bodies import (
    LAST_CHUNK,
    BodyDecoder,
    ChunkedDecoder,
    LengthDecoder,
    UntilCloseDecoder,
    encode_chunk,
    encode_last_chunk,
)
from proxy.gateway.http1.fields import Fields, Headers
from proxy.gateway.http1.heads import (
    HeadBuffer,
    RequestHead,
    ResponseHead,
    parse_request_head,
    parse_response_head,
)

__all__ = [
    "LAST_CHUNK",
    "BodyDecoder",
    "ChunkedDecoder",
    "Fields",
    "HeadBuffer",
    "Headers",
    "LengthDecoder",
    "RequestHead",
    "ResponseHead",
    "UntilCloseDecoder",
    "encode_chunk",
    "encode_last_chunk",
    "parse_request_head",
    "parse_response_head",
]
