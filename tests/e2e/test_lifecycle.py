"""Start, probes, drain and signals, with real processes: what an orchestrator relies on."""

import asyncio
import os
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
import requests
from aiohttp import web

from proxy.sandbox import SandboxSettings
from tests.e2e.conftest import Person, Proxy, wait_until
from tests.support.processes import PYTHONPATH, free_port, srproxy, start
from tests.support.sandboxes import RunningSandbox


class Gate:
    """Holds answers of the sandbox back until it is opened."""

    def __init__(self, sandbox: RunningSandbox, path: str) -> None:
        self.arrived = threading.Event()
        self._open = threading.Event()
        self._path = path
        sandbox.interrupt(self._hold)

    def open(self) -> None:
        self._open.set()

    async def _hold(self, request: web.Request) -> web.StreamResponse | None:
        if request.path == self._path and not self._open.is_set():
            self.arrived.set()
            await asyncio.to_thread(self._open.wait, 20)
        return None


def in_background(call: Any) -> tuple[threading.Thread, list[Any]]:
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(call())
        except requests.RequestException as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, results


def can_connect(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


# ── stopping ──


def test_what_is_in_flight_is_finished_and_nothing_new_is_taken(
    proxy: Proxy, person: Person, sandbox: RunningSandbox, port: int
) -> None:
    person.log_in()
    gate = Gate(sandbox, "/jobs")
    calling, results = in_background(lambda: requests.get(f"{proxy.url}/jobs", timeout=20))
    assert gate.arrived.wait(10)

    proxy.process.signal(signal.SIGTERM)
    wait_until(lambda: not can_connect(port))
    assert proxy.process.returncode is None
    gate.open()
    calling.join(20)

    assert results[0].status_code == 200
    assert proxy.process.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_ends_with_0_after_either_signal(proxy: Proxy, number: signal.Signals) -> None:
    proxy.process.signal(number)

    assert proxy.process.wait() == 0


@pytest.mark.parametrize("overrides", [{"shutdown": {"delay": 30}}])
def test_not_ready_comes_before_not_accepting(proxy: Proxy, person: Person) -> None:
    person.log_in()
    assert requests.get(f"{proxy.url}/-/ready", timeout=5).status_code == 200

    proxy.process.signal(signal.SIGTERM)
    wait_until(lambda: requests.get(f"{proxy.url}/-/ready", timeout=5).status_code == 503)
    probe = requests.get(f"{proxy.url}/-/ready", timeout=5).json()
    call = requests.get(f"{proxy.url}/users/me", timeout=5)
    proxy.process.signal(signal.SIGTERM)  # a second signal waits no longer

    assert probe["code"] == "shutting_down"
    assert call.status_code == 200
    assert proxy.process.wait() == 0


@pytest.mark.parametrize("overrides", [{"shutdown": {"drain_timeout": 30}}])
def test_a_second_signal_is_at_once(proxy: Proxy, person: Person, sandbox: RunningSandbox) -> None:
    person.log_in()
    gate = Gate(sandbox, "/jobs")
    calling, results = in_background(lambda: requests.get(f"{proxy.url}/jobs", timeout=25))
    assert gate.arrived.wait(10)

    proxy.process.signal(signal.SIGTERM)
    proxy.process.wait_for_output("stopping")
    proxy.process.signal(signal.SIGTERM)
    code = proxy.process.wait(10)
    gate.open()
    calling.join(20)

    assert code == 0
    assert isinstance(results[0], requests.ConnectionError)


@pytest.mark.parametrize(
    "sandbox_settings", [SandboxSettings(throttle=False, access_token_lifetime=1)]
)
@pytest.mark.parametrize("signals", [1, 2])
def test_a_refresh_under_way_is_stored_before_the_end(
    proxy: Proxy, person: Person, sandbox: RunningSandbox, signals: int
) -> None:
    person.log_in()
    gate = Gate(sandbox, "/identity/oauth/token")

    def traffic_meets_the_gate() -> bool:
        # A token of one second: some call soon finds it near its end, or past it.
        in_background(lambda: requests.get(f"{proxy.url}/users/me", timeout=25))
        return gate.arrived.wait(0.5)

    wait_until(traffic_meets_the_gate)
    for _ in range(signals):
        proxy.process.signal(signal.SIGTERM)
        proxy.process.wait_for_output("stopping")
    gate.open()
    code = proxy.process.wait(20)
    before = len(sandbox.refreshes)

    proxy.start()
    answer = requests.get(f"{proxy.url}/users/me", timeout=20)

    assert code == 0
    assert before >= 1
    assert answer.status_code == 200
    assert {(p.outcome, p.reuse) for p in sandbox.refreshes} == {("issued", False)}


# ── probes ──


def test_live_whatever_is_wrong_and_ready_with_the_reason(
    proxy: Proxy, person: Person, sandbox: RunningSandbox
) -> None:
    live = requests.get(f"{proxy.url}/-/live", timeout=5)
    not_ready = requests.get(f"{proxy.url}/-/ready", timeout=5)
    person.log_in()
    ready = requests.get(f"{proxy.url}/-/ready", timeout=5)

    assert (live.status_code, not_ready.status_code, ready.status_code) == (200, 503, 200)
    assert not_ready.json()["code"] == "login_required"
    assert not [p for p in sandbox.presentations if p.grant_type == "refresh_token"]


def test_probes_have_a_listener_of_their_own(tmp_path: Path) -> None:
    port, probes = free_port(), free_port()
    environ = {
        "SRPROXY_OAUTH__CLIENT_ID": "id",
        "SRPROXY_OAUTH__CLIENT_SECRET": "a-secret-of-some-length",
        "SRPROXY_LISTEN__PORT": str(port),
        "SRPROXY_LISTEN__PROBES__HOST": "127.0.0.1",
        "SRPROXY_LISTEN__PROBES__PORT": str(probes),
        "SRPROXY_TOKENS__PATH": str(tmp_path / "tokens"),
    }
    process = start("serve", home=tmp_path, environ=environ)
    try:
        process.wait_for_output("listening")
        base = f"http://127.0.0.1:{probes}"
        host = {"Host": "10.1.2.3:9090"}  # kubelet asks by the pod's address
        statuses = {
            path: requests.get(base + path, headers=host, timeout=5).status_code
            for path in ("/-/live", "/-/ready", "/-/status", "/-/", "/users/me")
        }
        metrics = requests.get(f"{base}/-/metrics", timeout=5)
    finally:
        process.stop()

    assert statuses["/-/live"] == 200
    assert statuses["/-/ready"] == 503
    assert all(statuses[path] in (404, 421) for path in ("/-/status", "/-/", "/users/me"))
    assert "srproxy" in metrics.text


# ── starting ──


def test_a_taken_port_is_said_and_ends_with_1(proxy: Proxy, tmp_path: Path) -> None:
    done = srproxy("serve", "-c", str(proxy.file), home=tmp_path)

    assert done.returncode == 1
    assert "taken by another program" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unreadable_record_is_served_as_such_and_left_alone(
    proxy: Proxy, person: Person, tmp_path: Path
) -> None:
    person.log_in()
    assert proxy.stop() == 0
    (record,) = [p for p in (tmp_path / "tokens").rglob("*.json") if p.is_file()]
    record.write_bytes(b"{ damaged")

    proxy.start()
    answer = requests.get(f"{proxy.url}/users/me", timeout=10)
    status = srproxy("status", "-c", str(proxy.file), home=tmp_path)

    assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
    assert status.returncode == 1
    assert str(record) in status.stderr + status.stdout
    assert record.read_bytes() == b"{ damaged"


def test_port_0_is_one_number_for_both_families_and_is_printed(tmp_path: Path) -> None:
    environ = {
        "SRPROXY_OAUTH__CLIENT_ID": "id",
        "SRPROXY_OAUTH__CLIENT_SECRET": "a-secret-of-some-length",
        "SRPROXY_LISTEN__PORT": "0",
        "SRPROXY_TOKENS__PATH": str(tmp_path / "tokens"),
    }
    process = start("serve", home=tmp_path, environ=environ)
    try:
        port = process.wait_for_output(r"http://localhost:(\d+)\n").group(1)
        for host in ("127.0.0.1", "[::1]", "localhost"):
            assert requests.get(f"http://{host}:{port}/-/live", timeout=5).status_code == 200
    finally:
        assert process.stop() == 0


@pytest.mark.parametrize("command", [("serve",), ("sandbox", "--sandbox-port", "0", "--port", "0")])
def test_control_routes_that_cannot_be_loaded_end_the_command_with_the_error(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nsys.modules['proxy.control.application'] = None\n"
    )
    environ = {
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{PYTHONPATH}",
        "SRPROXY_OAUTH__CLIENT_ID": "id",
        "SRPROXY_OAUTH__CLIENT_SECRET": "a-secret-of-some-length",
        "SRPROXY_LISTEN__PORT": "0",
    }

    ended = srproxy(*command, home=tmp_path, environ=environ, timeout=20)

    assert ended.returncode == 1
    assert "import of proxy.control.application halted" in ended.stderr
    assert "listening" not in ended.stderr
