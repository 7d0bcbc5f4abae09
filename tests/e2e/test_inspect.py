"""Look into requests, send them again, record them and play them: through a real server."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import requests
from haralyzer import HarParser  # type: ignore[import-untyped]

from proxy.sandbox import SandboxSettings
from tests.e2e.conftest import Person, Proxy, wait_until
from tests.support.processes import Process, running, start, wait_until_answers
from tests.support.sandboxes import RunningSandbox

TIMEOUT = 20
KEY = "a-key-of-the-callers-0123456789"
CANARY = "canary-of-the-caller-0123456789"
NAVIGATION = {
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Site": "same-origin",
    "Accept": "text/html",
}


@pytest.fixture
def sandbox_settings() -> SandboxSettings:
    return SandboxSettings(throttle=False)


@pytest.fixture
def overrides() -> dict[str, Any]:
    return {"inspect": {"enabled": True, "max_body": 2000}, "limits": {"mode": "pass"}}


@pytest.fixture
def inspected(proxy: Proxy, person: Person) -> Proxy:
    person.log_in()
    return proxy


def call(proxy: Proxy, method: str, path: str, **kwargs: Any) -> tuple[str, requests.Response]:
    """Make a call whose id is known."""
    headers = {"X-Request-ID": f"id-{time.monotonic_ns()}", **kwargs.pop("headers", {})}
    answer = requests.request(method, proxy.url + path, headers=headers, timeout=TIMEOUT, **kwargs)
    return headers["X-Request-ID"], answer


def detail(proxy: Proxy, request_id: str) -> Any:
    answer = requests.get(f"{proxy.url}/-/requests/{request_id}", timeout=TIMEOUT)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_request_is_shown_in_full_without_credentials(inspected: Proxy) -> None:
    fields = {"firstName": "Mira", "lastName": "Łukasik", "email": "m@mail.example"}
    sent = {"Authorization": f"Bearer {CANARY}", "X-API-Key": CANARY}
    request_id, answer = call(
        inspected, "POST", f"/candidates?access_token={CANARY}", json=fields, headers=sent
    )
    shown = detail(inspected, request_id)

    assert answer.status_code == 201
    assert (shown["method"], shown["status"]) == ("POST", 201)
    assert shown["operation"] == "POST /candidates"
    assert json.loads(shown["request"]["body"]) == fields
    assert json.loads(shown["response"]["body"]) == answer.json()
    assert shown["request"]["truncated"] is shown["response"]["truncated"] is False
    page = requests.get(
        f"{inspected.url}/-/requests/{request_id}", headers=NAVIGATION, timeout=TIMEOUT
    )
    har = requests.get(f"{inspected.url}/-/requests.har", timeout=TIMEOUT)
    assert "Łukasik" in page.text
    assert "curl -X POST" in page.text
    for text in (json.dumps(shown), page.text, har.text):
        assert CANARY not in text


def test_bodies_are_kept_up_to_a_size_and_counted_beyond(inspected: Proxy) -> None:
    fields = {"firstName": "x" * 5000, "lastName": "y", "email": "z"}
    request_id, answer = call(inspected, "POST", "/candidates", json=fields)
    shown = detail(inspected, request_id)

    assert shown["request"]["truncated"] is shown["response"]["truncated"] is True
    assert shown["response"]["size"] == len(answer.content)
    again = requests.post(f"{inspected.url}/-/requests/{request_id}/replay", timeout=TIMEOUT)
    assert again.status_code == 409


def test_a_request_is_sent_again_as_it_was_and_edited(inspected: Proxy) -> None:
    fields = {"firstName": "A", "lastName": "B", "email": "c@mail.example"}
    request_id, _ = call(inspected, "POST", "/candidates", json=fields)
    url = f"{inspected.url}/-/requests/{request_id}/replay"
    again = requests.post(url, timeout=TIMEOUT)
    edited = requests.post(
        url, json={"method": "GET", "path": "/jobs?limit=1", "body": ""}, timeout=TIMEOUT
    )

    assert (again.status_code, again.json()["status"]) == (200, 201)
    assert json.loads(detail(inspected, again.json()["id"])["request"]["body"]) == fields
    shown = detail(inspected, edited.json()["id"])
    assert (edited.json()["status"], shown["method"], shown["path"]) == (200, "GET", "/jobs")


@pytest.mark.parametrize(
    "edits",
    [{"method": "GET\r\nX: y"}, {"path": "/a b"}, {"path": "jobs"}, {"body": 3}, [],
     {"body": "\ud800"}, {"headers": [["A", "b\r\nC: d"]]},
     {"headers": {"A:": "b"}}, {"headers": 3}],
)  # fmt: skip
def test_what_is_no_request_is_not_sent(inspected: Proxy, edits: Any) -> None:
    request_id, _ = call(inspected, "GET", "/users/me")
    answer = requests.post(
        f"{inspected.url}/-/requests/{request_id}/replay", json=edits, timeout=TIMEOUT
    )

    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


def test_another_program_reads_the_har_of_what_the_filter_shows(
    inspected: Proxy, tmp_path: Path
) -> None:
    call(inspected, "GET", "/jobs")
    one, _ = call(inspected, "GET", "/nothing")
    call(inspected, "GET", "/users/me")

    def paths(query: str) -> list[str]:
        answer = requests.get(f"{inspected.url}/-/requests.har{query}", timeout=TIMEOUT)
        entries = HarParser(answer.json()).har_data["entries"]
        return [entry["request"]["url"].removeprefix(inspected.url) for entry in entries]

    assert paths("") == ["/jobs", "/nothing", "/users/me"]
    assert paths("?status=4xx") == ["/nothing"]
    assert paths("?text=jobs") == ["/jobs"]
    assert paths(f"?id={one}") == ["/nothing"]


def test_an_unknown_id_and_a_wrong_method_are_said(inspected: Proxy) -> None:
    request_id, _ = call(inspected, "GET", "/users/me")
    unknown = requests.get(f"{inspected.url}/-/requests/none", timeout=TIMEOUT)
    wrong = requests.delete(f"{inspected.url}/-/requests/{request_id}", timeout=TIMEOUT)

    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    assert (wrong.status_code, wrong.headers["Allow"]) == (405, "GET")


class TestOff:
    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        return {}

    def test_nothing_is_kept_and_the_routes_say_how_to_turn_it_on(self, proxy: Proxy) -> None:
        call(proxy, "GET", "/users/me")
        for path in ("/-/requests.har", "/-/requests/1", "/-/requests/1/replay"):
            answer = requests.get(proxy.url + path, timeout=TIMEOUT)

            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
            assert "inspect.enabled" in answer.json()["detail"]


# ── record and replay ──


@pytest.fixture
def recording(proxy: Proxy, person: Person, tmp_path: Path) -> tuple[Proxy, Path]:
    person.log_in()
    assert proxy.stop() == 0
    path = tmp_path / "day.har"
    process = start("serve", "-c", str(proxy.file), "--record", str(path), home=proxy.home)
    proxy._process = process
    wait_until_answers(f"{proxy.url}/-/live")
    return proxy, path


def mixed_calls(url: str, count: int, candidates: list[str]) -> list[tuple[int, bytes, str | None]]:
    """Make calls of every kind, the same at each time; return what came back."""
    answers = []
    with requests.Session() as session:
        for number in range(count):
            one = candidates[number % len(candidates)]
            calls: list[tuple[str, str, bytes | None]] = [
                ("GET", f"/candidates?limit=3&q={number % 7}", None),
                ("GET", f"/candidates/{one}", None),
                ("GET", f"/candidates/{one}/attachments", None),
                ("PUT", f"/candidates/{one}/tags", json.dumps({"tags": [f"t{number}"]}).encode()),
                ("GET", f"/candidates/{one}/tags", None),
                ("GET", "/nothing/%2F?a=1&b", None),
                ("DELETE", f"/candidates/{one}/tags", None),
            ]
            method, path, body = calls[number % len(calls)]
            answer = session.request(method, url + path, data=body, timeout=TIMEOUT)
            kind = answer.headers.get("Content-Type")
            answers.append((answer.status_code, answer.content, kind))
    return answers


def test_two_hundred_mixed_calls_play_back_byte_for_byte(
    recording: tuple[Proxy, Path], tmp_path: Path
) -> None:
    proxy, path = recording
    page = requests.get(f"{proxy.url}/candidates?limit=5", timeout=TIMEOUT).json()
    candidates = [candidate["id"] for candidate in page["content"]]
    recorded = mixed_calls(proxy.url, 200, candidates)
    assert proxy.stop() == 0

    with running("replay", str(path), "--port", "0", home=tmp_path) as player:
        address = player.wait_for_output(r"(http://localhost:\d+)\n")[1]
        assert mixed_calls(address, 200, candidates) == recorded


def test_a_killed_recording_is_whole_again_after_the_next_start(
    recording: tuple[Proxy, Path],
) -> None:
    proxy, path = recording
    for _ in range(20):
        requests.get(f"{proxy.url}/jobs", timeout=TIMEOUT)
    wait_until(lambda: path.read_text().count('"/jobs') >= 0 and path.stat().st_size > 2000)
    process: Process = proxy.process
    process._popen.kill()
    process.wait()
    proxy._process = start("serve", "-c", str(proxy.file), "--record", str(path), home=proxy.home)
    wait_until_answers(f"{proxy.url}/-/live")
    requests.get(f"{proxy.url}/users/me", timeout=TIMEOUT)
    assert proxy.stop() == 0

    entries = json.loads(path.read_text())["log"]["entries"]
    assert entries[-1]["request"]["url"].endswith("/users/me")
    assert "Bearer" not in path.read_text().replace("Bearer scope", "")


def test_a_file_that_is_not_ours_keeps_the_server_from_starting(
    proxy: Proxy, sandbox: RunningSandbox, tmp_path: Path
) -> None:
    path = tmp_path / "mine.har"
    path.write_text("something else")
    proxy.stop()
    process = start("serve", "-c", str(proxy.file), "--record", str(path), home=proxy.home)

    assert process.wait() == 1
    assert "not written by this program" in process.stderr
    assert path.read_text() == "something else"


class TestAccounts:
    """Whose credential a request that is sent again goes with."""

    OTHER = "key-of-acme-alone-0123456789"

    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        return {
            "inspect": {"enabled": True},
            "accounts": {"acme": {"smart_token": "token-of-acme-0123456789"}},
            "access": {
                "api_keys": [
                    {"name": "root", "key": KEY, "admin": True},
                    {"name": "acme", "key": self.OTHER, "account": "acme"},
                ]
            },
        }

    def test_it_is_the_one_that_served_it_first(self, proxy: Proxy) -> None:
        by_key, _ = call(proxy, "GET", "/users/me", headers={"X-API-Key": self.OTHER})
        by_host, _ = call(
            proxy, "GET", "/users/me", headers={"X-API-Key": KEY, "Host": "acme.localhost"}
        )
        for request_id in (by_key, by_host):
            again = requests.post(
                f"{proxy.url}/-/requests/{request_id}/replay",
                headers={"X-API-Key": KEY, "Cookie": "a=€".encode()},
                timeout=TIMEOUT,
            ).json()
            shown = requests.get(
                f"{proxy.url}/-/requests/{again['id']}",
                headers={"X-API-Key": KEY},
                timeout=TIMEOUT,
            ).json()
            assert shown["account"] == "acme"
