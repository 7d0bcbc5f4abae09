"""A recorded request as a line to paste: curl, Python (requests), PowerShell.

It calls the address that the caller used, through the proxy again. Credentials are left out: the
proxy sets its own, and a placeholder stands for a caller's key.
"""

import json
import re
import shlex

from proxy.recording.exchange import Headers, RecordedExchange
from proxy.recording.har import as_text

# Headers that every client sets itself, and credentials.
LEFT_OUT = frozenset(
    {
        "host", "content-length", "connection", "keep-alive", "transfer-encoding", "te", "trailer",
        "expect", "upgrade", "user-agent", "accept-encoding", "cookie", "authorization",
        "proxy-authorization", "x-smarttoken", "x-api-key", "x-srproxy-key", "x-request-id",
        "origin", "referer",
    }
)  # fmt: skip
KEY_HEADER = ("X-API-Key", "YOUR-KEY")
BODY_FILE = "body.bin"
# Control characters: a terminal acts on them, and one may end what is pasted.
CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
# All of them are single quotes to PowerShell.
SINGLE_QUOTES = re.compile("['\u2018\u2019\u201a\u201b]")


def as_curl(exchange: RecordedExchange, *, needs_key: bool = False) -> str:
    """Return a command for a POSIX shell."""
    parts = ["curl"]
    if re.search(r"[\[\]{}]", exchange.url):
        parts.append("--globoff")
    if exchange.method == "HEAD":
        parts.append("--head")
    elif exchange.method != "GET" or exchange.request.body.size:
        parts += ["-X", exchange.method]
    parts.append(shlex.quote(exchange.url))
    for name, value in _headers(exchange, needs_key):
        parts += ["-H", shlex.quote(f"{name}: {value}")]
    if exchange.request.body.size:
        text = _text(exchange)
        if text is None:
            parts += ["--data-binary", f"@{BODY_FILE}"]
        else:
            parts += ["--data-raw", shlex.quote(text)]  # it takes a leading @ as it is
    return " ".join(parts)


def as_python(exchange: RecordedExchange, *, needs_key: bool = False) -> str:
    """Return a program that uses `requests`."""
    lines = ["import requests", "", "answer = requests.request("]
    lines += [f"    {exchange.method!r},", f"    {exchange.url!r},"]
    headers = _headers(exchange, needs_key)
    if headers:
        lines.append(f"    headers={dict(headers)!r},")
    if exchange.request.body.size:
        text = _text(exchange)
        data = f"open({BODY_FILE!r}, 'rb')" if text is None else f"{text!r}.encode()"
        lines.append(f"    data={data},")
    lines += ["    allow_redirects=False,", ")", "print(answer.status_code, answer.text)"]
    return "\n".join(lines)


def as_powershell(exchange: RecordedExchange, *, needs_key: bool = False) -> str:
    """Return a command for PowerShell 7."""
    parts = ["Invoke-WebRequest", "-Method", exchange.method, "-Uri", _quote(exchange.url)]
    headers = _headers(exchange, needs_key)
    typed = [value for name, value in headers if name.lower() == "content-type"]
    others = [header for header in headers if header[0].lower() != "content-type"]
    if others:
        pairs = "; ".join(f"{_quote(name)} = {_quote(value)}" for name, value in others)
        parts += ["-Headers", f"@{{ {pairs} }}"]
    if typed:
        parts += ["-ContentType", _quote(typed[0])]
    if exchange.request.body.size:
        text = _text(exchange)
        parts += ["-InFile", BODY_FILE] if text is None else ["-Body", _quote(text)]
    return " ".join(parts)


def _headers(exchange: RecordedExchange, needs_key: bool) -> Headers:
    kept = [
        (name, value)
        for name, value in exchange.request.headers
        if name.lower() not in LEFT_OUT and not name.lower().startswith("sec-")
    ]
    return [*kept, KEY_HEADER] if needs_key else kept


def _text(exchange: RecordedExchange) -> str | None:
    """Return the body where it is text that can be pasted; None where it must come from a file."""
    body = exchange.request.body
    if body.truncated or exchange.request.header("content-encoding"):
        return None
    text = as_text(exchange.request, body.data)
    return None if text is None or CONTROLS.search(text) else text


def _quote(text: str) -> str:
    """Quote for PowerShell: in single quotes nothing is special but such quotes themselves."""
    return "'" + SINGLE_QUOTES.sub(lambda quote: quote[0] * 2, text) + "'"


def pretty(text: str) -> str:
    """Return JSON indented; any other text as it is."""
    try:
        indented = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
        indented.encode()  # half of a surrogate pair, as an escape, is no text
    except (ValueError, RecursionError):
        return text
    return indented
