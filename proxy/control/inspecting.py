"""The inspector's routes: one request in full, all as a HAR file, and one sent again."""

import base64
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from proxy.control.answers import as_json, as_page, redirect
from proxy.control.context import ControlContext
from proxy.control.filters import Filter
from proxy.control.rendering import prepare, render
from proxy.control.requests import FORM, base_url
from proxy.errors import Problem
from proxy.messages import Answer, Request
from proxy.problems import is_navigation
from proxy.recording.as_code import as_curl, as_powershell, as_python, pretty
from proxy.recording.exchange import Message, RecordedExchange
from proxy.recording.har import as_text, build_entry, decoded
from proxy.recording.inspector import Draft, Inspector, draft_of
from proxy.telemetry.logs import redact
from proxy.telemetry.traffic import describe

PREFIX = "/-/requests/"
REPLAY = "/replay"
KEYS = ("Authorization", "X-API-Key", "X-SmartToken", "X-SRProxy-Key", "Cookie")
# What a person is shown as it is; a browser's own viewer is no part of the page.
LONGEST_SHOWN = 256 * 1024


class Inspecting:
    """The handlers; all of them answer 404 while `inspect.enabled` is off."""

    def __init__(self, context: ControlContext) -> None:
        self._context = context

    async def har(self, request: Request) -> Answer:
        """Answer all that are kept, those that the page's filter shows, or the one of `id`."""
        inspector = self._inspector()
        wanted = Filter.of(request.query)
        only = request.query.get("id")
        chosen = [
            one
            for one in inspector.all()
            if (only in (None, one.id)) and (one.record is None or wanted.matches(one.record))
        ]
        log = {
            "version": "1.2",
            "creator": {"name": "smartrecruiters-proxy", "version": self._context.version},
            "entries": [build_entry(one, redact) for one in chosen],
        }
        disposition = 'attachment; filename="requests.har"'
        return as_json({"log": log}, [("Content-Disposition", disposition)])

    async def handle(self, request: Request) -> Answer:
        """Answer `/-/requests/ID` and `/-/requests/ID/replay`."""
        inspector = self._inspector()
        rest = request.path.removeprefix(PREFIX)
        is_replay = rest.endswith(REPLAY)
        exchange = inspector.get(rest.removesuffix(REPLAY) if is_replay else rest)
        if exchange is None:
            raise Problem("not_found", "No such request is kept: it is too old, or never was one.")
        method = "POST" if is_replay else "GET"
        if request.method not in (method, "HEAD" if method == "GET" else method):
            raise Problem(
                "method_not_allowed", f"This route takes {method}.", headers=[("Allow", method)]
            )
        if is_replay:
            return await self._replay(request, inspector, exchange)
        if is_navigation(request.header):
            await prepare()
            return as_page(self._page(exchange, base_url(request, self._context.config)))
        return as_json(full(exchange))

    def _inspector(self) -> Inspector:
        inspector = self._context.inspector
        if inspector is None or not inspector.enabled:
            raise Problem(
                "not_found",
                "Requests are not kept. Set inspect.enabled: true, or start srproxy serve with "
                "--inspect.",
            )
        return inspector

    async def _replay(
        self, request: Request, inspector: Inspector, exchange: RecordedExchange
    ) -> Answer:
        draft = draft_of(exchange)
        edits = _read_edits(request)
        draft = _edited(draft, edits)
        credentials = [(name, value) for name in KEYS if (value := request.header(name))]
        host = request.header("host") or "localhost"
        new_id, status = await inspector.resend(draft, host, credentials)
        if request.content_type != "application/json" and _is_form_of_a_browser(request):
            where = f"{PREFIX}{new_id}" if inspector.get(new_id) else "/-/"
            return redirect(where, 303)
        return as_json({"id": new_id, "status": status})

    def _page(self, exchange: RecordedExchange, base: str) -> str:
        needs_key = bool(self._context.config.access.api_keys)
        return render(
            "request.html",
            exchange=exchange,
            record=exchange.record,
            url=redact(exchange.url),
            parts=[
                ("Request", _shown(exchange.request)),
                ("Answer", _shown(exchange.response)),
            ],
            codes=[
                ("curl", redact(as_curl(exchange, needs_key=needs_key))),
                ("Python", redact(as_python(exchange, needs_key=needs_key))),
                ("PowerShell", redact(as_powershell(exchange, needs_key=needs_key))),
            ],
            draft=_editable(exchange),
            base=base,
        )


def full(exchange: RecordedExchange) -> dict[str, Any]:
    """Return a request in full, as JSON members."""
    members = describe(exchange.record) if exchange.record is not None else {}
    request: dict[str, Any] = {"method": exchange.method, "url": redact(exchange.url)}
    response: dict[str, Any] = {"status": exchange.status, "reason": exchange.reason}
    times = exchange.timings
    return {
        **members,
        "request": request | _message(exchange.request),
        "response": response | _message(exchange.response),
        "complete": exchange.complete,
        "timings": {
            "held": round(times.held, 6),
            "connect": round(times.connect, 6),
            "wait": round(times.wait, 6),
            "receive": round(times.receive, 6),
        },
    }


def _message(message: Message) -> dict[str, Any]:
    members: dict[str, Any] = {
        "headers": [[name, redact(value)] for name, value in message.headers],
        "truncated": message.body.truncated,
        "size": message.body.size,
    }
    plain = decoded(message)
    data = message.body.data if plain is None else plain
    text = as_text(message, data)
    if text is None:
        return members | {"body": base64.b64encode(data).decode(), "encoding": "base64"}
    return members | {"body": redact(text)}


def _shown(message: Message) -> dict[str, Any]:
    """Return what the page shows of a message: headers, and the body as text or by its size."""
    media_type = message.header("content-type") or "no media type"
    plain = decoded(message)
    data = message.body.data if plain is None else plain
    text = as_text(message, data)
    parts = _multipart(message, data)
    shown = None
    if text is not None and len(text) <= LONGEST_SHOWN:
        shown = redact(pretty(text) if "json" in media_type else text)
    return {
        "headers": [(name, redact(value)) for name, value in message.headers],
        "text": shown,
        "parts": parts,
        "media_type": media_type,
        "size": message.body.size,
        "kept": len(message.body.data),
        "truncated": message.body.truncated,
    }


def _multipart(message: Message, data: bytes) -> list[tuple[str, int]]:
    """Return the names and sizes of the parts of a form with files."""
    media_type, _, parameters = message.header("content-type").partition(";")
    if media_type.strip().lower() != "multipart/form-data" or "boundary=" not in parameters:
        return []
    boundary = parameters.partition("boundary=")[2].split(";")[0].strip().strip('"')
    parts = []
    for piece in data.split(b"--" + boundary.encode("latin-1"))[1:]:
        head, blank, body = piece.partition(b"\r\n\r\n")
        if blank:
            name = head.decode("utf-8", "replace").partition("Content-Disposition:")[2]
            parts.append((redact(name.split("\r\n")[0].strip()), max(0, len(body) - 2)))
    return parts


def _editable(exchange: RecordedExchange) -> dict[str, str] | None:
    """Return the request as the page's form has it; None where it cannot be edited as text."""
    if exchange.request.body.truncated:
        return None
    text = as_text(exchange.request, exchange.request.body.data)
    if exchange.request.body.size and (text is None or exchange.request.header("content-encoding")):
        return None
    draft = draft_of(exchange)
    headers = "\n".join(f"{name}: {value}" for name, value in draft.headers)
    return {
        "method": draft.method,
        "path": redact(draft.target),
        "headers": redact(headers),
        "body": redact(text or ""),
    }


def _read_edits(request: Request) -> Mapping[str, object]:
    if request.content_type == "application/json":
        try:
            edits = json.loads(request.body or b"{}")
        except (ValueError, RecursionError):
            edits = None
        if not isinstance(edits, dict):
            raise Problem("bad_request", "The request body must be a JSON object, or empty.")
        return edits
    edits = {}
    if request.content_type == FORM:
        try:
            edits.update(parse_qsl(request.body.decode(), keep_blank_values=True))
        except UnicodeDecodeError:
            raise Problem("bad_request", "The form is no UTF-8.") from None
    if "headers" in edits:
        lines = [line.partition(":") for line in edits["headers"].splitlines() if line.strip()]
        edits["headers"] = [[name.strip(), value.strip()] for name, _, value in lines]
    if "body" in edits:
        # A browser's form has CRLF where the text had LF.
        edits["body"] = edits["body"].replace("\r\n", "\n")
    return edits


def _edited(draft: Draft, edits: Mapping[str, object]) -> Draft:
    method, path = edits.get("method", draft.method), edits.get("path", draft.target)
    headers, body = edits.get("headers"), edits.get("body")
    if not isinstance(method, str) or not isinstance(path, str):
        raise Problem("bad_request", "method and path must be texts.")
    if headers is not None:
        if isinstance(headers, dict):
            headers = list(headers.items())
        if not isinstance(headers, list) or not all(
            isinstance(pair, list | tuple)
            and len(pair) == 2
            and all(isinstance(text, str) for text in pair)
            for pair in headers
        ):
            raise Problem("bad_request", "headers must be a list of [name, value] texts.")
        draft.headers = [(name, value) for name, value in headers]
    if body is not None:
        if not isinstance(body, str):
            raise Problem("bad_request", "body must be a text.")
        try:
            draft.body = body.encode()
        except UnicodeEncodeError:
            raise Problem("bad_request", "body has half of a surrogate pair in it.") from None
    draft.method, draft.target = method.upper(), path
    return draft


def _is_form_of_a_browser(request: Request) -> bool:
    """Return whether a browser's form was sent: its answer is looked at by a person."""
    return request.header("sec-fetch-mode") == "navigate"
