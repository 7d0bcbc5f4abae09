"""The Redis store's own: claims that run out, servers that forget or go away."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.errors import StoreError
from proxy.grant.stores.redis import RedisStore
from proxy.grant.stores.redis_claims import LASTS
from proxy.system.secret import Secret
from tests.grant.stores.conftest import make_record
from tests.support.clock import FakeClock
from tests.support.granting import World, finish, problem_of, world
from tests.support.processes import free_port
from tests.support.redis_relay import redis_relay
from tests.support.redis_server import RedisServer, redis_server, replicate, sentinel


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


def let_the_claim_run_out(server: RedisServer) -> None:
    """Let the claim's time be over by the server's clock, as a long pause of its holder does."""
    server.client().hset("srproxy:default", "until", "1")


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
    server.client().acl_setuser(
        "narrow", enabled=True, passwords=["+narrow"], keys=["*"], categories=["+@all"],
        commands=["-info"],
    )  # fmt: skip
    url = f"redis://narrow:narrow@127.0.0.1:{server.port}/0"
    store = RedisStore(Secret(url), "srproxy:", FakeClock())
    (warning,) = await store.start()
    async with store.lease("default", 5) as lease:
        await lease.save(make_record(1))
    await store.close()

    assert "INFO" in warning


async def test_a_server_with_one_is_not(pair: tuple[RedisStore, RedisStore]) -> None:
    assert await pair[0].start() == ()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--maxmemory-policy", "allkeys-lru", "--maxmemory", "100mb"), "may evict the grant"),
        (("--maxmemory-policy", "allkeys-random"), "Set noeviction"),
        (("--appendfsync", "everysec"), "Set appendfsync always"),
    ],
)
async def test_a_server_that_may_lose_the_grant_is_named(
    tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    with redis_server(tmp_path, options=options) as server:
        store = RedisStore(Secret(server.url), "srproxy:", FakeClock())
        (warning,) = await store.start()
        await store.close()

    assert said in warning


async def test_a_cluster_is_refused_and_a_replica_named(
    server: RedisServer, tmp_path: Path
) -> None:
    for name in ("cluster", "replica"):
        (tmp_path / name).mkdir()
    options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    with redis_server(tmp_path / "cluster", options=options) as cluster:
        store = RedisStore(Secret(cluster.url), "srproxy:", FakeClock())
        with pytest.raises(StoreError, match="cluster"):
            await store.start()
        await store.close()
    with redis_server(tmp_path / "replica") as replica:
        replicate(replica, server)
        store = RedisStore(Secret(replica.url), "srproxy:", FakeClock())
        (warning,) = await store.warnings()
        with pytest.raises(StoreError, match="read-only replica"):
            await store.start()
        await store.close()

    assert "read-only replica" in warning


# As docs/deployment.md lists them.
RIGHTS = "~srproxy:* +@read +@write +@scripting +@connection +info +config|get +wait +waitaof +time"


async def test_the_rights_that_the_documentation_lists_are_enough(server: RedisServer) -> None:
    documented = Path(__file__).parents[3] / "docs/deployment.md"
    assert RIGHTS in documented.read_text()
    rights = [right for right in RIGHTS.split() if right != "+waitaof"]  # unknown to 7.0
    server.client().execute_command("ACL", "SETUSER", "proxy", "on", ">a secret", *rights)
    url = f"redis://proxy:a%20secret@127.0.0.1:{server.port}/0"
    store = RedisStore(Secret(url), "srproxy:", FakeClock())

    assert await store.start() == ()
    async with store.lease("default", 5) as lease:
        await lease.save(make_record(1))
        assert (await lease.set_aside(make_record(1))).startswith("srproxy:default:aside-")
    assert await store.load("default") is not None
    await store.close()


async def test_a_write_that_the_disk_does_not_confirm_is_a_failure(server: RedisServer) -> None:
    confirmed = b":1\r\n"
    answers = {b"WAITAOF": lambda: b"*2\r\n" + confirmed + b":0\r\n"}
    async with redis_relay(server.port, answers) as relay:
        store = RedisStore(Secret(relay.url), "srproxy:", FakeClock())
        async with store.lease("default", 5) as lease:
            await lease.save(make_record(1))
            confirmed = b":0\r\n"
            with pytest.raises(StoreError, match="did not confirm"):
                await lease.save(make_record(2))
            with pytest.raises(StoreError, match="did not confirm"):
                await lease.regain()
            confirmed = b":1\r\n"
            found = await lease.regain()
        await store.close()

    assert found is not None
    assert found.generation == 2


async def test_a_token_is_not_spent_without_the_disk_and_is_used_once_it_is_confirmed(
    replicas: World, server: RedisServer
) -> None:
    await replicas.authorized()
    confirmed = [False]
    answers = {b"WAITAOF": lambda: b"*2\r\n:%d\r\n:0\r\n" % confirmed[0]}
    async with redis_relay(server.port, answers) as relay:
        store = RedisStore(Secret(relay.url), "srproxy:", replicas.clock)
        manager = await replicas.open(store)
        await manager.rejected(1)
        assert (manager.status().reason, manager.current() is not None) == (
            "store_unavailable", True,
        )  # fmt: skip
        assert replicas.server.refreshes == []
        confirmed[0] = True
        await until(lambda: manager.status().state == "authorized", replicas)
        await manager.close()
        await store.close()


async def test_a_write_waits_for_a_replica_and_tells_when_it_is_not_there(
    server: RedisServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "replica").mkdir()
    with redis_server(tmp_path / "replica") as replica:
        replicate(replica, server)
        store = RedisStore(Secret(server.url), "srproxy:", FakeClock())
        await store.start()
        async with store.lease("default", 5) as lease:
            await lease.save(make_record(1))
            assert replica.client().hget("srproxy:default", "revision") == b"1"
            assert "write_not_replicated" not in caplog.text
            replica.hang()
            try:
                await lease.save(make_record(2))
            finally:
                replica.go_on()
        await store.close()

    assert "write_not_replicated account=default" in caplog.text


@pytest.mark.parametrize("difference", [-60_000, 60_000])
async def test_a_claim_survives_a_server_whose_clock_differs_by_a_minute(
    pair: tuple[RedisStore, RedisStore], server: RedisServer, difference: int
) -> None:
    """A replica that took over has another clock than the one that the claim was written by."""
    first, second = pair
    async with first.lease("default", 5) as lease:
        until = int(server.client().hget("srproxy:default", "until") or 0)
        server.client().hset("srproxy:default", "until", until + difference)
        waiting = asyncio.ensure_future(take(second))
        await asyncio.wait({waiting}, timeout=0.4)
        assert not waiting.done()
        waiting.cancel()
        lease.ensure_held()
        await lease.save(make_record(1))


async def test_a_claim_of_a_killed_holder_ends_by_the_waiters_own_clock(
    server: RedisServer,
) -> None:
    clock = FakeClock()
    store = RedisStore(Secret(server.url), "srproxy:", clock)
    server.client().hset("srproxy:default", mapping={"claim": "killed", "until": "99999999999999"})
    waiting = asyncio.ensure_future(take(store))
    for _ in range(3):
        await asyncio.sleep(0.1)
        assert not waiting.done()
        await clock.advance(LASTS / 2)
    async with asyncio.timeout(5):
        await waiting
    await store.close()


async def test_a_holder_whose_claim_is_nearly_over_does_not_send(server: RedisServer) -> None:
    clock = FakeClock()
    store = RedisStore(Secret(server.url), "srproxy:", clock)
    async with store.lease("default", 5) as lease:
        lease.ensure_held()
        await clock.advance(LASTS - 6)
        lease.ensure_held()
        await clock.advance(2)
        with pytest.raises(StoreError, match="ran out"):
            lease.ensure_held()
    async with store.lease("default", 5) as lease:
        clock.jump(LASTS)  # a suspend: only the wall clock knows
        with pytest.raises(StoreError, match="ran out"):
            lease.ensure_held()
    await store.close()


async def test_a_paused_holder_cannot_write_over_another(
    pair: tuple[RedisStore, RedisStore], server: RedisServer
) -> None:
    first, second = pair
    async with first.lease("default", 5) as paused:
        await paused.save(make_record(1))
        let_the_claim_run_out(server)
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
    pair: tuple[RedisStore, RedisStore], server: RedisServer
) -> None:
    first, second = pair
    async with first.lease("default", 5) as paused:
        let_the_claim_run_out(server)
        async with second.lease("default", 5):
            pass

        assert not await paused.renew()


async def test_a_claim_is_waited_for_and_ends_by_itself(
    pair: tuple[RedisStore, RedisStore], server: RedisServer
) -> None:
    first, second = pair
    async with first.lease("default", 5):
        waiting = asyncio.ensure_future(take(second))
        let_the_claim_run_out(server)
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


async def test_what_a_redis_forgot_is_written_again(replicas: World, server: RedisServer) -> None:
    """Evicted, flushed, or failed over to an empty replica: not a logout."""
    manager = await replicas.authorized()
    server.client().flushall()
    await until(lambda: server.client().exists("srproxy:default") == 1, replicas)

    await until(lambda: manager.status().times_mended == 1, replicas)
    assert manager.status().state == "authorized"
    assert "no record" in " ".join(manager.status().warnings)
    assert manager.current() is not None
    assert replicas.server.refreshes == []


async def test_an_older_record_after_a_fail_over_is_brought_up_to_date(
    replicas: World, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    manager = await replicas.authorized()
    older: Any = server.client().hgetall("srproxy:default")
    await manager.rejected(1)
    server.client().delete("srproxy:default")
    server.client().hset("srproxy:default", mapping=older)

    await until(lambda: manager.status().times_mended == 1, replicas)
    again = await replicas.open()

    assert again.status().generation == manager.status().generation == 2
    assert "store_brought_up_to_date account=default generation=2 found=1" in caplog.text
    assert "fail-over" in " ".join(manager.status().warnings)
    assert [p.verdict for p in replicas.server.refreshes] == ["rotated"]
    await replicas.clock.advance(1800)
    await manager.credential()
    assert manager.status().warnings == ()
    assert [p.verdict for p in replicas.server.refreshes] == ["rotated"] * 2


async def test_a_refresh_that_a_fail_over_overtakes_is_stored(
    replicas: World, server: RedisServer
) -> None:
    """The promoted replica has neither the claim nor the intent."""
    manager = await replicas.authorized()
    before: Any = server.client().hgetall("srproxy:default")
    replicas.server.release = asyncio.Event()
    await replicas.clock.advance(1800)
    waiting = asyncio.ensure_future(manager.credential())
    await replicas.asked(2)
    server.client().delete("srproxy:default")
    server.client().hset("srproxy:default", mapping=before)
    replicas.server.release.set()
    await until(lambda: manager.status().generation == 2, replicas)
    await waiting

    assert (await replicas.record()).generation == 2
    assert len(replicas.server.refreshes) == 1


async def test_a_fail_over_by_sentinel_in_the_midst_of_a_refresh_costs_no_token(
    tmp_path: Path,
) -> None:
    with sentinel(tmp_path) as watched:
        async with world() as grant:
            grant.store = RedisStore(Secret(watched.url), "srproxy:", grant.clock)
            manager = await grant.authorized()
            grant.server.release = asyncio.Event()
            await grant.clock.advance(1800)
            waiting = asyncio.ensure_future(manager.credential())
            await grant.asked(2)
            await asyncio.to_thread(watched.fail_over)
            watched.primary.stop()
            grant.server.release.set()
            await until(lambda: manager.status().generation == 2, grant)
            await asyncio.wait({waiting})
            stored = await grant.record()
            await grant.close()
            await grant.store.close()

            assert stored.generation == 2
            assert [p.verdict for p in grant.server.refreshes] == ["rotated"]
            assert watched.replica.client().exists("srproxy:default")


async def test_a_logout_is_not_undone_by_a_fail_over(replicas: World, server: RedisServer) -> None:
    manager = await replicas.authorized()
    older: Any = server.client().hgetall("srproxy:default")
    await manager.logout()
    server.client().hset("srproxy:default", mapping=older)

    await until(lambda: manager.status().times_mended == 1, replicas)

    assert (await replicas.open()).status().reason == "logged_out"


async def test_a_login_in_a_store_made_anew_is_not_taken_for_an_older_record(
    replicas: World, server: RedisServer
) -> None:
    manager = await replicas.authorized()
    await manager.rejected(1)
    replicas.clock.jump(60)  # without a tick that would write it again first
    server.client().flushall()
    other = await replicas.open(start=False)
    await other.exchange(Secret(replicas.server.issue_code()))

    await until(lambda: manager.status().generation == 1, replicas)

    assert manager.status().times_mended == 0


async def until(is_so: Callable[[], bool], grant: World) -> None:
    """Let ticks pass until something is so; what they ask of the server goes over a socket."""
    for _ in range(200):
        if is_so():
            return
        await grant.clock.advance(5)
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to that")
