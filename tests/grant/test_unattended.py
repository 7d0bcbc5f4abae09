"""Accounts without a person: client credentials and API keys."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.errors import Problem
from proxy.grant.accounts import Accounts
from proxy.grant.client_credentials import ClientCredentials
from proxy.grant.smart_token import SmartToken
from proxy.grant.source import Account
from proxy.system.secret import Secret
from tests.support.authorization_server import Answer, AuthorizationServer
from tests.support.clock import FakeClock
from tests.support.granting import NO_TLS, make_config, token_of
from tests.support.memory_store import MemoryStore


class Setting:
    """Accounts of several kinds on one authorization server."""

    def __init__(self, server: AuthorizationServer, clock: FakeClock, accounts: Accounts) -> None:
        self.server = server
        self.clock = clock
        self.accounts = accounts

    @property
    def default(self) -> Account:
        return self.accounts["default"]

    @property
    def fetches(self) -> int:
        return len([e for e in self.server.log if e.grant_type == "client_credentials"])


@asynccontextmanager
async def setting(tmp_path: Path, **sections: Any) -> AsyncIterator[Setting]:
    server = AuthorizationServer()
    await server.start()
    clock = FakeClock()
    config = make_config(server, **sections)
    accounts = Accounts(
        config,
        clock,
        state_folder=tmp_path,
        environ={},
        store=MemoryStore(),
        login_origin="http://localhost",
        ssl_context=NO_TLS,
    )
    await accounts.start()
    try:
        yield Setting(server, clock, accounts)
    finally:
        await accounts.close()
        await server.stop()


CLIENT = {"oauth": {"grant_type": "client_credentials"}}


async def test_a_token_is_fetched_when_it_is_needed_and_once(tmp_path: Path) -> None:
    async with setting(tmp_path, **CLIENT) as world:
        assert isinstance(world.default, ClientCredentials)
        assert world.default.readiness() is None
        assert world.fetches == 0

        got = await asyncio.gather(*(world.default.credential() for _ in range(50)))

        assert world.fetches == 1
        assert {token_of(credential) for credential in got} <= world.server.valid_access_tokens
        shown = world.default.status().as_json(world.clock.now())
        assert (shown["kind"], shown["state"]) == ("client_credentials", "authorized")
        assert shown["refresh_token"] is None
        assert shown["access_token"]["expires_in"] == 1799


async def test_it_is_renewed_ahead_with_traffic(tmp_path: Path) -> None:
    async with setting(tmp_path, **CLIENT) as world:
        first = await world.default.credential()
        await world.clock.advance(1799 - 200)

        assert world.default.current() == first
        while world.default.current() == first:
            await asyncio.sleep(0)

        assert world.fetches == 2


async def test_a_401_fetches_a_new_one_once(tmp_path: Path) -> None:
    async with setting(tmp_path, **CLIENT) as world:
        first = await world.default.credential()

        newer = await world.default.rejected(first.generation)

        assert newer is not None
        assert newer.generation == first.generation + 1
        assert await world.default.rejected(newer.generation) is None
        assert world.fetches == 2


async def test_nothing_of_it_is_stored(tmp_path: Path) -> None:
    async with setting(tmp_path, **CLIENT) as world:
        await world.default.credential()

        assert isinstance(world.accounts._store, MemoryStore)
        assert world.accounts._store.data == {}


async def test_a_failure_is_told_backs_off_and_passes(tmp_path: Path) -> None:
    async with setting(tmp_path, **CLIENT) as world:
        world.server.always = Answer(401, b'{"error": "invalid_client"}')
        for _ in range(3):
            with pytest.raises(Problem) as caught:
                await world.default.credential()
        assert caught.value.code == "token_endpoint_unavailable"
        assert caught.value.reason == "invalid_client"
        assert world.fetches == 1
        assert world.default.status().needed == "client_refused"
        world.server.always = None
        await world.clock.advance(31)

        await world.default.credential()

        assert world.default.status().state == "authorized"


async def test_a_failure_takes_no_valid_token_away(tmp_path: Path) -> None:
    async with setting(tmp_path, **CLIENT) as world:
        first = await world.default.credential()
        world.server.always = Answer(503)
        await world.clock.advance(1799 - 100)
        world.default.current()
        while world.default.status().state == "authorized":
            await asyncio.sleep(0)

        assert world.default.current() == first
        assert world.default.readiness() is None
        with pytest.raises(Problem):
            await world.default.lasting(600)


@pytest.mark.parametrize("act", ["exchange", "logout", "take", "export", "import_bundle"])
async def test_what_a_person_does_to_a_grant_is_refused(tmp_path: Path, act: str) -> None:
    arguments: dict[str, tuple[Any, ...]] = {
        "exchange": (Secret("c"),),
        "take": (None, None),
        "export": (Secret("p"), print),
        "import_bundle": (b"", Secret("p")),
    }
    async with setting(tmp_path, smart_token="an-api-key-0123456789") as world:
        with pytest.raises(Problem, match="nobody logs in to it"):
            await getattr(world.default, act)(*arguments.get(act, ()))


async def test_an_api_key_is_sent_as_it_is(tmp_path: Path) -> None:
    async with setting(tmp_path, smart_token="an-api-key-0123456789") as world:
        assert isinstance(world.default, SmartToken)

        credential = await world.default.credential()

        assert credential.lines == b"X-SmartToken: an-api-key-0123456789\r\n"
        assert await world.default.rejected(credential.generation) is None
        assert world.default.readiness() is None
        shown = world.default.status().as_json(world.clock.now())
        assert (shown["kind"], shown["state"]) == ("smart_token", "authorized")
        assert (shown["access_token"], shown["refresh_token"]) == (None, None)
        assert "api-key" not in f"{credential!r} {world.default.status()!r}"


# ── several ──

SEVERAL = {
    "accounts": {
        "acme": {"oauth": {"scopes": ["jobs_read"]}},
        "robot": {"oauth": {"grant_type": "client_credentials"}},
        "bulk": {"smart_token": "an-api-key-0123456789"},
    }
}


async def test_each_account_has_its_own_grant_and_state(tmp_path: Path) -> None:
    async with setting(tmp_path, **SEVERAL) as world:
        assert list(world.accounts) == ["default", "acme", "robot", "bulk"]
        await world.accounts["acme"].exchange(Secret(world.server.issue_code()))

        kinds = {name: account.status().kind for name, account in world.accounts.items()}
        assert kinds == {
            "default": "authorization_code",
            "acme": "authorization_code",
            "robot": "client_credentials",
            "bulk": "smart_token",
        }
        assert world.accounts["acme"].current() is not None
        assert world.accounts["acme"].status().scopes == ("jobs_read",)
        problem = world.default.readiness()
        assert problem is not None
        assert problem.login_url == "http://localhost/-/login"
        await world.accounts["acme"].logout()
        problem = world.accounts["acme"].readiness()
        assert problem is not None
        assert problem.login_url == "http://localhost/-/login?account=acme"


async def test_what_changes_while_running_is_taken_up(tmp_path: Path) -> None:
    async with setting(tmp_path, **SEVERAL) as world:
        before = world.accounts["bulk"].current()
        changed = {**SEVERAL["accounts"], "bulk": {"smart_token": "another-key-0123456789"}}
        world.accounts.configure(
            make_config(world.server, oauth={"scopes": ["x_read"]}, accounts=changed)
        )

        after = world.accounts["bulk"].current()

        assert before is not None
        assert after is not None
        assert b"another-key" in after.lines
        assert after.generation > before.generation
        assert await world.accounts["bulk"].rejected(before.generation) == after
        await world.default.exchange(Secret(world.server.issue_code()))
        assert world.default.status().scopes == ("x_read",)
        world.accounts.configure(
            make_config(world.server, oauth={"scopes": ["x_read", "y_read"]}, accounts=changed)
        )
        status = world.default.status()
        assert status.missing_scopes == ("y_read",)
        assert "y_read" in status.as_json(world.clock.now())["warning"]
