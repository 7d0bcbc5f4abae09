"""Jobs: list, create, read, change; status, publication, hiring team."""

from aiohttp import web

from proxy.sandbox.asking import (
    READ_ONLY,
    list_all,
    page_by_id,
    page_by_offset,
    read_json,
    read_object,
    require,
    settable,
)
from proxy.sandbox.data import Json
from proxy.sandbox.endpoint import Endpoint, Routes
from proxy.sandbox.errors import ApiError, not_found
from proxy.sandbox.json_patch import PatchError, apply_patch

READ, MANAGE = ("jobs_read",), ("jobs_manage",)
STATUSES = ("CREATED", "SOURCING", "INTERVIEW", "OFFER", "FILLED", "CANCELLED", "ON_HOLD")
TEAM_ROLES = ("RECRUITER", "HIRING_MANAGER", "COORDINATOR", "HIRING_TEAM", "EXECUTIVE")


class JobRoutes(Routes):
    """The handlers of `/jobs`."""

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints."""
        job, team = "/jobs/{jobId}", "/jobs/{jobId}/hiring-team"
        return [
            Endpoint("GET", "/jobs", self._list, READ),
            Endpoint("POST", "/jobs", self._create, MANAGE),
            Endpoint("GET", job, self._get, READ),
            Endpoint("PATCH", job, self._patch, MANAGE),
            Endpoint("PUT", f"{job}/status", self._put_status, MANAGE),
            Endpoint("GET", f"{job}/publication", self._get_publication, READ),
            Endpoint("POST", f"{job}/publication", self._publish, MANAGE),
            Endpoint("DELETE", f"{job}/publication", self._withdraw, MANAGE),
            Endpoint("GET", team, self._get_team, READ),
            Endpoint("POST", team, self._add_to_team, MANAGE),
            Endpoint("DELETE", f"{team}/{{userId}}", self._remove_from_team, MANAGE),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        words = request.query.get("q", "").casefold().split()
        status = request.query.get("status")
        found = [
            self._links.job(job)
            for job in reversed(self._records.jobs.values())
            if _matches(job, words) and status in (None, job["status"])
        ]
        # SmartRecruiters takes both, and calls `offset` slow and deprecated.
        if "offset" in request.query:
            return page_by_offset(request, found)
        return page_by_id(request, found, ("q", "status"), totalFound=len(found))

    async def _create(self, request: web.Request) -> web.Response:
        fields = await read_object(request)
        require(fields, "title")
        job = self._records.add_job(
            {**settable(fields), "status": "CREATED", "postingStatus": "NOT_PUBLISHED"}, self._now()
        )
        return web.json_response(self._links.job(job), status=201)

    async def _get(self, request: web.Request) -> web.Response:
        return web.json_response(self._links.job(self._job(request)))

    async def _patch(self, request: web.Request) -> web.Response:
        job = self._job(request)
        if request.content_type != "application/json-patch+json":
            raise ApiError(
                415, "UNSUPPORTED_MEDIA_TYPE", "Content-Type must be application/json-patch+json"
            )
        try:
            patched = apply_patch(job, await read_json(request))
        except PatchError as error:
            raise ApiError(400, "INVALID_PATCH", str(error)) from error
        job |= settable(patched)
        for name in job.keys() - patched.keys() - set(READ_ONLY):
            del job[name]
        job["updatedOn"] = self._now()
        return web.json_response(self._links.job(job))

    async def _put_status(self, request: web.Request) -> web.Response:
        job = self._job(request)
        status = (await read_object(request)).get("status")
        if status not in STATUSES:
            raise ApiError(400, "VALIDATION_ERROR", f"status must be one of {', '.join(STATUSES)}")
        job |= {"status": status, "updatedOn": self._now()}
        return web.Response(status=204)

    # ── publication ──

    async def _get_publication(self, request: web.Request) -> web.Response:
        job = self._job(request)
        published = job["postingStatus"] == "PUBLIC"
        return list_all([{"postingId": job["id"], "status": "ACTIVE"}] if published else [])

    async def _publish(self, request: web.Request) -> web.Response:
        self._job(request)["postingStatus"] = "PUBLIC"
        return web.Response(status=201)

    async def _withdraw(self, request: web.Request) -> web.Response:
        self._job(request)["postingStatus"] = "NOT_PUBLISHED"
        return web.Response(status=204)

    # ── hiring team ──

    async def _get_team(self, request: web.Request) -> web.Response:
        return list_all(self._team(request).values())

    async def _add_to_team(self, request: web.Request) -> web.Response:
        team = self._team(request)
        fields = await read_object(request)
        require(fields, "id", "role")
        if fields["role"] not in TEAM_ROLES:
            raise ApiError(400, "VALIDATION_ERROR", f"role must be one of {', '.join(TEAM_ROLES)}")
        user = self._records.user(str(fields["id"]))
        member = {"id": user["id"], "role": fields["role"]}
        team[user["id"]] = member
        return web.json_response(member, status=201)

    async def _remove_from_team(self, request: web.Request) -> web.Response:
        if self._team(request).pop(request.match_info["userId"], None) is None:
            raise not_found("Member of the hiring team")
        return web.Response(status=204)

    # ── helpers ──

    def _job(self, request: web.Request) -> Json:
        return self._records.job(request.match_info["jobId"])

    def _team(self, request: web.Request) -> dict[str, Json]:
        return self._records.teams.setdefault(self._job(request)["id"], {})


def _matches(job: Json, words: list[str]) -> bool:
    text = f"{job.get('title', '')} {job.get('refNumber', '')}".casefold()
    return all(word in text for word in words)
