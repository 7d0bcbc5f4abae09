"""A running sandbox whose clock the test moves, and a browser-like and an API-like caller of it."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import pytest

from proxy.sandbox import Sandbox, SandboxSettings

REDIRECT_URI = "http://localhost:8080/-/callback"


class Hands:
    """A wall clock that stands still until moved."""

    def __init__(self) -> None:
        self.at = 1_800_000_000.0

    def __call__(self) -> float:
        return self.at


class Visitor:
    """Asks the sandbox as a browser (consent) and as an app (tokens, API) would."""

    def __init__(self, sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
        self.sandbox = sandbox
        self.session = session

    async def consent(self, decision: str | None = "authorize", **query: str) -> tuple[int, str]:
        """Return status and Location (or the page) of the consent's answer."""
        parameters = {"client_id": "sandbox-client", "redirect_uri": REDIRECT_URI, **query}
        url = self.sandbox.authorization_endpoint
        method = "GET" if decision is None else "POST"
        data = None if decision is None else {"decision": decision}
        async with self.session.request(
            method, url, params=parameters, data=data, allow_redirects=False
        ) as answer:
            return answer.status, answer.headers.get("Location") or await answer.text()

    async def code(self, **query: str) -> str:
        _, location = await self.consent(**query)
        return dict(parse_qsl(urlsplit(location).query))["code"]

    async def token(self, **fields: str) -> tuple[int, Any]:
        body = {"client_id": "sandbox-client", "client_secret": "sandbox-secret", **fields}
        async with self.session.post(self.sandbox.token_endpoint, data=body) as answer:
            return answer.status, await answer.json()

    async def exchange(self, code: str, **fields: str) -> tuple[int, Any]:
        return await self.token(grant_type="authorization_code", code=code, **fields)

    async def refresh(self, refresh_token: str) -> tuple[int, Any]:
        return await self.token(grant_type="refresh_token", refresh_token=refresh_token)

    async def log_in(self, **query: str) -> Any:
        _, tokens = await self.exchange(await self.code(**query))
        return tokens

    async def status(self, access_token: str, path: str = "/users/me") -> int:
        headers = {"Authorization": f"Bearer {access_token}"}
        async with self.session.get(self.sandbox.origin + path, headers=headers) as answer:
            return answer.status


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def settings(hands: Hands) -> SandboxSettings:
    return SandboxSettings(clock=hands)


@pytest.fixture
async def sandbox(settings: SandboxSettings) -> AsyncIterator[Sandbox]:
    sandbox = Sandbox(settings)
    await sandbox.start()
    yield sandbox
    await sandbox.close()


@pytest.fixture
async def visitor(sandbox: Sandbox) -> AsyncIterator[Visitor]:
    async with aiohttp.ClientSession() as session:
        yield Visitor(sandbox, session)


@pytest.fixture
async def api(sandbox: Sandbox, visitor: Visitor) -> AsyncIterator[aiohttp.ClientSession]:
    """A session that carries an access token; override `settings` to lift the limits."""
    tokens = await visitor.log_in()
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    async with aiohttp.ClientSession(sandbox.origin, headers=headers) as session:
        yield session
