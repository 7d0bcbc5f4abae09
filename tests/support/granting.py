"""A TokenManager on a strict authorization server, a clock that a test moves, and any store."""

import asyncio
import copy
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from proxy.config import Config
from proxy.errors import Problem
from proxy.grant.accounts import open_endpoint
from proxy.grant.live import Credential
from proxy.grant.manager import TokenManager
from proxy.grant.stores.base import TokenStore
from proxy.grant.stores.record import Record
from proxy.system.secret import Secret
from tests.support.authorization_server import CLIENT_ID, CLIENT_SECRET, AuthorizationServer
from tests.support.clock import FakeClock
from tests.support.memory_store import MemoryStore

# Loading the system's roots takes longer than most tests, and plain HTTP needs none.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def make_config(server: AuthorizationServer | str, **sections: Any) -> Config:
    url = server if isinstance(server, str) else server.url
    oauth = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "token_endpoint": url}
    return Config.build({"oauth": {**oauth, **sections.pop("oauth", {})}, **sections})


@dataclass
class World:
    """Everything around a manager; `again` is the same grant in another process."""

    server: AuthorizationServer
    clock: Any = field(default_factory=FakeClock)
    store: Any = field(default_factory=MemoryStore)
    sections: dict[str, Any] = field(default_factory=dict)
    opened: list[TokenManager] = field(default_factory=list)
    jitter: float = 0.0

    def config(self) -> Config:
        return make_config(self.server, **copy.deepcopy(self.sections))

    async def open(self, store: TokenStore | None = None, *, start: bool = True) -> TokenManager:
        config = self.config()
        endpoint = open_endpoint(config, self.clock, {}, NO_TLS)
        manager = TokenManager(
            "default",
            store or self.store,
            endpoint,
            config,
            self.clock,
            jitter=lambda: self.jitter,
        )
        self.opened.append(manager)
        if start:
            await manager.start()
            await finish(manager)
        return manager

    async def authorized(self) -> TokenManager:
        manager = await self.open()
        await manager.exchange(Secret(self.server.issue_code()))
        return manager

    async def close(self) -> None:
        for manager in self.opened:
            await manager.close()
        self.opened.clear()

    async def asked(self, count: int) -> None:
        """Wait, with the clock at rest, until the server has had so many token requests."""
        while len(self.server.requests) < count:
            await asyncio.sleep(0)

    async def record(self) -> Record:
        record: Record | None = await self.store.load("default")
        assert record is not None
        return record


@asynccontextmanager
async def world(**options: Any) -> AsyncIterator[World]:
    server = AuthorizationServer(lifetime=options.pop("lifetime", 1799))
    await server.start()
    made = World(server, **options)
    try:
        yield made
    finally:
        await made.close()
        await server.stop()


def token_of(credential: Credential) -> str:
    """Return the access token that a credential's header lines carry."""
    return credential.lines.removeprefix(b"Authorization: Bearer ").rstrip().decode()


async def finish(manager: TokenManager) -> None:
    """Wait until the refresh under way, if any, has come to its end."""
    task = manager._flight.task
    if task is not None:
        await asyncio.wait({task})


async def problem_of(manager: TokenManager) -> Problem:
    """Ask for a credential and return why there is none."""
    try:
        await manager.credential()
    except Problem as problem:
        return problem
    raise AssertionError("there is a credential")
