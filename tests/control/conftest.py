"""The control routes behind a real front, on fakes of their own seams, and a client of them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from aiohttp import ClientSession, DummyCookieJar
from aiohttp.client import _RequestContextManager
from yarl import URL

from proxy.config import Config
from proxy.control.application import Control
from proxy.control.context import Admit, ControlContext, LimitsView
from proxy.control.policy import security_headers
from proxy.control.rendering import render_problem_page
from proxy.errors import Problem
from proxy.gateway.front import Front
from proxy.grant.oauth import TokenSet
from proxy.grant.status import AccountStatus
from proxy.system.secret import Secret
from proxy.telemetry.traffic import RequestRecord
from tests.support.proxying import proxying

BROWSER = {"Accept": "text/html,*/*;q=0.8", "Sec-Fetch-Mode": "navigate"}
SECRETS = ("client-secret-0123456789", "the-code", "api-key-0123456789abcdef", "fresh-token")
# What every code is exchanged for.
FRESH = TokenSet(Secret("fresh-token"), Secret("fresh-token-2"), 0.0, 1799.0, 0.0, 2_419_200.0)
# The grant that an account then has, from 21 September 2026, 14:13:20, on.
BEGAN = 1_790_000_000.0
GRANTED = TokenSet(
    Secret("fresh-token"), Secret("fresh-token-2"), BEGAN, BEGAN + 1799, BEGAN, BEGAN + 2_419_200,
    ("candidates_read", "jobs_read"),
)  # fmt: skip


class FakeClock:
    """Two hands that a test moves."""

    def __init__(self) -> None:
        self.seconds = BEGAN

    def now(self) -> float:
        return self.seconds

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds


class FakeAccount:
    """An account that is logged in by any code, unless told to fail."""

    def __init__(self, name: str = "default") -> None:
        self.exchanged: list[tuple[str, str | None]] = []
        self.failure: Exception | None = None
        self.pause: asyncio.Event | None = None
        self.problem: Problem | None = None
        self.no_login: Problem | None = None
        self.stored = 0
        self.callbacks: list[Callable[[], None]] = []
        self.now = AccountStatus(name, "login_required", "never_authorized", 0, None, None)

    @property
    def subject(self) -> str | None:
        return self.now.subject

    def change(self, **fields: Any) -> None:
        self.now = replace(self.now, **fields)

    def authorize(self) -> None:
        self.change(state="authorized", reason=None, generation=1, tokens=GRANTED)
        self.changed()

    def changed(self) -> None:
        for callback in self.callbacks:
            callback()

    def login_problem(self) -> Problem | None:
        return self.no_login

    async def exchange(
        self, code: Secret, code_verifier: Secret | None, admit: Admit | None = None
    ) -> None:
        verifier = code_verifier.reveal() if code_verifier else None
        self.exchanged.append((code.reveal(), verifier))
        if self.pause is not None:
            await self.pause.wait()
        if self.failure is not None:
            raise self.failure
        await self.take(FRESH, await admit(FRESH) if admit else None)

    async def take(self, fresh: TokenSet, subject: str | None) -> None:
        if self.failure is not None:
            raise self.failure
        assert fresh is FRESH
        self.stored += 1
        self.change(subject=subject)
        self.authorize()

    async def set_subject(self, subject: str) -> None:
        self.change(subject=subject)

    async def logout(self) -> None:
        self.change(state="login_required", reason="logged_out", tokens=None)
        self.changed()

    def status(self) -> AccountStatus:
        return self.now

    def readiness(self) -> Problem | None:
        return self.problem

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
    others: dict[str, FakeAccount] = field(default_factory=dict)
    traffic: FakeTraffic = field(default_factory=FakeTraffic)
    limits: LimitsView | None = None
    certificate_ends_at: float | None = None
    problem: Problem | None = None
    owner: str | None = None
    new_owner: str | None = None
    asked: int = 0

    async def owner_of(self, account: str) -> str | None:
        self.asked += 1
        return self.owner

    async def owner_of_token(self, token: Secret) -> str | None:
        assert token is FRESH.access_token
        return self.new_owner

    def context(self, settings: Callable[[], Config]) -> ControlContext:
        return ControlContext(
            settings=settings,
            accounts={"default": self.account, **self.others},
            traffic=self.traffic,
            metrics=FakeMetrics(),
            clock=self.clock,
            started_at=self.clock.now(),
            readiness=lambda: self.problem,
            version="1.2.3",
            owner_of=self.owner_of,
            owner_of_token=self.owner_of_token,
            limits=self.limits,
            certificate_ends_at=lambda: self.certificate_ends_at,
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


class Client:
    """Asks one front: as localhost:8080, with the first of its keys, cookies kept by hand."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.config = make_config()
        self.control: Control
        self.front: Front
        self.port = 0
        self._session: ClientSession

    async def start(self, stack: AsyncExitStack, **sections: dict[str, Any]) -> None:
        self.reload(**sections)
        control = self.control = Control(self.world.context(lambda: self.config))
        harness = await stack.enter_async_context(
            proxying(
                None,
                control=control,
                config=self.config,
                problem_page=render_problem_page,
                page_headers=security_headers(),
            )
        )
        self.front, self.port = harness.front, harness.port
        stack.push_async_callback(control.close)
        headers = {"Host": "localhost:8080"}
        for entry in self.config.access.api_keys[:1]:
            assert entry.key is not None
            headers["X-API-Key"] = entry.key.reveal()
        self._session = await stack.enter_async_context(
            ClientSession(headers=headers, cookie_jar=DummyCookieJar())
        )

    def reload(self, **sections: dict[str, Any]) -> None:
        """Have the routes find another configuration."""
        self.config = make_config(**sections)

    def request(self, method: str, path: str, **options: Any) -> _RequestContextManager:
        url = URL(f"http://127.0.0.1:{self.port}{path}", encoded=True)
        return self._session.request(method, url, **options)

    def get(self, path: str, **options: Any) -> _RequestContextManager:
        return self.request("GET", path, **options)

    def head(self, path: str, **options: Any) -> _RequestContextManager:
        return self.request("HEAD", path, allow_redirects=False, **options)

    def post(self, path: str, **options: Any) -> _RequestContextManager:
        return self.request("POST", path, **options)


Serve = Callable[..., Awaitable[Client]]


@pytest.fixture
async def serve(world: World) -> AsyncIterator[Serve]:
    """Start the routes behind a front of their own; sections of the configuration by keyword."""
    async with AsyncExitStack() as stack:

        async def start(**sections: dict[str, Any]) -> Client:
            client = Client(world)
            await client.start(stack, **sections)
            return client

        yield start
