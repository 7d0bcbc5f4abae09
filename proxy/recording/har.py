"""An exchange as an entry of a HAR 1.2 file (http://www.softwareishard.com/blog/har-12-spec/).

Text bodies are written as text, others as base64. A compressed body is written decoded, as browsers
do, and its original bytes in `_raw`, so that it can be answered again byte for byte.
"""

import base64
import binascii
import re
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from proxy.recording.exchange import Body, Headers, Message, RecordedExchange, Timings

Json = dict[str, Any]
Mask = Callable[[str], str]

MASK = "***"
# Whole values of these are masked; elsewhere the redactor finds credentials by their look.
CREDENTIALS = frozenset(
    {
        "authorization", "proxy-authorization", "x-smarttoken", "x-api-key", "x-srproxy-key",
        "cookie", "set-cookie",
    }
)  # fmt: skip
TEXT = re.compile(r"text/|application/(?:[\w.+-]*\+)?(?:json|xml|javascript|x-www-form-urlencoded)")
# Other decoders may be slow on hostile input: punycode's takes quadratic time.
CHARSETS = frozenset(
    {
        "utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin1", "iso-8859-15",
        "windows-1252", "utf-16", "utf-16le", "utf-16be",
    }
)  # fmt: skip
CHARSET = re.compile(r"charset\s*=\s*\"?([\w.:-]+)", re.IGNORECASE)
# Bytes that a compressed body may grow to when decoded: more would be a bomb.
LONGEST_DECODED = 16 * 1024 * 1024
SURELY_DECODED = 1024 * 1024
MOST_GROWTH = 16


def build_entry(exchange: RecordedExchange, mask: Mask) -> Json:
    """Build the entry; `mask` takes credentials out of a text."""
    request, response = exchange.request, exchange.response
    url = mask(exchange.url)
    times = exchange.timings
    body: Json = {
        "startedDateTime": datetime.fromtimestamp(exchange.at, UTC).isoformat(),
        "time": _ms(times.total),
        "request": {
            "method": exchange.method,
            "url": url,
            "httpVersion": "HTTP/1.1",
            "cookies": [],
            "headers": _headers(request.headers, mask),
            "queryString": [
                {"name": name, "value": value}
                for name, value in parse_qsl(urlsplit(url).query, keep_blank_values=True)
            ],
            "headersSize": -1,
            "bodySize": request.body.size,
        },
        "response": {
            "status": exchange.status,
            "statusText": exchange.reason,
            "httpVersion": "HTTP/1.1",
            "cookies": [],
            "headers": _headers(response.headers, mask),
            "content": _content(response, mask),
            "redirectURL": mask(response.header("location")),
            "headersSize": -1,
            "bodySize": response.body.size if exchange.complete else -1,
        },
        "cache": {},
        "timings": {
            "blocked": _ms(times.held),
            "connect": _ms(times.connect),
            "send": 0,
            "wait": _ms(times.wait),
            "receive": _ms(times.receive),
        },
        "_id": exchange.id,
    }
    if request.body.size:
        body["request"]["postData"] = _post_data(request, mask)
    if not exchange.complete:
        body["response"]["_brokenOff"] = True
    return body


def parse_entry(entry: Json) -> RecordedExchange | None:
    """Read an entry of any program's HAR; None where it has no complete answer.

    Browsers, Postman and mitmproxy write compressed bodies decoded: their `Content-Encoding` is
    dropped.
    """
    try:
        request, response = entry["request"], entry["response"]
        status = int(response["status"])
        if not 200 <= status <= 999 or response.get("_brokenOff"):
            return None
        content = response.get("content") or {}
        data, is_raw = _read_content(content)
        answer = Message(_read_headers(response), Body(data, len(data)))
        if not is_raw:
            answer.headers = [
                header for header in answer.headers if header[0].lower() != "content-encoding"
            ]
        reason = response.get("statusText")
        return RecordedExchange(
            id=str(entry.get("_id", "")),
            at=_instant(entry.get("startedDateTime")),
            method=str(request["method"]).upper(),
            url=str(request["url"]),
            request=Message(_read_headers(request), _read_post_data(request)),
            status=status,
            reason=reason if isinstance(reason, str) else _phrase(status),
            response=answer,
            timings=Timings(),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def decoded(message: Message) -> bytes | None:
    """Return a body without its compression; None where it is compressed otherwise, or cut off."""
    encoding = message.header("content-encoding").strip().lower()
    if encoding in ("", "identity"):
        return message.body.data
    if encoding not in ("gzip", "x-gzip", "deflate") or message.body.truncated:
        return None
    # Two hundred kept bodies must not grow to gigabytes in one HAR file.
    longest = min(LONGEST_DECODED, max(SURELY_DECODED, MOST_GROWTH * len(message.body.data)))
    for window in (47,) if encoding != "deflate" else (47, -15):
        decoder = zlib.decompressobj(window)
        try:
            data = decoder.decompress(message.body.data, longest)
        except zlib.error:
            continue
        return data if decoder.eof else None
    return None


def as_text(message: Message, data: bytes) -> str | None:
    """Return a body as text; None where its media type or its bytes are not text."""
    media_type = message.header("content-type").lower()
    if not TEXT.match(media_type.strip()):
        return None
    found = CHARSET.search(media_type)
    charset = found[1] if found else "utf-8"
    if charset not in CHARSETS:
        return None
    try:
        return data.decode(charset)
    except UnicodeDecodeError:
        return None


def _content(response: Message, mask: Mask) -> Json:
    media_type = response.header("content-type") or "x-unknown"
    data, body = _body(response, mask)
    content: Json = {
        "mimeType": media_type,
        "size": response.body.size if response.body.truncated else len(data),
    }
    if data is not response.body.data:
        content["compression"] = len(data) - response.body.size
    return content | body


def _post_data(request: Message, mask: Mask) -> Json:
    _, body = _body(request, mask)
    if "encoding" in body:
        body["_encoding"] = body.pop("encoding")  # the standard has no place for it
    if request.body.truncated:
        body["_truncated"] = True
    return {"mimeType": request.header("content-type"), "params": [], **body}


def _body(message: Message, mask: Mask) -> tuple[bytes, Json]:
    """Return a body, decoded where that can be done, and the members that hold it."""
    plain = decoded(message)
    data = message.body.data if plain is None else plain
    members = _members(message, data, mask)
    if message.body.truncated:
        members["comment"] = f"only the first {len(message.body.data)} bytes were kept"
    elif message.header("content-encoding") and _is_whole(members, data):
        members["_raw"] = base64.b64encode(message.body.data).decode()
    return data, members


def _members(message: Message, data: bytes, mask: Mask) -> Json:
    text = as_text(message, data)
    # Written as text only if that encodes to the same bytes again.
    if text is not None and text.encode("utf-8", "surrogatepass") == data:
        return {"text": mask(text)}
    return {"text": base64.b64encode(data).decode(), "encoding": "base64"}


def _is_whole(members: Json, data: bytes) -> bool:
    """Tell whether nothing was masked, which the raw bytes would show."""
    return "encoding" in members or members["text"].encode("utf-8", "surrogatepass") == data


def _headers(headers: Headers, mask: Mask) -> list[Json]:
    return [
        {"name": name, "value": MASK if name.lower() in CREDENTIALS else mask(value)}
        for name, value in headers
    ]


def _read_headers(message: Json) -> Headers:
    return [(str(one["name"]), str(one["value"])) for one in message.get("headers", ())]


def _read_content(content: Json) -> tuple[bytes, bool]:
    """Return the body, and whether it is as it went over the wire."""
    if isinstance(content.get("_raw"), str):
        return base64.b64decode(content["_raw"]), True
    text = content.get("text") or ""
    if content.get("encoding") == "base64":
        return base64.b64decode(text), False
    return str(text).encode("utf-8", "surrogatepass"), False


def _read_post_data(request: Json) -> Body:
    """Return the request's body; one that was not written down whole has no data but a size."""
    post_data = request.get("postData") or {}
    size = request.get("bodySize", 0)
    if post_data.get("_truncated") or (not post_data and isinstance(size, int) and size > 0):
        return Body(b"", max(1, size if isinstance(size, int) else 1))
    if isinstance(post_data.get("_raw"), str):
        data = base64.b64decode(post_data["_raw"])
    else:
        text = str(post_data.get("text") or "")
        encoding = post_data.get("_encoding") or post_data.get("encoding")
        try:
            data = base64.b64decode(text) if encoding == "base64" else text.encode()
        except binascii.Error:
            data = text.encode()
    return Body(data, len(data))


def _instant(text: object) -> float:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return 0.0


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
