"""The Redis store's own: claims that run out, servers that forget or go away."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from proxy.errors import StoreError
from proxy.grant.stores.redis import CLAIM, RedisStore
from proxy.system.secret import Secret
from tests.grant.stores.conftest import make_record
from tests.support.clock import FakeClock
from tests.support.granting import World, finish, problem_of, world
from tests.support.redis_server import RedisServer, redis_server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as made:
        yield made


@pytest.fixture
async def pair(server: RedisServer) -> AsyncIterator[tuple[RedisStore, RedisStore]]:
    """Two replicas."""
    stores = [RedisStore(Secret(server.url), "srproxy:", FakeClock()) for _ in range(2)]
    yield stores[0], stores[1]
    for store in stores:
        await store.close()


async def let_the_claim_run_out(store: RedisStore) -> None:
    """Do on the server what a pause of its holder does."""
    await store._client.hset(store.key("default"), "until", "1")


async def test_a_server_without_append_only_file_is_named(tmp_path: Path) -> None:
    with redis_server(tmp_path, appendonly=False) as server:
        store = RedisStore(Secret(server.url), "srproxy:", FakeClock())
        warnings = await store.start()
        again = await store.warnings()
        await store.close()

    assert len(warnings) == 1
    assert again == warnings
    assert "append-only" in warnings[0]


async def test_a_server_that_does_not_say_is_used_all_the_same(server: RedisServer) -> None:
    admin = RedisStore(Secret(server.url), "srproxy:", FakeClock())
    await admin._client.acl_setuser(
        "narrow", enabled=True, passwords=["+narrow"], keys=["*"], categories=["+@all"],
        commands=["-info"],
    )  # fmt: skip
    url = f"redis://narrow:narrow@127.0.0.1:{server.port}/0"
    store = RedisStore(Secret(url), "srproxy:", FakeClock())
    (warning,) = await store.start()
    async with store.lease("default", 5) as lease:
        await lease.save(make_record(1))
    await store.close()
    await admin.close()

    assert "INFO" in warning


async def test_a_server_with_one_is_not(pair: tuple[RedisStore, RedisStore]) -> None:
    assert await pair[0].start() == ()


async def test_a_holder_whose_claim_is_nearly_over_does_not_send(server: RedisServer) -> None:
    clock = FakeClock()
    store = RedisStore(Secret(server.url), "srproxy:", clock)
    async with store.lease("default", 5) as lease:
        lease.ensure_held()
        await clock.advance(CLAIM - 6)
        lease.ensure_held()
        await clock.advance(2)
        with pytest.raises(StoreError, match="ran out"):
            lease.ensure_held()
    async with store.lease("default", 5) as lease:
        clock.jump(CLAIM)  # a suspend: only the wall clock knows
        with pytest.raises(StoreError, match="ran out"):
            lease.ensure_held()
    await store.close()


async def test_a_paused_holder_cannot_write_over_another(
    pair: tuple[RedisStore, RedisStore],
) -> None:
    first, second = pair
    async with first.lease("default", 5) as paused:
        await paused.save(make_record(1))
        await let_the_claim_run_out(first)
        async with second.lease("default", 5) as lease:
            await lease.load()
            with pytest.raises(StoreError, match="claimed by another"):
                await paused.save(make_record(2))
            await lease.save(make_record(2))
        with pytest.raises(StoreError, match="changed by another"):
            await paused.save(make_record(2))
        found = await paused.regain()

    assert found is not None
    assert found.generation == 2


async def test_renewal_does_not_take_a_claim_that_another_has_had(
    pair: tuple[RedisStore, RedisStore],
) -> None:
    from proxy.grant.stores.redis import _RENEW

    first, second = pair
    async with first.lease("default", 5) as paused:
        await let_the_claim_run_out(first)
        async with second.lease("default", 5):
            pass

        assert not await paused._set_claim(_RENEW)


async def test_a_claim_is_waited_for_and_ends_by_itself(
    pair: tuple[RedisStore, RedisStore],
) -> None:
    first, second = pair
    async with first.lease("default", 5):
        waiting = asyncio.ensure_future(take(second))
        await let_the_claim_run_out(first)
        async with asyncio.timeout(5):
            await waiting


async def take(store: RedisStore) -> None:
    async with store.lease("default", 60) as lease:
        await lease.load()


async def test_no_password_and_no_token_is_in_an_error(server: RedisServer) -> None:
    url = f"redis://nobody:canary-password@127.0.0.1:{server.port}/0"
    store = RedisStore(Secret(url), "srproxy:", FakeClock())

    with pytest.raises(StoreError) as caught:
        await store.load("default")

    assert "canary" not in f"{caught.value} {caught.value!r} {store.where('default')}"
    await store.close()


@pytest.fixture
async def replicas(server: RedisServer) -> AsyncIterator[World]:
    async with world() as grant:
        grant.store = RedisStore(Secret(server.url), "srproxy:", grant.clock)
        yield grant
        await grant.close()
        await grant.store.close()


async def test_replicas_spend_one_token(replicas: World, server: RedisServer) -> None:
    stores = [RedisStore(Secret(server.url), "srproxy:", replicas.clock) for _ in range(3)]
    managers = [await replicas.authorized(), *[await replicas.open(store) for store in stores]]
    await replicas.clock.advance(1800)

    credentials = await asyncio.gather(*(manager.credential() for manager in managers * 10))

    assert {credential.generation for credential in credentials} == {2}
    assert len(replicas.server.refreshes) == 1
    for manager in managers:
        await manager.close()
    for store in stores:
        await store.close()


async def test_a_redis_that_goes_away_costs_nothing_while_the_token_lives(
    replicas: World, server: RedisServer
) -> None:
    manager = await replicas.authorized()
    server.stop()
    await replicas.clock.advance(1799 - 200)
    manager.current()
    await finish(manager)
    assert manager.current() is not None
    assert manager.status().reason == "store_unavailable"
    await replicas.clock.advance(300)
    await finish(manager)
    assert (await problem_of(manager)).code == "store_unavailable"
    assert replicas.server.refreshes == []

    server.start()
    for _ in range(100):
        await replicas.clock.advance(10)
        await asyncio.sleep(0.02)  # what a tick asks of the server goes over a real socket
        if manager.current() is not None:
            break
    await finish(manager)
    assert manager.status().state == "authorized"
    assert len(replicas.server.refreshes) == 1


async def test_a_redis_that_forgot_is_not_a_logout(replicas: World) -> None:
    manager = await replicas.authorized()
    await replicas.store._client.flushall()
    await replicas.clock.advance(5)
    for _ in range(200):
        if manager.status().state != "authorized":
            break
        await asyncio.sleep(0.01)  # the answer comes over a real socket

    assert manager.status().reason == "store_unavailable"
    assert manager.current() is not None
