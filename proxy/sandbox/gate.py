"""Checks every API request before its handler: credential, limits, scope; builds error bodies.

A credential is a bearer token or an API key (`X-SmartToken`), which may do everything.
"""

import asyncio
import hmac
import logging
from collections.abc import Iterable
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from proxy.sandbox.endpoint import Endpoint
from proxy.sandbox.errors import ApiError, InsufficientScope
from proxy.sandbox.grants import Grants
from proxy.sandbox.identity import AUTHORIZATION_PATH, TOKEN_PATH
from proxy.sandbox.settings import SandboxSettings
from proxy.sandbox.throttle import Throttle, unused_headers

logger = logging.getLogger(__name__)


class Gate:
    """The middleware of the API side; requests to the identity side pass it unchecked."""

    def __init__(
        self, settings: SandboxSettings, grants: Grants, endpoints: Iterable[Endpoint]
    ) -> None:
        self._settings = settings
        self._grants = grants
        self._endpoints = {endpoint.name: endpoint for endpoint in endpoints}
        self._throttle = Throttle(enforced=settings.throttle)
        self._next_status: int | None = None

    def fail_next(self, status: int) -> None:
        """Answer the next API request with this status, whatever it asks."""
        self._next_status = status

    def reset(self) -> None:
        """Forget what the limits have counted, and the status of `fail_next`."""
        self._throttle = Throttle(enforced=self._settings.throttle)
        self._next_status = None

    def middleware(self) -> Middleware:
        """Return the aiohttp middleware."""

        @web.middleware
        async def gate(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.path in (AUTHORIZATION_PATH, TOKEN_PATH):
                return await handler(request)
            return await self._admit(request, handler)

        return gate

    async def _admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        name = _name(request)
        endpoint = self._endpoints.get(name)
        caller = self._authenticate(request)
        if caller is None and endpoint is not None and endpoint.public:
            caller = Caller(f"address {request.remote}", None)
        if caller is None:
            error = ApiError(401, "UNAUTHORIZED", "The access token is missing, wrong or expired")
            return _finish(error.response(), unused_headers())
        slot = self._throttle.enter(caller.credential, name)
        if not slot.admitted:
            error = ApiError(429, "TOO_MANY_REQUESTS", "Too many requests")
            return _finish(error.response(), slot.headers)
        try:
            if self._settings.latency:
                await asyncio.sleep(self._settings.latency)
            return _finish(await self._answer(request, handler, caller, endpoint), slot.headers)
        finally:
            self._throttle.leave(caller.credential, name)

    def _authenticate(self, request: web.Request) -> "Caller | None":
        key = request.headers.get("X-SmartToken")
        if key is not None:
            known = hmac.compare_digest(key.encode(), self._settings.api_key.encode())
            return Caller("api key", None) if known else None
        values = request.headers.getall("Authorization", [])
        if len(values) != 1:
            return None
        scheme, _, token = values[0].partition(" ")
        grant = self._grants.authenticate(token) if scheme.lower() == "bearer" else None
        return None if grant is None else Caller(f"grant {grant.number}", grant.scopes)

    async def _answer(
        self,
        request: web.Request,
        handler: Handler,
        caller: "Caller",
        endpoint: Endpoint | None,
    ) -> web.StreamResponse:
        if self._next_status is not None:
            status, self._next_status = self._next_status, None
            return ApiError(status, "TEST", "This answer was asked for by a test").response()
        if endpoint is not None and not caller.may(endpoint.scopes):
            return InsufficientScope(endpoint.scopes).response()
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
            logger.exception("sandbox_failed endpoint=%s", endpoint and endpoint.name)
            return ApiError(500, "INTERNAL_SERVER_ERROR", "Internal server error").response()


@dataclass(frozen=True, slots=True)
class Caller:
    """The credential that limits are counted by, and its scopes; None: all, as an API key has."""

    credential: str
    scopes: tuple[str, ...] | None

    def may(self, needed: tuple[str, ...]) -> bool:
        """Tell whether it has one of the scopes needed."""
        return self.scopes is None or not needed or not set(needed).isdisjoint(self.scopes)


def _name(request: web.Request) -> str:
    resource = request.match_info.route.resource
    method = "GET" if request.method == "HEAD" else request.method
    return f"{method} {resource.canonical if resource else request.path}"


def _finish(response: web.StreamResponse, headers: dict[str, str]) -> web.StreamResponse:
    # The headers can still change: no handler streams its answer.
    response.headers.update(headers)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "no-store"
    return response
