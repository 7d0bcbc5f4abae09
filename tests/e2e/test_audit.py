"""The audit of the running server: whose key acted, from where, and which was refused."""

import json
from typing import Any

import pytest
import requests

from tests.e2e.conftest import Proxy, wait_until

KEY = "ops-key-0123456789abcdef"


@pytest.fixture
def overrides(tmp_path: Any) -> dict[str, Any]:
    return {
        "access": {"api_keys": [{"name": "ops", "key": KEY}]},
        "log": {"audit_file": str(tmp_path / "audit.log")},
    }


def told(tmp_path: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "audit.log").read_text().splitlines()]


def test_who_acted_and_which_key_was_refused(proxy: Proxy, tmp_path: Any) -> None:
    wrong = {"X-API-Key": "not-" + KEY}
    assert requests.get(f"{proxy.url}/users/me", headers=wrong, timeout=5).status_code == 401
    assert requests.get(f"{proxy.url}/-/", headers=wrong, timeout=5).status_code == 401
    assert requests.get(f"{proxy.url}/users/me", timeout=5).status_code == 401  # no key at all
    spoofed = {"X-API-Key": KEY, "X-SRProxy-Caller": "somebody else"}
    assert requests.post(f"{proxy.url}/-/logout", headers=spoofed, timeout=5).status_code == 200
    wait_until(lambda: len(told(tmp_path)) >= 3)

    lines = [(line["action"], line["who"], line["outcome"]) for line in told(tmp_path)]
    assert lines == [
        ("key_refused", None, "unauthorized"),
        ("key_refused", None, "unauthorized"),
        ("logout", "ops", "ok"),
    ]
    assert {line["client"] for line in told(tmp_path)} <= {"127.0.0.1", "::1"}
    assert KEY not in (tmp_path / "audit.log").read_text()
