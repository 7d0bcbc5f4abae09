"""Several proxies, one grant: replicas on one Redis, and processes on one folder."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from proxy.sandbox import SandboxSettings
from tests.e2e.conftest import Person, Proxy, wait_until
from tests.support.processes import free_port
from tests.support.redis_server import RedisServer, redis_server
from tests.support.sandboxes import RunningSandbox

SHORT = SandboxSettings(throttle=False, access_token_lifetime=4)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    folder = tmp_path / "redis"
    folder.mkdir()
    with redis_server(folder) as server:
        yield server


@pytest.fixture(params=["redis", "file"])
def overrides(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    if request.param == "file":
        return {"tokens": {"path": str(tmp_path / "tokens")}}
    server: RedisServer = request.getfixturevalue("redis")
    return {"tokens": {"store": "redis", "redis": {"url": server.url}}}


@pytest.fixture
def second(proxy: Proxy, tmp_path: Path) -> Iterator[Proxy]:
    """Give a replica: the same configuration on a port of its own."""
    home = tmp_path / "second"
    home.mkdir()
    port = free_port()
    config = {**proxy.config, "listen": {"port": port}}
    replica = Proxy(home, port, config)
    replica.start()
    yield replica
    if replica._process is not None:
        replica.stop()


def status_of(proxy: Proxy) -> int:
    return requests.get(f"{proxy.url}/users/me", timeout=20).status_code


def call_both(proxies: list[Proxy], count: int) -> list[int]:
    """Call every proxy at the same moment, several times."""
    results: list[int] = []
    threads = [
        threading.Thread(target=lambda proxy=proxy: results.append(status_of(proxy)))
        for proxy in proxies
        for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return results


def assert_linear(sandbox: RunningSandbox) -> None:
    """Every refresh token was presented once, each the child of the last."""
    refreshes = sandbox.refreshes
    assert {(p.outcome, p.reuse) for p in refreshes} <= {("issued", False)}
    generations = [p.generation or 0 for p in refreshes]
    assert generations == sorted(set(generations))


def test_one_login_serves_all(proxy: Proxy, second: Proxy, person: Person) -> None:
    assert status_of(second) == 503

    person.log_in()

    wait_until(lambda: status_of(second) == 200)
    assert requests.get(f"{second.url}/-/ready", timeout=5).status_code == 200


@pytest.mark.parametrize("sandbox_settings", [SHORT])
def test_an_expiry_under_traffic_costs_one_refresh(
    proxy: Proxy, second: Proxy, person: Person, sandbox: RunningSandbox
) -> None:
    person.log_in()
    wait_until(lambda: status_of(second) == 200)

    statuses: list[int] = []

    def three_refreshes() -> bool:
        statuses.extend(call_both([proxy, second], 4))
        return len(sandbox.refreshes) >= 3

    wait_until(three_refreshes)

    assert set(statuses) == {200}
    assert_linear(sandbox)


@pytest.mark.parametrize("sandbox_settings", [SHORT])
def test_either_may_be_killed_at_any_instant(
    proxy: Proxy, second: Proxy, person: Person, sandbox: RunningSandbox
) -> None:
    person.log_in()
    wait_until(lambda: status_of(second) == 200)

    proxy.process._popen.kill()
    proxy.process.wait()
    proxy._process = None
    survivor = [status_of(second) for _ in range(5)]
    before = len(sandbox.refreshes)
    wait_until(lambda: status_of(second) == 200 and len(sandbox.refreshes) > before)

    assert set(survivor) == {200}
    assert_linear(sandbox)


@pytest.mark.parametrize("overrides", ["redis"], indirect=True)
def test_a_restart_of_redis_loses_nothing(
    proxy: Proxy, person: Person, sandbox: RunningSandbox, redis: RedisServer
) -> None:
    person.log_in()
    generation = proxy.account()["generation"]

    redis.stop()
    during = [status_of(proxy) for _ in range(3)]
    redis.start()
    proxy.restart()

    assert during == [200, 200, 200]
    assert status_of(proxy) == 200
    assert proxy.account()["generation"] == generation
    assert_linear(sandbox)


@pytest.mark.parametrize("overrides", ["redis"], indirect=True)
def test_a_redis_that_hangs_stalls_no_call(
    proxy: Proxy, person: Person, sandbox: RunningSandbox, redis: RedisServer
) -> None:
    person.log_in()
    redis.hang()
    try:
        until, durations = time.monotonic() + 7, []
        while time.monotonic() < until:
            began = time.monotonic()
            assert status_of(proxy) == 200
            assert requests.get(f"{proxy.url}/-/live", timeout=5).status_code == 200
            durations.append(time.monotonic() - began)
        ready = requests.get(f"{proxy.url}/-/ready", timeout=5)
        wait_until(lambda: "srproxy_store_available 0.0" in metrics_of(proxy))
    finally:
        redis.go_on()

    assert max(durations) < 1
    assert ready.status_code == 200
    wait_until(lambda: "srproxy_store_available 1.0" in metrics_of(proxy))
    assert_linear(sandbox)


@pytest.mark.parametrize("overrides", ["redis"], indirect=True)
def test_what_is_said_without_a_key_names_no_host(
    proxy: Proxy, person: Person, redis: RedisServer
) -> None:
    redis.stop()
    proxy.restart()

    answers = [requests.get(f"{proxy.url}/{path}", timeout=20) for path in ("-/ready", "users/me")]

    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
        assert "127.0.0.1" not in answer.text
        assert "srproxy:" not in answer.text
    assert str(redis.port) in proxy.process.stderr


def metrics_of(proxy: Proxy) -> str:
    return requests.get(f"{proxy.url}/-/metrics", timeout=5).text
