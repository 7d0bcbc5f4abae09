"""A configuration that is read anew while calls go through."""

import signal
import threading
import time
from typing import Any

import pytest
import requests

from proxy.sandbox import SandboxSettings
from tests.e2e.conftest import Person, Proxy, wait_until

TIMEOUT = 20
OLD, NEW = "the-old-key-of-a-caller-0123456789", "the-new-key-of-a-caller-0123456789"


@pytest.fixture
def sandbox_settings() -> SandboxSettings:
    return SandboxSettings(throttle=False)


@pytest.fixture
def overrides() -> dict[str, Any]:
    return {"limits": {"mode": "pass"}, "access": {"api_keys": [{"name": "old", "key": OLD}]}}


@pytest.fixture
def granted(proxy: Proxy, person: Person) -> Proxy:
    person.browser.headers["X-API-Key"] = OLD
    person.log_in()
    return proxy


def call(proxy: Proxy, key: str = OLD, method: str = "GET", path: str = "/users/me") -> int:
    headers = {"X-API-Key": key}
    return requests.request(method, proxy.url + path, headers=headers, timeout=TIMEOUT).status_code


def change(proxy: Proxy, section: str, **keys: Any) -> None:
    proxy.config[section] = {**proxy.config.get(section, {}), **keys}
    proxy.write_config()


def reload(proxy: Proxy, key: str = OLD) -> requests.Response:
    return requests.post(f"{proxy.url}/-/reload", headers={"X-API-Key": key}, timeout=TIMEOUT)


def test_a_revoked_key_is_refused_with_the_next_request_of_its_connection(granted: Proxy) -> None:
    with requests.Session() as caller:
        caller.headers["X-API-Key"] = OLD
        assert caller.get(f"{granted.url}/users/me", timeout=TIMEOUT).status_code == 200
        change(granted, "access", api_keys=[{"name": "new", "key": NEW}])
        answer = reload(granted)
        after = caller.get(f"{granted.url}/users/me", timeout=TIMEOUT)

    assert answer.json() == {"taken_up": ["access.api_keys"], "need_restart": []}
    assert after.status_code == 401
    assert call(granted, NEW) == 200


def test_rules_dry_run_and_inspection_are_taken_up(granted: Proxy) -> None:
    assert call(granted, method="DELETE", path="/candidates/1") == 404
    change(granted, "access", dry_run=True)
    change(granted, "inspect", enabled=True)
    assert reload(granted).status_code == 200
    assert call(granted, method="DELETE", path="/candidates/1") == 202
    headers = {"X-API-Key": OLD}
    assert requests.get(f"{granted.url}/-/requests.har", headers=headers, timeout=TIMEOUT).ok
    change(granted, "access", dry_run=False, allow=["GET /users/me"])
    change(granted, "inspect", enabled=False)
    assert reload(granted).status_code == 200
    assert call(granted, path="/jobs") == 403
    har = requests.get(f"{granted.url}/-/requests.har", headers=headers, timeout=TIMEOUT)
    assert har.status_code == 404


def test_a_faulty_configuration_changes_nothing_and_is_said(granted: Proxy) -> None:
    change(granted, "access", api_keys=[{"name": "new", "key": NEW}], allow=["NOT A RULE"])
    answer = reload(granted)

    assert (answer.status_code, answer.json()["code"]) == (422, "configuration_error")
    assert "access.allow" in answer.json()["detail"]
    assert NEW not in answer.text
    assert (call(granted), call(granted, NEW)) == (200, 401)


def test_what_needs_a_restart_is_named(granted: Proxy) -> None:
    change(granted, "upstream", max_connections=7)
    change(granted, "log", level="info")

    assert reload(granted).json() == {
        "taken_up": ["log.level"], "need_restart": ["upstream.max_connections"]
    }  # fmt: skip
    granted.process.wait_for_output("restart_needed keys=upstream.max_connections")


def test_a_signal_reloads_and_tells_of_faults(granted: Proxy) -> None:
    change(granted, "access", api_keys=[{"name": "new", "key": NEW}])
    granted.process.signal(signal.SIGHUP)
    wait_until(lambda: call(granted, NEW) == 200)
    granted.file.write_text("listen: [\n")
    granted.process.signal(signal.SIGHUP)
    granted.process.wait_for_output("reload_refused")

    assert call(granted, NEW) == 200


def test_a_hundred_reloads_under_load_fail_no_call(granted: Proxy) -> None:
    stop = threading.Event()
    failures: list[object] = []
    done: list[object] = []

    def caller() -> None:
        with requests.Session() as session:
            session.headers["X-API-Key"] = OLD
            while not stop.is_set():
                try:
                    answer = session.get(f"{granted.url}/users/me", timeout=TIMEOUT)
                    (done if answer.status_code == 200 else failures).append(answer.status_code)
                except requests.RequestException as error:
                    failures.append(repr(error))

    threads = [threading.Thread(target=caller) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(100):
        change(granted, "limits", max_wait=30 + number % 2)
        granted.process.signal(signal.SIGHUP)
        time.sleep(0.02)
    stop.set()
    for thread in threads:
        thread.join(30)

    assert failures == []
    assert len(done) > 50
