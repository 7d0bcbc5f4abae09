"""Candidates: list, create, read, change, delete; tags; statuses and assignments to jobs."""

from aiohttp import web

from proxy.sandbox.asking import list_all, page_by_id, read_object, require, settable
from proxy.sandbox.data import Json, new_id
from proxy.sandbox.endpoint import Endpoint, Routes
from proxy.sandbox.errors import ApiError, not_found

READ, CREATE, MANAGE = ("candidates_read",), ("candidates_create",), ("candidates_manage",)
STATUSES = (
    "LEAD", "NEW", "IN_REVIEW", "INTERVIEW", "OFFERED", "HIRED", "REJECTED", "WITHDRAWN",
    "TRANSFERRED",
)  # fmt: skip


class CandidateRoutes(Routes):
    """The handlers of `/candidates`."""

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints."""
        candidate, job = "/candidates/{id}", "/candidates/{id}/jobs/{jobId}"
        return [
            Endpoint("GET", "/candidates", self._list, READ),
            Endpoint("POST", "/candidates", self._create, CREATE),
            Endpoint("GET", candidate, self._get, READ),
            Endpoint("PATCH", candidate, self._update, MANAGE),
            Endpoint("DELETE", candidate, self._delete, MANAGE),
            Endpoint("GET", f"{candidate}/tags", self._get_tags, MANAGE),
            Endpoint("POST", f"{candidate}/tags", self._add_tags, MANAGE),
            Endpoint("PUT", f"{candidate}/tags", self._replace_tags, MANAGE),
            Endpoint("DELETE", f"{candidate}/tags", self._delete_tags, MANAGE),
            Endpoint("PUT", f"{candidate}/status", self._put_status, CREATE),
            Endpoint("GET", f"{candidate}/status/history", self._get_history, READ),
            Endpoint("GET", job, self._get_assignment, READ),
            Endpoint("DELETE", job, self._delete_assignment, MANAGE),
            Endpoint("PUT", f"{job}/status", self._put_status, CREATE),
            Endpoint("GET", f"{job}/status/history", self._get_history, READ),
            Endpoint("POST", "/jobs/{jobId}/candidates", self._create_for_job, CREATE),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        words = request.query.get("q", "").casefold().split()
        found = [
            self._links.candidate(candidate)
            for candidate in reversed(self._records.candidates.values())
            if _matches(candidate, words)
        ]
        return page_by_id(request, found)

    async def _create(self, request: web.Request) -> web.Response:
        candidate = self._add(await read_object(request))
        return web.json_response(self._links.candidate(candidate), status=201)

    async def _create_for_job(self, request: web.Request) -> web.Response:
        job = self._records.job(request.match_info["jobId"])
        candidate = self._add(await read_object(request))
        self._assign(candidate, job, "NEW")
        return web.json_response(self._links.candidate(candidate), status=201)

    async def _get(self, request: web.Request) -> web.Response:
        return web.json_response(self._links.candidate(self._candidate(request)))

    async def _update(self, request: web.Request) -> web.Response:
        candidate = self._candidate(request)
        candidate |= settable(await read_object(request))
        candidate["updatedOn"] = self._now()
        return web.json_response(self._links.candidate(candidate))

    async def _delete(self, request: web.Request) -> web.Response:
        self._records.delete_candidate(self._candidate(request)["id"])
        return web.Response(status=204)

    # ── tags ──

    async def _get_tags(self, request: web.Request) -> web.Response:
        return web.json_response({"tags": self._candidate(request)["tags"]})

    async def _add_tags(self, request: web.Request) -> web.Response:
        candidate = self._candidate(request)
        tags = [*candidate["tags"], *await _read_tags(request)]
        candidate["tags"] = list(dict.fromkeys(tags))
        return web.json_response({"tags": candidate["tags"]}, status=201)

    async def _replace_tags(self, request: web.Request) -> web.Response:
        candidate = self._candidate(request)
        candidate["tags"] = list(dict.fromkeys(await _read_tags(request)))
        return web.json_response({"tags": candidate["tags"]})

    async def _delete_tags(self, request: web.Request) -> web.Response:
        self._candidate(request)["tags"] = []
        return web.Response(status=204)

    # ── statuses and assignments: of the primary job where the path names none ──

    async def _put_status(self, request: web.Request) -> web.Response:
        candidate = self._candidate(request)
        assignment = self._assignment(candidate, request)
        fields = await read_object(request)
        if fields.get("status") not in STATUSES:
            raise ApiError(400, "VALIDATION_ERROR", f"status must be one of {', '.join(STATUSES)}")
        self._assign(candidate, assignment["job"], fields["status"], fields.get("subStatus"))
        return web.Response(status=204)

    async def _get_history(self, request: web.Request) -> web.Response:
        candidate = self._candidate(request)
        job = self._assignment(candidate, request)["job"]
        changes = self._records.statuses.get((candidate["id"], job["id"]), [])
        return list_all(reversed(changes))

    async def _get_assignment(self, request: web.Request) -> web.Response:
        candidate = self._candidate(request)
        return web.json_response(
            self._links.assignment(candidate, self._assignment(candidate, request))
        )

    async def _delete_assignment(self, request: web.Request) -> web.Response:
        candidate = self._candidate(request)
        assignment = self._assignment(candidate, request)
        if candidate.get("primaryAssignment") is assignment:
            del candidate["primaryAssignment"]
        else:
            candidate["secondaryAssignments"].remove(assignment)
        return web.Response(status=204)

    # ── helpers ──

    def _add(self, fields: Json) -> Json:
        require(fields, "firstName", "lastName", "email")
        return self._records.add_candidate(settable(fields), self._now())

    def _assign(self, candidate: Json, job: Json, status: str, sub: object = None) -> None:
        now = self._now()
        assignment: Json = {
            "job": {"id": job["id"], "title": job["title"]},
            "status": status,
            "source": "API",
        }
        if sub is not None:
            assignment["subStatus"] = sub
        others = [a for a in candidate["secondaryAssignments"] if a["job"]["id"] != job["id"]]
        first = candidate.get("primaryAssignment")
        if first is None or first["job"]["id"] == job["id"]:
            candidate["primaryAssignment"] = assignment
        else:
            others.append(assignment)
        candidate["secondaryAssignments"] = others
        candidate["updatedOn"] = now
        change = {"id": new_id(), "status": status, "subStatus": sub, "changedOn": now}
        self._records.statuses.setdefault((candidate["id"], job["id"]), []).append(change)

    def _candidate(self, request: web.Request) -> Json:
        return self._records.candidate(request.match_info["id"])

    def _assignment(self, candidate: Json, request: web.Request) -> Json:
        job_id = request.match_info.get("jobId")
        for assignment in assignments(candidate):
            if job_id in (None, assignment["job"]["id"]):
                return assignment
        raise not_found("Assignment to a job")


def assignments(candidate: Json) -> list[Json]:
    """Return a candidate's assignments to jobs, the primary one first."""
    first = candidate.get("primaryAssignment")
    return [*([first] if first else []), *candidate["secondaryAssignments"]]


async def _read_tags(request: web.Request) -> list[str]:
    tags = (await read_object(request)).get("tags")
    if not isinstance(tags, list) or not all(isinstance(tag, str) and tag for tag in tags):
        raise ApiError(400, "VALIDATION_ERROR", "tags must be a list of texts")
    return tags


def _matches(candidate: Json, words: list[str]) -> bool:
    text = " ".join(str(candidate.get(name, "")) for name in ("firstName", "lastName", "email"))
    return all(word in text.casefold() for word in words)
