"""A control application on fakes of its seams, and a client that is a browser's or a program's."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import DummyCookieJar, web
from aiohttp.test_utils import TestClient

from proxy.config import Config
from proxy.control.application import build_application
from proxy.control.context import Admit, ControlContext
from proxy.errors import Problem
from proxy.grant.oauth import TokenSet
from proxy.system.secret import Secret
from proxy.telemetry.traffic import RequestRecord

BROWSER = {"Accept": "text/html,*/*;q=0.8", "Sec-Fetch-Mode": "navigate"}
SECRETS = ("client-secret-0123456789", "the-code", "api-key-0123456789abcdef", "fresh-token")
# What every code is exchanged for.
FRESH = TokenSet(Secret("fresh-token"), Secret("fresh-token-2"), 0.0, 1799.0, 0.0, 2_419_200.0)

Client = TestClient[web.Request, web.Application]


class FakeClock:
    """Two hands that a test moves."""

    def __init__(self) -> None:
        self.seconds = 1_790_000_000.0

    def now(self) -> float:
        return self.seconds

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds


class FakeStatus:
    def __init__(self, account: "FakeAccount") -> None:
        self._account = account
        self.state: str = account.json.get("state", "login_required")
        self.subject = account.subject
        self.granted_at = account.granted_at

    def as_json(self, now: float) -> dict[str, Any]:
        return dict(self._account.json)


class FakeAccount:
    """An account that is logged in by any code, unless told to fail."""

    def __init__(self) -> None:
        self.exchanged: list[tuple[str, str | None]] = []
        self.failure: Exception | None = None
        self.stored = 0
        self.subject: str | None = None
        self.granted_at: float | None = None
        self.callbacks: list[Callable[[], None]] = []
        self.json: dict[str, Any] = {
            "name": "default",
            "state": "login_required",
            "reason": "never_authorized",
            "scopes": [],
            "generation": 0,
            "access_token": None,
            "refresh_token": None,
            "last_refresh": None,
        }

    def authorize(self) -> None:
        self.json |= {
            "state": "authorized",
            "reason": None,
            "scopes": ["candidates_read", "jobs_read"],
            "generation": 1,
            "access_token": {
                "issued_at": "2026-09-21T13:33:20Z",
                "expires_at": "2026-09-21T14:03:19Z",
                "expires_in": 1799,
            },
            "refresh_token": {
                "issued_at": "2026-09-21T13:33:20Z",
                "expires_at": "2026-10-19T13:33:20Z",
                "expires_in": 2419200,
            },
        }
        self.changed()

    def changed(self) -> None:
        for callback in self.callbacks:
            callback()

    async def exchange(
        self, code: Secret, code_verifier: Secret | None, admit: Admit | None = None
    ) -> None:
        verifier = code_verifier.reveal() if code_verifier else None
        self.exchanged.append((code.reveal(), verifier))
        if self.failure is not None:
            raise self.failure
        await self.take(FRESH, await admit(FRESH) if admit else None)

    async def take(self, fresh: TokenSet, subject: str | None) -> None:
        if self.failure is not None:
            raise self.failure
        assert fresh is FRESH
        self.stored += 1
        self.subject = subject
        self.authorize()

    async def set_subject(self, subject: str) -> None:
        self.subject = subject

    async def logout(self) -> None:
        self.json |= {"state": "login_required", "reason": "logged_out", "access_token": None}
        self.changed()

    def status(self) -> FakeStatus:
        return FakeStatus(self)

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        self.callbacks.append(callback)
        return lambda: self.callbacks.remove(callback)


class FakeTraffic:
    def __init__(self) -> None:
        self.records: list[RequestRecord] = []
        self.callbacks: list[Callable[[RequestRecord], None]] = []

    def recent(self) -> list[RequestRecord]:
        return self.records

    def add(self, record: RequestRecord) -> None:
        self.records.append(record)
        for callback in list(self.callbacks):
            callback(record)

    def subscribe(self, callback: Callable[[RequestRecord], None]) -> Callable[[], None]:
        self.callbacks.append(callback)
        return lambda: self.callbacks.remove(callback)


class FakeMetrics:
    def render(self) -> bytes:
        return b"srproxy_up 1\n"


@dataclass
class World:
    """Everything a test moves or looks at."""

    clock: FakeClock = field(default_factory=FakeClock)
    account: FakeAccount = field(default_factory=FakeAccount)
    traffic: FakeTraffic = field(default_factory=FakeTraffic)
    problem: Problem | None = None
    owner: str | None = None
    new_owner: str | None = None
    asked: int = 0

    async def identify(self, account: str) -> str | None:
        self.asked += 1
        return self.owner

    async def identify_token(self, token: Secret) -> str | None:
        assert token is FRESH.access_token
        return self.new_owner

    def context(self, config: Config) -> ControlContext:
        return ControlContext(
            config=config,
            accounts={"default": self.account},
            traffic=self.traffic,
            metrics=FakeMetrics(),
            clock=self.clock,
            started_at=self.clock.now(),
            readiness=lambda: self.problem,
            version="1.2.3",
            identify=self.identify,
            identify_token=self.identify_token,
        )


def make_config(**sections: dict[str, Any]) -> Config:
    oauth = {
        "client_id": "the-client",
        "client_secret": SECRETS[0],
        "redirect_uri": "http://localhost:8080/-/callback",
        "authorization_endpoint": "https://sr.example/identity/oauth/allow",
        "token_endpoint": "https://api.sr.example/identity/oauth/token",
    } | sections.pop("oauth", {})
    return Config.build({"oauth": oauth, **sections})


@pytest.fixture
def world() -> World:
    return World()


Serve = Callable[..., Awaitable[Client]]


@pytest.fixture
def serve(world: World, aiohttp_client: Any) -> Serve:
    """Start the application; requests go out as to localhost:8080, with cookies kept by hand."""

    async def start(**sections: dict[str, Any]) -> Client:
        application = build_application(world.context(make_config(**sections)))
        client: Client = await aiohttp_client(
            application, headers={"Host": "localhost:8080"}, cookie_jar=DummyCookieJar()
        )
        return client

    return start
