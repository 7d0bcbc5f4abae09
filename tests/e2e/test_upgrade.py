"""One process takes over from another under load, and no caller notices.

`--upgrades 20` is the run that docs/performance.md tells of; the suite does a few.
"""

import http.client
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from proxy.sandbox import SandboxSettings
from tests.e2e.conftest import Person, Proxy
from tests.support.activation import activated
from tests.support.processes import Process, start
from tests.support.sandboxes import RunningSandbox

CALLERS = 10
RATE = 200  # calls a second, all callers together


class Load:
    """Callers that keep their connections, each in its turn; every failed call is written down."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._stop = threading.Event()
        self.done = 0
        self.failures: list[str] = []
        self._threads = [threading.Thread(target=self._call) for _ in range(CALLERS)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _call(self) -> None:
        connection = http.client.HTTPConnection("localhost", self._port, timeout=20)
        while not self._stop.wait(CALLERS / RATE):
            try:
                connection.request("GET", "/users/me")
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    self.failures.append(f"status {answer.status}")
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
            self.done += 1
        connection.close()


@pytest.fixture
def sandbox_settings() -> SandboxSettings:
    return SandboxSettings(throttle=False, access_token_lifetime=5)


@pytest.fixture
def overrides() -> dict[str, Any]:
    return {"listen": {"reuse_port": True}, "limits": {"mode": "pass"}, "log": {"level": "info"}}


@pytest.fixture
def upgrades(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--upgrades"))


def upgrade(old: Process, begin: Callable[[], Process]) -> Process:
    new = begin()
    new.wait_for_output("started ")
    assert old.stop() == 0, old.stderr
    return new


def check(load: Load, sandbox: RunningSandbox, count: int) -> None:
    assert load.failures == []
    assert load.done > count * 50
    # Two processes on one store, and each token was presented once.
    assert {(p.outcome, p.reuse) for p in sandbox.refreshes} <= {("issued", False)}


@pytest.mark.skipif(sys.platform != "linux", reason="SO_REUSEPORT's filter is Linux's")
def test_a_second_process_on_the_same_port_takes_over(
    proxy: Proxy, person: Person, sandbox: RunningSandbox, port: int, upgrades: int
) -> None:
    person.log_in()
    current = proxy.process
    proxy._process = None
    try:
        with Load(port) as load:
            for _ in range(upgrades):
                time.sleep(0.5)  # calls are to be under way
                current = upgrade(
                    current, lambda: start("serve", "-c", str(proxy.file), home=proxy.home)
                )
    finally:
        current.stop()

    check(load, sandbox, upgrades)


@pytest.fixture
def listening(port: int) -> Iterator[list[socket.socket]]:
    """The sockets that systemd would hold."""
    sockets = []
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(1024)
        sockets.append(listener)
    yield sockets
    for listener in sockets:
        listener.close()


@pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")
def test_a_service_whose_sockets_systemd_holds_is_restarted(
    proxy: Proxy,
    person: Person,
    sandbox: RunningSandbox,
    port: int,
    upgrades: int,
    request: pytest.FixtureRequest,
) -> None:
    person.log_in()
    assert proxy.stop() == 0
    listening = request.getfixturevalue("listening")
    current = activated(proxy.home, proxy.file, listening)
    try:
        current.wait_for_output("started ")
        with Load(port) as load:
            for _ in range(upgrades):
                time.sleep(0.5)  # calls are to be under way
                # As `systemctl restart`: first the old one ends, meanwhile callers wait.
                assert current.stop() == 0, current.stderr
                current = activated(proxy.home, proxy.file, listening)
                # Before Python runs our first line, SIGTERM ends it as any process.
                current.wait_for_output("started ")
            time.sleep(0.5)
    finally:
        current.stop()

    check(load, sandbox, upgrades)
