"""The main job with real processes and sockets: authorize once, then call as often as you like."""

import hashlib
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from aiohttp import web

from proxy.sandbox import SandboxSettings
from tests.e2e.conftest import Person, Proxy, wait_until
from tests.support.sandboxes import RunningSandbox

SHORT = 2


def get(proxy: Proxy, path: str, **kwargs: Any) -> requests.Response:
    return requests.get(proxy.url + path, timeout=20, **kwargs)


def assert_login_required(answer: requests.Response, reason: str) -> None:
    problem = answer.json()
    assert answer.status_code == 503
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert problem["code"] == "login_required"
    assert problem["reason"] == reason
    assert problem["login_url"].endswith("/-/login")


# ── the whole story ──


@pytest.mark.parametrize(
    "sandbox_settings", [SandboxSettings(throttle=False, access_token_lifetime=SHORT)]
)
def test_authorize_once_then_call_through_expiry_and_restart(
    proxy: Proxy, person: Person, sandbox: RunningSandbox
) -> None:
    assert_login_required(get(proxy, "/users/me"), "never_authorized")
    assert get(proxy, "/-/ready").status_code == 503

    person.log_in()
    assert get(proxy, "/-/ready").status_code == 200
    assert get(proxy, "/users/me").json()["firstName"] == "Ingrid"

    # Traffic through two expiries: refreshed ahead, and nobody notices.
    statuses: list[int] = []

    def two_refreshes() -> bool:
        statuses.append(get(proxy, "/users/me").status_code)
        return len(sandbox.refreshes) >= 2

    wait_until(two_refreshes)
    assert set(statuses) == {200}

    # At rest until after expiry: refreshed on demand.
    idle_from = time.monotonic()
    wait_until(lambda: time.monotonic() > idle_from + SHORT + 0.5)
    assert get(proxy, "/users/me").status_code == 200

    # A restart needs no login, before expiry or after it.
    proxy.restart()
    assert get(proxy, "/users/me").status_code == 200
    proxy.stop()
    idle_from = time.monotonic()
    wait_until(lambda: time.monotonic() > idle_from + SHORT + 0.5)
    proxy.start()
    assert get(proxy, "/users/me").status_code == 200

    # What SmartRecruiters saw: one login, then a chain of refreshes, no token twice.
    code, *refreshes = sandbox.presentations
    assert code.grant_type == "authorization_code"
    assert all(p.outcome == "issued" for p in sandbox.presentations)
    issued = [p.issued_refresh_token for p in sandbox.presentations]
    assert [p.value for p in refreshes] == issued[:-1]

    # And none of it in anything that was written.
    for presentation in sandbox.presentations:
        assert presentation.value not in proxy.output
        assert str(presentation.issued_refresh_token) not in proxy.output
    assert sandbox.settings.client_secret not in proxy.output
    assert "Traceback" not in proxy.output


# ── the login ──


def test_decline_exchanges_nothing_and_says_so(
    proxy: Proxy, person: Person, sandbox: RunningSandbox
) -> None:
    page = person.decide(person.open_login(), "decline")

    assert 400 <= page.status_code < 500
    assert "text/html" in page.headers["Content-Type"]
    assert "declined" in page.text.lower()
    assert sandbox.presentations == []
    assert_login_required(get(proxy, "/users/me"), "never_authorized")
    person.log_in()
    assert get(proxy, "/users/me").status_code == 200


@pytest.mark.parametrize("sandbox_settings", [SandboxSettings(decline_carries_state=False)])
def test_decline_without_state_is_explained_and_consumes_nothing(
    proxy: Proxy, person: Person, sandbox: RunningSandbox
) -> None:
    consent = person.open_login()
    declined = person.decide(consent, "decline")
    authorized = person.decide(consent, "authorize")

    assert 400 <= declined.status_code < 500
    assert authorized.status_code == 200
    assert get(proxy, "/users/me").status_code == 200


def test_login_opened_at_another_name_for_us_still_works(proxy: Proxy, person: Person) -> None:
    address = proxy.url.replace("localhost", "127.0.0.1")
    consent = person.open_login(f"{address}/-/login")

    assert person.decide(consent, "authorize").status_code == 200
    assert get(proxy, "/users/me").status_code == 200


def test_state_is_used_once(proxy: Proxy, person: Person, sandbox: RunningSandbox) -> None:
    consent = person.open_login()
    assert person.decide(consent, "authorize").status_code == 200
    again = person.decide(consent, "authorize")

    assert again.status_code >= 400
    assert len(sandbox.presentations) == 1
    assert get(proxy, "/users/me").status_code == 200


def test_another_browser_cannot_finish_the_login(
    proxy: Proxy, person: Person, sandbox: RunningSandbox
) -> None:
    consent = person.open_login()
    stranger = Person(proxy)
    refused = stranger.decide(consent, "authorize")

    assert refused.status_code >= 400
    assert sandbox.presentations == []
    assert person.decide(consent, "authorize").status_code == 200


@pytest.mark.parametrize(
    "overrides",
    [
        {"oauth": {"token_request_format": "json"}},
        {"oauth": {"client_authentication": "client_secret_basic"}},
        {"oauth": {"pkce": True}},
        {"oauth": {"scopes": ["user_me_read", "jobs_read"]}},
        {"oauth": {"authorization_params": {}}},
        {"tokens": {"encryption_key": "correct horse battery staple"}},
    ],
    ids=lambda overrides: next(iter(next(iter(overrides.values())))),
)
def test_login_and_refresh_in_every_dialect(
    proxy: Proxy, person: Person, sandbox: RunningSandbox
) -> None:
    person.log_in()
    sandbox.revoke_access_tokens()

    assert get(proxy, "/users/me").status_code == 200
    assert [p.outcome for p in sandbox.presentations] == ["issued", "issued"]


@pytest.mark.parametrize("callback_path", ["/-/callback", "/oauth/done", "/"])
def test_callback_is_the_path_of_the_redirect_uri(proxy: Proxy, person: Person) -> None:
    person.log_in()

    assert get(proxy, "/users/me").status_code == 200


def test_scopes_asked_for_are_those_granted(
    proxy: Proxy, person: Person, sandbox: RunningSandbox
) -> None:
    proxy.config["oauth"]["scopes"] = ["user_me_read", "jobs_read"]
    proxy.restart()
    consent = person.open_login()
    person.decide(consent, "authorize")

    assert "scope=user_me_read%20jobs_read" in consent.url
    assert get(proxy, "/jobs").status_code == 200
    assert get(proxy, "/candidates").status_code == 403


def test_new_login_replaces_the_old_grant(
    proxy: Proxy, person: Person, sandbox: RunningSandbox
) -> None:
    person.log_in()
    generation = proxy.account()["generation"]
    person.log_in()

    assert get(proxy, "/users/me").status_code == 200
    assert proxy.account()["generation"] > generation


# ── calls ──


def test_answers_come_as_the_upstream_gave_them(
    proxy: Proxy, person: Person, sandbox: RunningSandbox
) -> None:
    person.log_in()
    answer = get(proxy, "/candidates?limit=2")

    assert answer.headers["X-RateLimit-Concurrent-Limit"] == "1"
    assert "Proxy-Status" not in answer.headers
    url = answer.json()["content"][0]["actions"]["details"]["url"]
    assert url.startswith(f"{sandbox.origin}/candidates/")
    missing = get(proxy, "/candidates/nobody")
    assert missing.status_code == 404
    assert missing.json()["errors"][0]["code"] == "RESOURCE_NOT_FOUND"


def test_pages_are_followed_by_their_links(proxy: Proxy, person: Person) -> None:
    person.log_in()
    ids, path = [], "/candidates?limit=5"
    while path:
        answer = get(proxy, path)
        ids += [candidate["id"] for candidate in answer.json()["content"]]
        path = answer.links.get("next", {}).get("url", "")

    assert len(set(ids)) == 12


def test_records_are_created_patched_and_deleted(proxy: Proxy, person: Person) -> None:
    person.log_in()
    fields = {"firstName": "Zoë", "lastName": "Kjær", "email": "z@mail.example"}
    created = requests.post(f"{proxy.url}/candidates", json=fields, timeout=20)
    path = f"{proxy.url}/candidates/{created.json()['id']}"
    deleted = requests.delete(path, timeout=20)
    job = get(proxy, "/jobs").json()["content"][0]
    patched = requests.patch(
        f"{proxy.url}/jobs/{job['id']}",
        data='[{"op": "replace", "path": "/title", "value": "Välkommen"}]'.encode(),
        headers={"Content-Type": "application/json-patch+json"},
        timeout=20,
    )

    assert (created.status_code, created.json()["lastName"]) == (201, "Kjær")
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert requests.get(path, timeout=20).status_code == 404
    assert patched.json()["title"] == "Välkommen"


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 5_000_000])
def test_upload_comes_back_byte_for_byte(proxy: Proxy, person: Person, size: int) -> None:
    person.log_in()
    content = os.urandom(size)
    candidate = get(proxy, "/candidates").json()["content"][0]["id"]
    uploaded = requests.post(
        f"{proxy.url}/candidates/{candidate}/attachments",
        data={"attachmentType": "RESUME"},
        files={"file": ("Lebenslauf – Müller.pdf", content, "application/pdf")},
        timeout=30,
    )
    assert uploaded.status_code == 201
    path = urlsplit(uploaded.json()["actions"]["download"]["url"]).path
    downloaded = get(proxy, path)

    assert hashlib.sha256(downloaded.content).digest() == hashlib.sha256(content).digest()
    assert downloaded.headers["Content-Type"] == "application/pdf"
    assert downloaded.headers["Content-Disposition"].startswith("attachment;")


@pytest.mark.parametrize("sandbox_settings", [SandboxSettings(throttle=True)])
def test_fifty_calls_at_once_are_paced_and_none_is_refused(proxy: Proxy, person: Person) -> None:
    person.log_in()
    time.sleep(1.1)  # the login asked GET /users/me too, for the owner's name
    with ThreadPoolExecutor(50) as pool:
        began = time.monotonic()
        answers = list(pool.map(lambda _: get(proxy, "/users/me"), range(50)))
        took = time.monotonic() - began

    assert {answer.status_code for answer in answers} == {200}
    # Ten a second: the first ten at once, the last ten after four seconds.
    assert 4 <= took < 5.5
    metrics = get(proxy, "/-/metrics").text
    assert "srproxy_held_seconds_count" in metrics
    assert not re.search(r"^srproxy_upstream_limited_total.* [1-9]", metrics, re.MULTILINE)


@pytest.mark.parametrize("sandbox_settings", [SandboxSettings(throttle=True)])
@pytest.mark.parametrize("overrides", [{"limits": {"mode": "pass"}}])
def test_with_limits_passed_the_upstream_s_refusals_are_passed_on(
    proxy: Proxy, person: Person
) -> None:
    person.log_in()
    answers = [get(proxy, "/users/me") for _ in range(30)]
    refused = [answer for answer in answers if answer.status_code == 429]

    assert refused
    assert refused[0].json()["errors"][0]["code"] == "TOO_MANY_REQUESTS"
    assert refused[0].headers["X-RateLimit-Remaining"] == "0"
    assert "Retry-After" not in refused[0].headers


@pytest.mark.parametrize("sandbox_settings", [SandboxSettings(throttle=False)])
@pytest.mark.parametrize(
    "overrides",
    [
        {
            "limits": {
                "mode": "pace",
                "max_wait": 0.3,
                "rules": ["1 at once * **", "1/s GET /users/me"],
            }
        }
    ],
)
def test_what_is_held_for_max_wait_is_refused_by_us(proxy: Proxy, person: Person) -> None:
    person.log_in()
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda _: get(proxy, "/users/me"), range(3)))

    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) == 2
    assert refused[0].json()["code"] == "rate_limited"
    assert int(refused[0].headers["Retry-After"]) >= 1


@pytest.mark.parametrize("overrides", [{"upstream": {"rewrite_links": True}}])
def test_a_tool_that_follows_links_in_bodies_stays_with_the_proxy(
    proxy: Proxy, person: Person
) -> None:
    person.log_in()
    candidate = get(proxy, "/candidates").json()["content"][0]
    link = candidate["actions"]["details"]["url"]

    assert link.startswith(f"{proxy.url}/candidates/")
    assert requests.get(link, timeout=20).json()["id"] == candidate["id"]


# ── tokens that end before their time ──


def test_revoked_access_token_is_refreshed_and_the_request_replayed(
    proxy: Proxy, person: Person, sandbox: RunningSandbox
) -> None:
    person.log_in()
    assert get(proxy, "/users/me").status_code == 200
    sandbox.revoke_access_tokens()
    fields = {"firstName": "A", "lastName": "B", "email": "c@mail.example"}
    created = requests.post(f"{proxy.url}/candidates", json=fields, timeout=20)

    assert created.status_code == 201
    assert len(sandbox.refreshes) == 1


def test_body_too_large_to_replay_gets_the_401_and_the_next_call_the_new_token(
    proxy: Proxy, person: Person, sandbox: RunningSandbox
) -> None:
    person.log_in()
    candidate = get(proxy, "/candidates").json()["content"][0]["id"]
    sandbox.revoke_access_tokens()
    url = f"{proxy.url}/candidates/{candidate}/attachments"

    def upload() -> requests.Response:
        return requests.post(
            url,
            data={"attachmentType": "RESUME"},
            files={"file": ("cv.bin", bytes(200_000), "application/octet-stream")},
            timeout=20,
        )

    assert upload().status_code == 401
    assert upload().status_code == 201


def test_path_that_always_answers_401_spends_one_token(
    proxy: Proxy, person: Person, sandbox: RunningSandbox
) -> None:
    person.log_in()

    async def refuse(request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=401) if request.path == "/users/me" else None

    sandbox.interrupt(refuse)
    statuses = [get(proxy, "/users/me").status_code for _ in range(5)]

    assert set(statuses) == {401}
    assert len(sandbox.refreshes) == 1
    assert get(proxy, "/jobs").status_code == 200


def test_ended_grant_asks_for_a_login_and_a_login_mends_it(
    proxy: Proxy, person: Person, sandbox: RunningSandbox
) -> None:
    person.log_in()
    sandbox.end_grants()
    first = get(proxy, "/users/me")

    # Rule 5 of the grant: the upstream's own 401 is passed on; from then on we know.
    assert first.status_code == 401
    assert_login_required(get(proxy, "/users/me"), "grant_revoked")
    assert len(sandbox.refreshes) == 1
    assert 'outcome="invalid_grant"} 1.0' in get(proxy, "/-/metrics").text
    person.log_in()
    assert get(proxy, "/users/me").status_code == 200


@pytest.mark.parametrize(
    "sandbox_settings", [SandboxSettings(throttle=False, access_token_lifetime=SHORT)]
)
def test_outage_of_the_token_endpoint_is_outlived(
    proxy: Proxy, person: Person, sandbox: RunningSandbox
) -> None:
    person.log_in()

    async def outage(request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=503) if request.path.endswith("/token") else None

    sandbox.interrupt(outage)
    seen: list[requests.Response] = []

    def until(status: int) -> bool:
        seen.append(get(proxy, "/users/me"))
        return seen[-1].status_code == status

    wait_until(lambda: until(503))
    # The valid token was used to its end.
    assert seen[0].status_code == 200
    assert seen[-1].json()["code"] == "token_endpoint_unavailable"
    assert int(seen[-1].headers["Retry-After"]) > 0
    sandbox.interrupt(None)
    wait_until(lambda: until(200), patience=40)
    assert all(p.outcome == "issued" for p in sandbox.presentations)


# ── the end ──


def test_logout_forgets_the_grant_and_sets_the_record_aside(
    proxy: Proxy, person: Person, tmp_path: Path
) -> None:
    person.log_in()
    answer = requests.post(f"{proxy.url}/-/logout", timeout=20)

    assert answer.ok
    assert_login_required(get(proxy, "/users/me"), "logged_out")
    proxy.restart()
    assert get(proxy, "/users/me").status_code == 503
    assert [path for path in (tmp_path / "tokens").rglob("*") if path.is_file()]
    person.log_in()
    assert get(proxy, "/users/me").status_code == 200


def test_two_proxies_on_one_store_share_the_grant(
    proxy: Proxy, person: Person, sandbox: RunningSandbox, tmp_path: Path
) -> None:
    from tests.support.processes import free_port

    other_home = tmp_path / "other"
    other_home.mkdir()
    port = free_port()
    other = Proxy(other_home, port, {**proxy.config, "listen": {"port": port}})
    other.start()
    try:
        assert_login_required(get(other, "/users/me"), "never_authorized")
        person.log_in()
        wait_until(lambda: get(other, "/users/me").status_code == 200, patience=6)
        sandbox.revoke_access_tokens()
        assert get(other, "/users/me").status_code == 200
        assert get(proxy, "/users/me").status_code == 200
    finally:
        other.stop()

    assert [p.outcome for p in sandbox.presentations] == ["issued", "issued"]


def test_stopping_is_clean(proxy: Proxy, person: Person) -> None:
    person.log_in()

    assert proxy.stop() == 0
    assert "Traceback" not in proxy.output
