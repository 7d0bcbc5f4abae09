"""The budget that replicas share, on a real Redis (rule 7 of SmartRecruiters' limits)."""

import asyncio
import itertools
import time
from contextlib import asynccontextmanager

import pytest

from proxy.cli.clock import SystemClock
from proxy.gateway.limits import Limits, SharedBudget
from proxy.system.redis import open_redis
from proxy.system.secret import Secret
from tests.gateway.limits.test_limiter import limits_config
from tests.support.redis_server import RedisServer
from tests.support.waiting import WaitingTicket

LATENCY = 0.003


@pytest.fixture(autouse=True)
async def bounded():
    """Nothing here may wait for ever."""
    async with asyncio.timeout(30):
        yield


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = RedisServer(tmp_path_factory.mktemp("redis"), appendonly=False)
    server.start()
    yield server
    server.stop()


class Replica:
    """A replica's limits, and the calls that it sent."""

    def __init__(self, limits):
        self.limits = limits
        self.sent: list[tuple[float, str]] = []
        self.most_at_once = 0

    async def call(self, upstream, name="GET /jobs"):
        method, _, path = name.partition(" ")
        ticket = WaitingTicket(
            self.limits.ticket("default", name, method.encode(), path.encode(), None)
        )
        try:
            if not ticket.enter():
                await ticket.turn()
            ticket.sent()
            self.sent.append((time.monotonic(), name))
            async with upstream.busy(name):
                await asyncio.sleep(LATENCY)
            ticket.answered({})
        finally:
            ticket.over()


class Upstream:
    """Counts what is under way, of all replicas."""

    def __init__(self):
        self.now: dict[str, int] = {}
        self.most: dict[str, int] = {}
        self.most_together = 0

    @asynccontextmanager
    async def busy(self, name):
        self.now[name] = self.now.get(name, 0) + 1
        self.most[name] = max(self.most.get(name, 0), self.now[name])
        self.most_together = max(self.most_together, sum(self.now.values()))
        try:
            yield
        finally:
            self.now[name] -= 1


_prefixes = itertools.count()


@asynccontextmanager
async def replicas(server, count=2, url=None, **limits):
    clock, config = SystemClock(), limits_config(limits)
    loop = asyncio.get_running_loop()
    prefix = f"test{next(_prefixes)}:"
    async with open_redis(Secret(url or server.url)) as client:

        async def run(script, keys, argument):
            return await client.run(lambda redis: redis.eval(script, len(keys), *keys, argument))

        shared = [
            SharedBudget(run, clock, replica=f"r{number}", prefix=prefix) for number in range(count)
        ]
        made = [Replica(Limits(config, clock, loop.call_later, shared=one)) for one in shared]
        for one in shared:
            one.start()
        try:
            yield made
        finally:
            for one in shared:
                await one.close()
            for replica in made:
                replica.limits.close()


def most_within_a_second(times):
    return max(sum(t <= u < t + 1 for u in times) for t in times)


async def test_two_replicas_keep_one_limit_a_second_and_lose_no_time(server):
    async with replicas(server, rules=["30/s GET /jobs"]) as (one, other):
        upstream = Upstream()
        began = time.monotonic()
        await asyncio.gather(*(replica.call(upstream) for replica in [one, other] * 60))
        took = time.monotonic() - began

    times = sorted(at for at, _ in one.sent + other.sent)
    assert len(times) == 120
    assert most_within_a_second(times) <= 30
    assert took < 3 * 1.2
    # Neither has to wait for the other to be done.
    assert len([at for at, _ in one.sent if at < began + 2]) >= 20
    assert len([at for at, _ in other.sent if at < began + 2]) >= 20


async def test_two_replicas_keep_the_numbers_at_once(server):
    rules = ["1000/s * **"]
    async with replicas(server, rules=rules) as (one, other):
        upstream = Upstream()
        calls = [
            replica.call(upstream, name)
            for replica in (one, other)
            for name in ["GET /candidates"] * 10 + [f"GET /x{n % 7}" for n in range(100)]
        ]
        await asyncio.gather(*calls)

    assert upstream.most["GET /candidates"] == 1
    assert 4 <= upstream.most_together <= 8
    for replica in (one, other):
        assert len(replica.sent) == 110


async def test_what_one_replica_is_told_holds_the_other_too(server):
    async with replicas(server) as (one, other):
        upstream = Upstream()
        ticket = WaitingTicket(one.limits.ticket("default", "GET /jobs", b"GET", b"/jobs", None))
        ticket.enter()
        await ticket.turn()
        ticket.sent()
        ticket.answered({b"x-ratelimit-remaining": b"0"})
        told = time.monotonic()
        ticket.over()
        await asyncio.sleep(0.05)
        await other.call(upstream)

    assert other.sent[0][0] - told >= 0.99


async def test_without_redis_each_keeps_its_own_limits(server, caplog):
    url = "redis://127.0.0.1:1/0"
    async with replicas(server, url=url, rules=["5/s GET /jobs"]) as (one, other):
        upstream = Upstream()
        await asyncio.gather(*(replica.call(upstream) for replica in [one, other] * 7))

    for replica in (one, other):
        assert most_within_a_second([at for at, _ in replica.sent]) == 5
    assert [r.message for r in caplog.records].count("limits_shared_again") == 0
    assert sum("limits_not_shared" in r.message for r in caplog.records) == 2


async def test_a_replica_that_died_gives_its_places_back(server):
    """Its lease ends; here the whole key does, as after half a minute."""
    async with replicas(server, rules=["1 at once * **"]) as (one, other):
        stuck = WaitingTicket(one.limits.ticket("default", "GET /jobs", b"GET", b"/jobs", None))
        stuck.enter()
        await stuck.turn()
        waiting = asyncio.ensure_future(other.call(Upstream()))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        stuck.over()
        async with asyncio.timeout(2):
            await waiting
