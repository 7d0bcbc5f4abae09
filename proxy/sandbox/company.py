"""Users, configuration, public postings, messages and offers."""

from aiohttp import web

from proxy.sandbox.asking import list_all, page_by_id, page_by_offset, read_object, require
from proxy.sandbox.data import COMPANY, COMPANY_ID, ME, Json, new_id
from proxy.sandbox.endpoint import Endpoint, Routes
from proxy.sandbox.errors import not_found
from proxy.sandbox.records import find

CONFIGURATION, OFFERS = ("configuration_read",), ("candidates_offers_read",)
USERS, ME_TOO = ("users_read",), ("user_me_read", "users_read")


class CompanyRoutes(Routes):
    """The handlers of what the company has besides candidates and jobs."""

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints."""
        users, conf, postings = (
            "/user-api/v201804/users", "/configuration", "/v1/companies/{company}/postings",
        )  # fmt: skip
        offers = "/candidates/{candidateId}/jobs/{jobId}/offers"
        return [
            Endpoint("GET", "/users/me", self._get_me, ME_TOO),
            Endpoint("GET", f"{users}/me", self._get_me, ME_TOO),
            Endpoint("GET", users, self._list_users, USERS),
            Endpoint("GET", f"{users}/{{id}}", self._get_user, USERS),
            Endpoint("GET", f"{conf}/company", self._get_company, ("company_read",)),
            Endpoint("GET", f"{conf}/departments", self._list_departments, CONFIGURATION),
            Endpoint(
                "POST", f"{conf}/departments", self._add_department, ("configuration_manage",)
            ),
            Endpoint("GET", f"{conf}/departments/{{id}}", self._get_department, CONFIGURATION),
            Endpoint("GET", f"{conf}/sources", self._list_sources, CONFIGURATION),
            Endpoint("GET", f"{conf}/sources/{{type}}/values", self._list_values, CONFIGURATION),
            Endpoint("GET", f"{conf}/hiring-processes", self._list_processes, CONFIGURATION),
            Endpoint("GET", f"{conf}/hiring-processes/{{id}}", self._get_process, CONFIGURATION),
            Endpoint("GET", postings, self._list_postings, public=True),
            Endpoint("GET", f"{postings}/{{id}}", self._get_posting, public=True),
            Endpoint(
                "GET",
                "/v1/companies/{company}/departments",
                self._list_public_departments,
                public=True,
            ),
            Endpoint("GET", "/messages", self._list_messages, ("messages_read",)),
            Endpoint("POST", "/messages/shares", self._share, ("messages_write",)),
            Endpoint("DELETE", "/messages/shares/{id}", self._unshare, ("messages_write",)),
            Endpoint("GET", "/offers", self._list_offers, OFFERS),
            Endpoint("GET", offers, self._list_offers, OFFERS),
            Endpoint("GET", f"{offers}/{{offerId}}", self._get_offer, OFFERS),
            Endpoint("GET", "/offers/{offerId}/documents", self._list_documents, OFFERS),
            Endpoint("GET", "/offers/{offerId}/documents/{documentId}", self._get_document, OFFERS),
        ]

    # ── users ──

    async def _get_me(self, _: web.Request) -> web.Response:
        return web.json_response(ME)

    async def _list_users(self, request: web.Request) -> web.Response:
        return page_by_id(request, list(self._records.users.values()))

    async def _get_user(self, request: web.Request) -> web.Response:
        return web.json_response(self._records.user(request.match_info["id"]))

    # ── configuration ──

    async def _get_company(self, _: web.Request) -> web.Response:
        return web.json_response(COMPANY)

    async def _list_departments(self, _: web.Request) -> web.Response:
        return list_all(self._records.departments.values())

    async def _add_department(self, request: web.Request) -> web.Response:
        fields = await read_object(request)
        require(fields, "label")
        department = {"id": new_id(), "label": str(fields["label"]), "archived": False}
        self._records.departments[str(department["id"])] = department
        return web.json_response(department, status=201)

    async def _get_department(self, request: web.Request) -> web.Response:
        return _one(self._records.departments, request.match_info["id"], "Department")

    async def _list_sources(self, _: web.Request) -> web.Response:
        return list_all({"id": name, "label": name} for name in self._records.sources)

    async def _list_values(self, request: web.Request) -> web.Response:
        values = find(self._records.sources, request.match_info["type"], "Source type")
        return page_by_offset(request, values)

    async def _list_processes(self, _: web.Request) -> web.Response:
        return list_all(self._records.processes.values())

    async def _get_process(self, request: web.Request) -> web.Response:
        return _one(self._records.processes, request.match_info["id"], "Hiring process")

    # ── postings: public, as the real ones are ──

    async def _list_postings(self, request: web.Request) -> web.Response:
        return page_by_offset(request, list(self._postings(request).values()))

    async def _get_posting(self, request: web.Request) -> web.Response:
        return _one(self._postings(request), request.match_info["id"], "Posting")

    async def _list_public_departments(self, request: web.Request) -> web.Response:
        self._postings(request)
        return list_all(self._records.departments.values())

    def _postings(self, request: web.Request) -> dict[str, Json]:
        if request.match_info["company"] != COMPANY_ID:
            raise not_found("Company")
        return {
            job["id"]: self._links.posting(job)
            for job in self._records.jobs.values()
            if job["postingStatus"] == "PUBLIC"
        }

    # ── messages ──

    async def _list_messages(self, request: web.Request) -> web.Response:
        candidate = request.query.get("candidateId")
        found = [
            message
            for message in self._records.messages.values()
            if candidate is None or candidate in message["candidateIds"]
        ]
        return page_by_id(request, found, ("candidateId",))

    async def _share(self, request: web.Request) -> web.Response:
        fields = await read_object(request)
        require(fields, "content")
        candidates = fields.get("candidateIds") or []
        message = {
            "id": new_id(),
            "content": fields["content"],
            "candidateIds": [self._records.candidate(str(one))["id"] for one in candidates],
            "shareWith": fields.get("shareWith", {}),
            "createdOn": self._now(),
        }
        self._records.messages[message["id"]] = message
        return web.json_response({"id": message["id"]}, status=201)

    async def _unshare(self, request: web.Request) -> web.Response:
        if self._records.messages.pop(request.match_info["id"], None) is None:
            raise not_found("Message")
        return web.Response(status=204)

    # ── offers ──

    async def _list_offers(self, request: web.Request) -> web.Response:
        return page_by_offset(request, self._offers(request))

    async def _get_offer(self, request: web.Request) -> web.Response:
        offers = {offer["id"]: offer for offer in self._offers(request)}
        return _one(offers, request.match_info["offerId"], "Offer")

    async def _list_documents(self, request: web.Request) -> web.Response:
        return list_all(self._links.document(offer) for offer in self._offers(request))

    async def _get_document(self, request: web.Request) -> web.Response:
        for offer in self._offers(request):
            if self._links.document(offer)["id"] == request.match_info["documentId"]:
                text = f"Offer {offer['id']} of {COMPANY['name']}\n"
                return web.Response(text=text, content_type="text/plain")
        raise not_found("Document")

    def _offers(self, request: web.Request) -> list[Json]:
        """Return the offers that match the path's variables."""
        wanted = request.match_info
        return [
            offer
            for offer in self._records.offers()
            if wanted.get("candidateId", offer["candidate"]["id"]) == offer["candidate"]["id"]
            and wanted.get("jobId", offer["job"]["id"]) == offer["job"]["id"]
            and wanted.get("offerId", offer["id"]) == offer["id"]
        ]


def _one(found: dict[str, Json], key: str, what: str) -> web.Response:
    return web.json_response(find(found, key, what))
