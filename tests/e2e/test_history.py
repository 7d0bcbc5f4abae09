"""Several processes on one grant, judged by the server's log alone: one line, one at a time.

The checker itself is tried first, on histories that are wrong.
"""

import asyncio
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

from proxy.cli.clock import SystemClock
from proxy.grant.accounts import open_endpoint
from proxy.grant.manager import TokenManager
from proxy.system.secret import Secret
from tests.support.authorization_server import (
    CLIENT_ID,
    CLIENT_SECRET,
    AuthorizationServer,
    Presentation,
)
from tests.support.granting import make_config
from tests.support.history import Kill, faults, losses
from tests.support.keeper import keep, open_store
from tests.support.redis_server import redis_server

SECONDS = 5


def seen(at: float, token: str, verdict: str, generation: int, **more: Any) -> Presentation:
    return Presentation(at, "refresh_token", token, verdict, 1, generation, **more)


def test_the_checker_accepts_a_single_line() -> None:
    log = [seen(n, f"t{n}", "rotated", n) for n in range(5)]

    assert faults(log) == []


@pytest.mark.parametrize(
    "log",
    [
        [seen(0, "a", "rotated", 0), seen(1, "a", "reused", 1)],
        [seen(0, "a", "failed", 0), seen(1, "a", "rotated", 0)],
        [seen(0, "a", "rotated", 0), seen(1, "c", "rotated", 2)],
        [seen(0, "a", "rotated", 0), seen(1, "b", "rotated", 1, in_flight=2)],
        [seen(0, "z", "refused", 0)],
    ],
)
def test_the_checker_finds_what_is_wrong(log: list[Presentation]) -> None:
    assert faults(log) != []


def test_a_kill_between_two_presentations_excuses_the_second() -> None:
    log = [seen(0, "a", "rotated", 0), seen(2, "a", "reused", 1)]

    assert faults(log, [Kill(0.5, 0.6)]) == []
    assert faults(log, [Kill(2.5, 2.6)]) != []
    assert len(losses(log)) == 1


def test_only_a_kill_of_who_presented_a_token_first_excuses_the_second() -> None:
    first = seen(0.7, "a", "rotated", 0, sender="1")  # read only after the sender's death
    log = [first, seen(2, "a", "reused", 1, sender="2")]

    assert faults(log, [Kill(0.5, 0.6, "1")]) == []
    assert faults(log, [Kill(1, 1.1, "2")]) != []
    assert faults(log, [Kill(2.5, 2.6, "1")]) != []


@pytest.fixture
async def server() -> AsyncIterator[AuthorizationServer]:
    made = AuthorizationServer(lifetime=0.2)
    await made.start()
    yield made
    await made.stop()


Disturb = Callable[[list[ForkServerProcess]], Awaitable[None]]


async def run_processes(
    server: AuthorizationServer,
    number: int,
    settings: dict[str, Any],
    disturb: Disturb | None = None,
) -> int:
    config = make_config(server)
    clock = SystemClock()
    store, endpoint = open_store(settings), open_endpoint(config, clock, {})
    manager = TokenManager("default", store, endpoint, config, clock)
    await manager.exchange(Secret(server.issue_code()))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.support.keeper"])
    oauth = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "token_endpoint": server.url}
    processes = [
        context.Process(target=keep, args=({"oauth": oauth}, {"seconds": SECONDS, **settings}))
        for _ in range(number)
    ]
    for process in processes:
        process.start()
    if disturb is not None:
        await disturb(processes)
    for process in processes:
        await asyncio.to_thread(process.join)
        assert process.exitcode == 0
        process.close()
    record = await store.load("default")
    await manager.close()
    await store.close()
    assert record is not None
    assert record.ended is None
    return record.generation


@pytest.mark.parametrize("key", [None, "an-encryption-key-0123456789"])
async def test_four_processes_on_one_folder(
    server: AuthorizationServer, tmp_path: Path, key: str | None
) -> None:
    settings = {"path": str(tmp_path), "encryption_key": key}
    generation = await run_processes(server, 4, settings)

    assert faults(server.log) == []
    assert generation == len(server.committed) > 5


async def test_four_replicas_on_one_redis(server: AuthorizationServer, tmp_path: Path) -> None:
    with redis_server(tmp_path) as redis:
        generation = await run_processes(server, 4, {"redis": redis.url})

    assert faults(server.log) == []
    assert generation == len(server.committed) > 5


async def test_a_replica_paused_beyond_its_claim_spends_nothing_twice(
    server: AuthorizationServer, tmp_path: Path
) -> None:
    server.lifetime = 1.0
    with redis_server(tmp_path) as redis:

        async def pause_one_that_has_the_claim(processes: list[ForkServerProcess]) -> None:
            import redis.asyncio

            client = redis.asyncio.Redis.from_url(url)
            while len(server.refreshes) < 2:
                await asyncio.sleep(0.01)
            while not await client.hget("srproxy:default", "claim"):
                pass
            await client.aclose()
            assert processes[0].pid is not None
            os.kill(processes[0].pid, signal.SIGSTOP)
            await asyncio.sleep(4)  # longer than a claim
            os.kill(processes[0].pid, signal.SIGCONT)

        url = redis.url
        settings = {"redis": url, "short_claims": True, "seconds": 10}
        generation = await run_processes(server, 2, settings, pause_one_that_has_the_claim)

    assert faults(server.log) == []
    assert generation == len(server.committed) > 5
