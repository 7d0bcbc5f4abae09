"""What every API request passes before its handler: bearer, limits, scope; and error bodies."""

import asyncio
import logging

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from proxy.sandbox.errors import ApiError
from proxy.sandbox.grants import Grant, Grants
from proxy.sandbox.identity import AUTHORIZATION_PATH, TOKEN_PATH
from proxy.sandbox.settings import SandboxSettings
from proxy.sandbox.throttle import Throttle, unused_headers

logger = logging.getLogger(__name__)

# The scopes of which one is needed, by endpoint; an endpoint that is not listed needs none.
SCOPES = {
    "GET /users/me": ("user_me_read", "users_read"),
    "GET /configuration/company": ("configuration_read",),
    "GET /candidates": ("candidates_read", "candidates_manage"),
    "POST /candidates": ("candidates_create", "candidates_manage"),
    "GET /candidates/{id}": ("candidates_read", "candidates_manage"),
    "PATCH /candidates/{id}": ("candidates_manage",),
    "DELETE /candidates/{id}": ("candidates_manage",),
    "GET /candidates/{id}/attachments": ("candidates_read", "candidates_manage"),
    "POST /candidates/{id}/attachments": ("candidates_create", "candidates_manage"),
    "GET /candidates/{id}/attachments/{attachment}": ("candidates_read", "candidates_manage"),
    "GET /candidates/attachments/{attachment}": ("candidates_read", "candidates_manage"),
    "DELETE /candidates/attachments/{attachment}": ("candidates_manage",),
    "GET /jobs": ("jobs_read", "jobs_manage"),
    "POST /jobs": ("jobs_manage",),
    "GET /jobs/{id}": ("jobs_read", "jobs_manage"),
    "PATCH /jobs/{id}": ("jobs_manage",),
}


class Gate:
    """The middleware of the API side; the identity side passes it untouched."""

    def __init__(self, settings: SandboxSettings, grants: Grants) -> None:
        self._settings = settings
        self._grants = grants
        self._throttle = Throttle(enforced=settings.throttle)

    def middleware(self) -> Middleware:
        """Return it as aiohttp wants it."""

        @web.middleware
        async def gate(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.path in (AUTHORIZATION_PATH, TOKEN_PATH):
                return await handler(request)
            return await self._admit(request, handler)

        return gate

    async def _admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        grant = self._authenticate(request)
        if grant is None:
            error = ApiError(401, "UNAUTHORIZED", "The access token is missing, wrong or expired")
            return _finish(error.response(), unused_headers())
        endpoint = _endpoint(request)
        slot = self._throttle.enter(grant.number, endpoint)
        if not slot.admitted:
            error = ApiError(429, "TOO_MANY_REQUESTS", "Too many requests")
            return _finish(error.response(), slot.headers)
        try:
            if self._settings.latency:
                await asyncio.sleep(self._settings.latency)
            return _finish(await self._answer(request, handler, grant, endpoint), slot.headers)
        finally:
            self._throttle.leave(grant.number, endpoint)

    def _authenticate(self, request: web.Request) -> Grant | None:
        values = request.headers.getall("Authorization", [])
        if len(values) != 1:
            return None
        scheme, _, token = values[0].partition(" ")
        return self._grants.authenticate(token) if scheme.lower() == "bearer" else None

    async def _answer(
        self, request: web.Request, handler: Handler, grant: Grant, endpoint: str
    ) -> web.StreamResponse:
        needed = SCOPES.get(endpoint, ())
        if needed and not set(needed) & set(grant.scopes):
            # The real one does not say which scope is missing either.
            return ApiError(403, "FORBIDDEN", "Access denied").response()
        try:
            return await handler(request)
        except ApiError as error:
            return error.response()
        except web.HTTPException as error:
            refusal = ApiError(error.status, error.reason.upper().replace(" ", "_"), error.reason)
            response = refusal.response()
            if "Allow" in error.headers:
                response.headers["Allow"] = error.headers["Allow"]
            return response
        except Exception:
            logger.exception("sandbox_failed endpoint=%s", endpoint)
            return ApiError(500, "INTERNAL_SERVER_ERROR", "Internal server error").response()


def _endpoint(request: web.Request) -> str:
    resource = request.match_info.route.resource
    method = "GET" if request.method == "HEAD" else request.method
    return f"{method} {resource.canonical if resource else request.path}"


def _finish(response: web.StreamResponse, headers: dict[str, str]) -> web.StreamResponse:
    # A streamed answer has its head out already; only those made by handlers come here.
    response.headers.update(headers)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "no-store"
    return response
