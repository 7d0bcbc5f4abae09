"""What handlers read of a request, and lists as they answer them. Faults become ApiErrors."""

import base64
import json
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

from aiohttp import web

from proxy.sandbox.data import Json
from proxy.sandbox.errors import ApiError

DEFAULT_LIMIT = 10
MAX_LIMIT = 100

# Fields that callers may not set.
READ_ONLY = ("id", "createdOn", "updatedOn", "actions")


async def read_json(request: web.Request) -> Any:
    """Return the body's JSON."""
    try:
        return await request.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise ApiError(400, "MALFORMED_JSON", "The body is not valid JSON") from None


async def read_object(request: web.Request) -> Json:
    """Return the body's JSON object."""
    fields = await read_json(request)
    if not isinstance(fields, dict):
        raise ApiError(400, "MALFORMED_JSON", "The body must be a JSON object")
    return fields


def require(fields: Json, *names: str) -> None:
    """Refuse an object in which one of these is missing or empty."""
    missing = [name for name in names if not fields.get(name)]
    if missing:
        raise ApiError(400, "VALIDATION_ERROR", f"Required: {', '.join(missing)}")


def settable(fields: Json) -> Json:
    """Return the fields that a caller may set."""
    return {name: value for name, value in fields.items() if name not in READ_ONLY}


def read_number(
    request: web.Request, name: str, default: int, *, at_most: int | None = None
) -> int:
    """Return a number of the query."""
    text = request.query.get(name, str(default))
    if not text.isdecimal() or (at_most is not None and not 1 <= int(text) <= at_most):
        limits = f"from 1 to {at_most}" if at_most else "from 0"
        raise ApiError(400, "INVALID_PARAMETER", f"{name} must be a whole number {limits}")
    return int(text)


def list_all(found: Iterable[Json]) -> web.Response:
    """Answer with a whole list."""
    content = list(found)
    return web.json_response({"totalFound": len(content), "content": content})


def page_by_id(
    request: web.Request, found: Sequence[Json], kept: Sequence[str] = ("q",), **members: object
) -> web.Response:
    """Answer with the page that `pageId` names, and with more `members` of the JSON object.

    The `Link` header is relative and percent-encoded, and carries the `kept` parameters on.
    """
    limit = read_number(request, "limit", DEFAULT_LIMIT, at_most=MAX_LIMIT)
    start = _parse_page_id(request.query["pageId"]) if "pageId" in request.query else 0
    answer: Json = {"limit": limit}
    headers = {}
    if start + limit < len(found):
        answer["nextPageId"] = _build_page_id(start + limit)
        parameters = [(name, request.query[name]) for name in kept if request.query.get(name)]
        parameters += [("limit", str(limit)), ("pageId", answer["nextPageId"])]
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters)
        headers["Link"] = f'<{request.path}?{query}>; rel="next"'
    answer |= {"content": list(found[start : start + limit]), **members}
    return web.json_response(answer, headers=headers)


def page_by_offset(request: web.Request, found: Sequence[Json]) -> web.Response:
    """Answer with the page that begins at `offset`."""
    limit = read_number(request, "limit", DEFAULT_LIMIT, at_most=MAX_LIMIT)
    offset = read_number(request, "offset", 0)
    content = list(found[offset : offset + limit])
    return web.json_response(
        {"limit": limit, "offset": offset, "totalFound": len(found), "content": content}
    )


# Page ids are opaque, as the real ones are, with characters that must be percent-encoded in a
# query.


def _build_page_id(start: int) -> str:
    return base64.b64encode(b"\xff\xef?" + f"page:{start:06d}".encode() + b"~").decode()


def _parse_page_id(page_id: str) -> int:
    try:
        decoded = base64.b64decode(page_id, validate=True)
        return int(decoded.removeprefix(b"\xff\xef?page:").removesuffix(b"~"))
    except ValueError:
        raise ApiError(400, "INVALID_PAGE_ID", "pageId is not one that was given out") from None
