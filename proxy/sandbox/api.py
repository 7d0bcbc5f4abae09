"""The API side: users, candidates with attachments, jobs, configuration.

Bodies as documented, `actions` with absolute URLs of the sandbox's own origin among them: the proxy
in front must cope with those as with the real ones.
"""

import base64
import json
from typing import Any
from urllib.parse import quote

from aiohttp import web

from proxy.sandbox.attachments import AttachmentRoutes
from proxy.sandbox.data import COMPANY, ME, Json, Records, new_id, timestamp
from proxy.sandbox.errors import ApiError, not_found
from proxy.sandbox.json_patch import PatchError, apply_patch
from proxy.sandbox.links import Links
from proxy.sandbox.settings import SandboxSettings

DEFAULT_LIMIT = 10
MAX_LIMIT = 100

# What nobody may set.
_KEPT_BY_US = ("id", "createdOn", "updatedOn", "actions")


class Api:
    """The handlers, over one company's records."""

    def __init__(self, settings: SandboxSettings, links: Links) -> None:
        self._settings = settings
        self._links = links
        self._records = Records()
        self._attachments = AttachmentRoutes(self._records, links, settings.clock)

    def routes(self) -> list[web.RouteDef]:
        """Return every endpoint; GET ones answer HEAD too."""
        return [
            web.get("/users/me", self._get_me),
            web.get("/configuration/company", self._get_company),
            *self._attachments.routes(),
            web.get("/candidates", self._list_candidates),
            web.post("/candidates", self._create_candidate),
            web.get("/candidates/{id}", self._get_candidate),
            web.patch("/candidates/{id}", self._update_candidate),
            web.delete("/candidates/{id}", self._delete_candidate),
            web.get("/jobs", self._list_jobs),
            web.post("/jobs", self._create_job),
            web.get("/jobs/{id}", self._get_job),
            web.patch("/jobs/{id}", self._patch_job),
        ]

    async def _get_me(self, _: web.Request) -> web.Response:
        return web.json_response(ME)

    async def _get_company(self, _: web.Request) -> web.Response:
        return web.json_response(COMPANY)

    # ── candidates: pages by nextPageId ──

    async def _list_candidates(self, request: web.Request) -> web.Response:
        limit = _number(request, "limit", DEFAULT_LIMIT, at_most=MAX_LIMIT)
        words = request.query.get("q", "").casefold().split()
        found = [c for c in self._records.candidates.values() if _matches(c, words)]
        start = _parse_page_id(request.query["pageId"]) if "pageId" in request.query else 0
        page = found[start : start + limit]
        answer: Json = {"limit": limit}
        headers = {}
        if start + limit < len(found):
            answer["nextPageId"] = _build_page_id(start + limit)
            query = f"limit={limit}&pageId={quote(answer['nextPageId'], safe='')}"
            if words:
                query = f"q={quote(request.query['q'], safe='')}&{query}"
            headers["Link"] = f'</candidates?{query}>; rel="next"'
        answer["content"] = [self._links.candidate(candidate) for candidate in page]
        return web.json_response(answer, headers=headers)

    async def _create_candidate(self, request: web.Request) -> web.Response:
        fields = await _read_object(request)
        _require(fields, "firstName", "lastName", "email")
        now = timestamp(self._settings.clock())
        candidate: Json = {
            "id": new_id(),
            "internal": False,
            "phoneNumber": None,
            "location": {},
            "web": {},
            "tags": [],
            **_settable(fields),
            "createdOn": now,
            "updatedOn": now,
            "secondaryAssignments": [],
        }
        self._records.candidates[candidate["id"]] = candidate
        return web.json_response(self._links.candidate(candidate), status=201)

    async def _get_candidate(self, request: web.Request) -> web.Response:
        return web.json_response(self._links.candidate(self._candidate(request)))

    async def _update_candidate(self, request: web.Request) -> web.Response:
        candidate = self._candidate(request)
        candidate |= _settable(await _read_object(request))
        candidate["updatedOn"] = timestamp(self._settings.clock())
        return web.json_response(self._links.candidate(candidate))

    async def _delete_candidate(self, request: web.Request) -> web.Response:
        self._records.delete_candidate(self._candidate(request)["id"])
        return web.Response(status=204)

    def _candidate(self, request: web.Request) -> Json:
        try:
            return self._records.candidates[request.match_info["id"]]
        except KeyError:
            raise not_found("Candidate") from None

    # ── jobs: pages by offset ──

    async def _list_jobs(self, request: web.Request) -> web.Response:
        limit = _number(request, "limit", DEFAULT_LIMIT, at_most=MAX_LIMIT)
        offset = _number(request, "offset", 0)
        words = request.query.get("q", "").casefold().split()
        status = request.query.get("status")
        found = [
            job
            for job in self._records.jobs.values()
            if _matches(job, words) and status in (None, job["status"])
        ]
        page = found[offset : offset + limit]
        return web.json_response(
            {
                "limit": limit,
                "offset": offset,
                "totalFound": len(found),
                "content": [self._links.job(job) for job in page],
            }
        )

    async def _create_job(self, request: web.Request) -> web.Response:
        fields = await _read_object(request)
        _require(fields, "title")
        now = timestamp(self._settings.clock())
        job: Json = {
            "id": new_id(),
            "refNumber": f"REF{len(self._records.jobs) + 20}X",
            "department": None,
            "location": {},
            **_settable(fields),
            "status": "CREATED",
            "postingStatus": "NOT_PUBLISHED",
            "createdOn": now,
            "updatedOn": now,
            "creator": {key: ME[key] for key in ("firstName", "lastName")},
        }
        self._records.jobs[job["id"]] = job
        return web.json_response(self._links.job(job), status=201)

    async def _get_job(self, request: web.Request) -> web.Response:
        return web.json_response(self._links.job(self._job(request)))

    async def _patch_job(self, request: web.Request) -> web.Response:
        job = self._job(request)
        if request.content_type != "application/json-patch+json":
            raise ApiError(
                415, "UNSUPPORTED_MEDIA_TYPE", "Content-Type must be application/json-patch+json"
            )
        try:
            patched = apply_patch(job, await _read_json(request))
        except PatchError as error:
            raise ApiError(400, "INVALID_PATCH", str(error)) from error
        job |= _settable(patched)
        for name in job.keys() - patched.keys() - set(_KEPT_BY_US):
            del job[name]
        job["updatedOn"] = timestamp(self._settings.clock())
        return web.json_response(self._links.job(job))

    def _job(self, request: web.Request) -> Json:
        try:
            return self._records.jobs[request.match_info["id"]]
        except KeyError:
            raise not_found("Job") from None


def _matches(record: Json, words: list[str]) -> bool:
    names = ("firstName", "lastName", "email", "title", "refNumber")
    text = " ".join(str(record.get(name, "")) for name in names).casefold()
    return all(word in text for word in words)


# A page id as opaque as the real ones, with the characters that a query must carry encoded.


def _build_page_id(start: int) -> str:
    return base64.b64encode(b"\xff\xef?" + f"page:{start:06d}".encode() + b"~").decode()


def _parse_page_id(page_id: str) -> int:
    try:
        decoded = base64.b64decode(page_id, validate=True)
        return int(decoded.removeprefix(b"\xff\xef?page:").removesuffix(b"~"))
    except ValueError:
        raise ApiError(400, "INVALID_PAGE_ID", "pageId is not one that was given out") from None


def _number(request: web.Request, name: str, default: int, *, at_most: int | None = None) -> int:
    text = request.query.get(name, str(default))
    if not text.isdecimal() or (at_most is not None and not 1 <= int(text) <= at_most):
        limits = f"from 1 to {at_most}" if at_most else "from 0"
        raise ApiError(400, "INVALID_PARAMETER", f"{name} must be a whole number {limits}")
    return int(text)


async def _read_json(request: web.Request) -> Any:
    try:
        return await request.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise ApiError(400, "MALFORMED_JSON", "The body is not valid JSON") from None


async def _read_object(request: web.Request) -> Json:
    fields = await _read_json(request)
    if not isinstance(fields, dict):
        raise ApiError(400, "MALFORMED_JSON", "The body must be a JSON object")
    return fields


def _require(fields: Json, *names: str) -> None:
    missing = [name for name in names if not fields.get(name)]
    if missing:
        raise ApiError(400, "VALIDATION_ERROR", f"Required: {', '.join(missing)}")


def _settable(fields: Json) -> Json:
    return {name: value for name, value in fields.items() if name not in _KEPT_BY_US}
