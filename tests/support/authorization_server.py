"""A strict authorization server over a real socket, for tests; shares no code with the proxy.

Codes and refresh tokens are single-use, and a refresh token presented twice ends the grant, as at
SmartRecruiters. Every presentation is logged with what became of it. A test can make the next
answers fail in a chosen way (`script`), before or after the token is spent.
"""

import asyncio
import base64
import itertools
import json
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote_plus

from aiohttp import web

CLIENT_ID = "client-1"
CLIENT_SECRET = "client-secret-0123456789"
# A header of the tests' own: which of several processes sends.
SENDER = "X-Sender"
REDIRECT_URI = "http://localhost:8080/-/callback"


@dataclass(frozen=True)
class Presentation:
    """One token request as it was seen: what was presented, when, and what became of it."""

    at: float
    grant_type: str
    token: str
    verdict: str  # rotated, refused (unknown or of a dead grant), reused, failed (not looked at)
    grant: int | None = None
    generation: int | None = None
    in_flight: int = 1
    sender: str = ""  # the process, where it says which it is


@dataclass(frozen=True)
class Answer:
    """How to answer one request differently; `spend`: whether the token is spent first."""

    status: int = 500
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    spend: bool = False
    cut: bool = False  # close the connection in place of an answer
    delay: float = 0.0
    change: dict[str, Any] | None = None  # a regular answer with these members; None removes one


@dataclass
class _Grant:
    number: int
    generation: int
    refresh_token: str
    alive: bool = True


class AuthorizationServer:
    """The server, and the log that tests judge by."""

    def __init__(self, *, lifetime: float = 1799, authentication: str = "post") -> None:
        self.lifetime = lifetime
        self.authentication = authentication
        self.log: list[Presentation] = []
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.script: deque[Answer] = deque()
        # Used for every request while set, before the script.
        self.always: Answer | None = None
        self.valid_access_tokens: set[str] = set()
        self.release: asyncio.Event | None = None
        self._numbers = itertools.count(1)
        self._codes: set[str] = set()
        self._grants: list[_Grant] = []
        self._owner: dict[str, _Grant] = {}
        self._in_flight = 0
        self._runner: web.AppRunner | None = None
        self.port = 0
        # Set with every token request.
        self.presented = asyncio.Event()
        self.committed: list[tuple[float, int]] = []

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}/identity/oauth/token"

    async def start(self, port: int = 0) -> None:
        application = web.Application()
        application.router.add_post("/identity/oauth/token", self._token)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def issue_code(self) -> str:
        code = f"code-{next(self._numbers)}"
        self._codes.add(code)
        return code

    def revoke_everything(self) -> None:
        for grant in self._grants:
            grant.alive = False
        self.valid_access_tokens.clear()

    async def caught_up(self) -> None:
        """Wait until what was sent before, by processes that are gone perhaps, has been read."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        await reader.read()
        writer.close()

    @property
    def refreshes(self) -> list[Presentation]:
        return [entry for entry in self.log if entry.grant_type == "refresh_token"]

    async def _token(self, request: web.Request) -> web.StreamResponse:
        self._in_flight += 1
        try:
            return await self._answer(request)
        finally:
            self._in_flight -= 1

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests.append((dict(request.headers), body))
        fields = {**self._fields(request, body), "sender": request.headers.get(SENDER, "")}
        plan = self.always or (self.script.popleft() if self.script else None)
        if plan is not None and plan.delay:
            await asyncio.sleep(plan.delay)
        if self.release is not None:
            await self.release.wait()
        if plan is not None and not plan.spend and plan.change is None:
            self._note(fields, "failed")
            return self._planned(request, plan)
        status, answer = self._judge(request, fields)
        if plan is not None and plan.change is not None and status == 200:
            answer = {k: v for k, v in {**answer, **plan.change}.items() if v is not None}
        elif plan is not None:
            return self._planned(request, plan)
        return web.json_response(answer, status=status)

    def _planned(self, request: web.Request, plan: Answer) -> web.StreamResponse:
        if plan.cut:
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=plan.status, body=plan.body, headers=plan.headers)

    def _fields(self, request: web.Request, body: bytes) -> dict[str, str]:
        if request.content_type == "application/json":
            fields = json.loads(body)
        else:
            fields = {k: v[0] for k, v in parse_qs(body.decode()).items()}
        assert isinstance(fields, dict)
        return fields

    def _judge(self, request: web.Request, fields: dict[str, str]) -> tuple[int, dict[str, Any]]:
        if not self._is_client(request, fields):
            self._note(fields, "failed")
            return 401, {"error": "invalid_client"}
        if fields.get("grant_type") == "authorization_code":
            return self._exchange(fields)
        if fields.get("grant_type") == "client_credentials":
            self._note(fields, "issued")
            access_token = f"access-{next(self._numbers)}-{'c' * 60}"
            self.valid_access_tokens.add(access_token)
            return 200, {"access_token": access_token, "expires_in": self.lifetime}
        return self._refresh(fields)

    def _is_client(self, request: web.Request, fields: dict[str, str]) -> bool:
        pair = fields.get("client_id"), fields.get("client_secret")
        if self.authentication == "basic":
            encoded = request.headers.get("Authorization", "").removeprefix("Basic ")
            name, _, secret = base64.b64decode(encoded).decode().partition(":")
            pair = unquote_plus(name), unquote_plus(secret)
        return pair == (CLIENT_ID, CLIENT_SECRET)

    def _exchange(self, fields: dict[str, str]) -> tuple[int, dict[str, Any]]:
        code = fields.get("code", "")
        good = code in self._codes and fields.get("redirect_uri") == REDIRECT_URI
        self._codes.discard(code)
        if not good:
            self._note(fields, "refused")
            return 400, {"error": "invalid_grant"}
        grant = _Grant(len(self._grants) + 1, 0, "")
        self._grants.append(grant)
        return self._rotate(fields, grant)

    def _refresh(self, fields: dict[str, str]) -> tuple[int, dict[str, Any]]:
        token = fields.get("refresh_token", "")
        grant = self._owner.get(token)
        if grant is None or not grant.alive:
            self._note(fields, "refused", grant)
            return 400, {"error": "invalid_grant", "error_description": f"bad {token}"}
        if grant.refresh_token != token:
            grant.alive = False
            self._note(fields, "reused", grant)
            return 400, {"error": "invalid_grant"}
        return self._rotate(fields, grant)

    def _rotate(self, fields: dict[str, str], grant: _Grant) -> tuple[int, dict[str, Any]]:
        self._note(fields, "rotated", grant)
        grant.generation += 1
        number = next(self._numbers)
        access_token = f"access-{number}-{'a' * 60}"
        grant.refresh_token = f"refresh-{number}-{'r' * 60}"
        self._owner[grant.refresh_token] = grant
        self.valid_access_tokens.add(access_token)
        answer = {
            "access_token": access_token,
            "expires_in": self.lifetime,
            "refresh_token": grant.refresh_token,
        }
        if fields["grant_type"] == "authorization_code":
            answer["token_type"] = "bearer"
        self.committed.append((time.monotonic(), grant.generation))
        return 200, answer

    def _note(self, fields: dict[str, str], verdict: str, grant: _Grant | None = None) -> None:
        token = fields.get("refresh_token") or fields.get("code") or ""
        self.presented.set()
        self.log.append(
            Presentation(
                time.monotonic(),
                fields.get("grant_type", ""),
                token,
                verdict,
                grant.number if grant else None,
                grant.generation if grant else None,
                self._in_flight,
                fields["sender"],
            )
        )
