"""Consent and tokens, as SmartRecruiters documents them."""

import base64
import hashlib

import aiohttp
import pytest

from proxy.sandbox import Sandbox, SandboxSettings
from tests.sandbox.conftest import REDIRECT_URI, Hands, Visitor

# ── consent ──


async def test_consent_names_app_user_and_scopes_in_words(visitor: Visitor) -> None:
    status, page = await visitor.consent(None, scope="candidates_read some_new_scope")

    assert status == 200
    assert "My legacy tool" in page
    assert "Ingrid Lindqvist" in page
    assert "See your candidates" in page
    assert "some_new_scope" in page
    assert "See your jobs" not in page


async def test_missing_scope_means_the_apps_defaults(visitor: Visitor) -> None:
    _, page = await visitor.consent(None)

    assert "See your jobs" in page


@pytest.mark.parametrize(
    "query",
    [
        {"client_id": "another"},
        {"redirect_uri": "http://localhost:8080/-/callback/"},
        {"redirect_uri": "http://LOCALHOST:8080/-/callback"},
        {"redirect_uri": "http://127.0.0.1:8080/-/callback"},
        {"redirect_uri": ""},
        {"scope": ""},
    ],
)
@pytest.mark.parametrize("decision", [None, "authorize", "decline"])
async def test_wrong_request_is_answered_by_a_page_and_never_redirected(
    visitor: Visitor, query: dict[str, str], decision: str | None
) -> None:
    status, page = await visitor.consent(decision, **query)

    assert status == 400
    assert page.startswith("<!doctype html>")


async def test_repeated_parameter_is_refused(visitor: Visitor, sandbox: Sandbox) -> None:
    url = f"{sandbox.authorization_endpoint}?client_id=sandbox-client&client_id=sandbox-client"
    async with visitor.session.get(url) as answer:
        assert answer.status == 400


async def test_what_is_asked_appears_escaped(visitor: Visitor) -> None:
    _, page = await visitor.consent(None, scope="<script>alert(1)</script>")

    assert "<script>" not in page


async def test_authorize_gives_code_and_state(visitor: Visitor) -> None:
    status, location = await visitor.consent(state="a b&c")

    assert status == 302
    assert location.startswith(f"{REDIRECT_URI}?code=")
    assert location.endswith("&state=a%20b%26c")


async def test_decline_gives_the_three_documented_parameters(visitor: Visitor) -> None:
    _, location = await visitor.consent("decline", state="s")

    assert location == (
        f"{REDIRECT_URI}?error=access_denied"
        "&error_description=User%20declined%20the%20authorization%20request&code=500&state=s"
    )


async def test_unknown_response_type_is_sent_back(visitor: Visitor) -> None:
    _, location = await visitor.consent(None, response_type="token")

    assert "error=unsupported_response_type" in location


async def test_neither_button_decides_nothing(visitor: Visitor) -> None:
    status, _ = await visitor.consent("perhaps")

    assert status == 400


async def test_auto_approve_redirects_at_once() -> None:
    sandbox = Sandbox(SandboxSettings(auto_approve=True))
    await sandbox.start()
    async with aiohttp.ClientSession() as session:
        status, location = await Visitor(sandbox, session).consent(None)
    await sandbox.close()

    assert status == 302
    assert "code=" in location


async def test_decline_may_come_without_state(hands: Hands) -> None:
    sandbox = Sandbox(SandboxSettings(decline_carries_state=False))
    await sandbox.start()
    async with aiohttp.ClientSession() as session:
        _, location = await Visitor(sandbox, session).consent("decline", state="s")
    await sandbox.close()

    assert "state=" not in location


# ── code exchange ──


async def test_exchange_answers_as_documented(visitor: Visitor) -> None:
    status, tokens = await visitor.exchange(await visitor.code(), redirect_uri=REDIRECT_URI)

    assert status == 200
    assert tokens.keys() == {"token_type", "access_token", "expires_in", "refresh_token"}
    assert tokens["token_type"] == "bearer"
    assert tokens["expires_in"] == 1799
    assert await visitor.status(tokens["access_token"]) == 200


async def test_code_lives_thirty_seconds(visitor: Visitor, hands: Hands) -> None:
    in_time, too_late = await visitor.code(), await visitor.code()
    hands.at += 30
    first, _ = await visitor.exchange(in_time)
    hands.at += 0.1
    second, body = await visitor.exchange(too_late)

    assert (first, second) == (200, 400)
    assert body["error"] == "invalid_grant"


async def test_second_use_of_a_code_revokes_what_came_from_the_first(visitor: Visitor) -> None:
    code = await visitor.code()
    _, tokens = await visitor.exchange(code)
    status, body = await visitor.exchange(code)

    assert (status, body["error"]) == (400, "invalid_grant")
    assert await visitor.status(tokens["access_token"]) == 401
    assert (await visitor.refresh(tokens["refresh_token"]))[0] == 400


async def test_other_redirect_uri_in_the_exchange_is_refused(visitor: Visitor) -> None:
    status, body = await visitor.exchange(await visitor.code(), redirect_uri=REDIRECT_URI + "/")

    assert (status, body["error"]) == (400, "invalid_grant")


async def test_code_challenge_wants_its_verifier(visitor: Visitor) -> None:
    digest = hashlib.sha256(b"verifier").digest()
    challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    right = await visitor.code(code_challenge=challenge, code_challenge_method="S256")
    wrong = await visitor.code(code_challenge=challenge, code_challenge_method="S256")
    missing = await visitor.code(code_challenge=challenge, code_challenge_method="S256")

    assert (await visitor.exchange(right, code_verifier="verifier"))[0] == 200
    assert (await visitor.exchange(wrong, code_verifier="other"))[0] == 400
    assert (await visitor.exchange(missing))[0] == 400


# ── refresh ──


async def test_refresh_rotates_and_answers_without_token_type(visitor: Visitor) -> None:
    tokens = await visitor.log_in()
    status, fresh = await visitor.refresh(tokens["refresh_token"])

    assert status == 200
    assert fresh.keys() == {"access_token", "expires_in", "refresh_token"}
    assert fresh["refresh_token"] != tokens["refresh_token"]
    assert await visitor.status(fresh["access_token"]) == 200
    assert await visitor.status(tokens["access_token"]) == 200


async def test_refresh_token_presented_twice_ends_the_grant(
    visitor: Visitor, sandbox: Sandbox
) -> None:
    tokens = await visitor.log_in()
    _, fresh = await visitor.refresh(tokens["refresh_token"])
    status, body = await visitor.refresh(tokens["refresh_token"])

    assert (status, body["error"]) == (400, "invalid_grant")
    assert await visitor.status(fresh["access_token"]) == 401
    assert (await visitor.refresh(fresh["refresh_token"]))[0] == 400
    assert [p.reuse for p in sandbox.presentations] == [False, False, True, False]


async def test_grants_end_apart_from_each_other(visitor: Visitor) -> None:
    first, second = await visitor.log_in(), await visitor.log_in()
    await visitor.refresh(first["refresh_token"])
    await visitor.refresh(first["refresh_token"])

    assert await visitor.status(second["access_token"]) == 200


async def test_tokens_expire(visitor: Visitor, hands: Hands) -> None:
    tokens = await visitor.log_in()
    hands.at += 1799
    assert await visitor.status(tokens["access_token"]) == 401

    hands.at += 28 * 24 * 3600 - 1799
    assert (await visitor.refresh(tokens["refresh_token"]))[0] == 400


async def test_presentations_form_a_chain(visitor: Visitor, sandbox: Sandbox) -> None:
    tokens = await visitor.log_in()
    for _ in range(3):
        _, tokens = await visitor.refresh(tokens["refresh_token"])

    code, *refreshes = sandbox.presentations
    assert code.grant_type == "authorization_code"
    assert [p.generation for p in sandbox.presentations] == [1, 2, 3, 4]
    issued = [p.issued_refresh_token for p in sandbox.presentations]
    assert [p.value for p in refreshes] == issued[:-1]


async def test_no_secret_in_any_repr(visitor: Visitor, sandbox: Sandbox) -> None:
    tokens = await visitor.log_in()
    await visitor.refresh(tokens["refresh_token"])
    text = repr([sandbox.presentations, sandbox.settings])

    assert "sandbox-secret" not in text
    assert tokens["refresh_token"] not in text


# ── the request itself ──


@pytest.mark.parametrize(
    ("fields", "status", "error"),
    [
        ({"grant_type": "refresh_token", "client_secret": "wrong"}, 401, "invalid_client"),
        ({"grant_type": "refresh_token", "client_id": "wrong"}, 401, "invalid_client"),
        ({"grant_type": "refresh_token"}, 400, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": ""}, 400, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": "unknown"}, 400, "invalid_grant"),
        ({"grant_type": "authorization_code", "code": "unknown"}, 400, "invalid_grant"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({}, 400, "invalid_request"),
    ],
)
async def test_errors_are_those_of_rfc_6749(
    visitor: Visitor, fields: dict[str, str], status: int, error: str
) -> None:
    answered, body = await visitor.token(**fields)

    assert (answered, body["error"]) == (status, error)
    assert body.keys() == {"error", "error_description"}


async def test_json_body_and_basic_authentication_are_taken(
    visitor: Visitor, sandbox: Sandbox
) -> None:
    fields = {"grant_type": "authorization_code", "code": await visitor.code()}
    auth = aiohttp.encode_basic_auth("sandbox-client", "sandbox-secret")
    async with visitor.session.post(
        sandbox.token_endpoint, json=fields, headers={"Authorization": auth}
    ) as answer:
        assert answer.status == 200
        assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "authorization", ["Basic", "Basic !!!", "Basic bm9jb2xvbg==", "Bearer abc"]
)
async def test_unreadable_authentication_is_invalid_client(
    visitor: Visitor, sandbox: Sandbox, authorization: str
) -> None:
    async with visitor.session.post(
        sandbox.token_endpoint, data={}, headers={"Authorization": authorization}
    ) as answer:
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")


async def test_two_authentications_are_one_too_many(visitor: Visitor, sandbox: Sandbox) -> None:
    auth = aiohttp.encode_basic_auth("sandbox-client", "sandbox-secret")
    async with visitor.session.post(
        sandbox.token_endpoint,
        data={"client_secret": "sandbox-secret"},
        headers={"Authorization": auth},
    ) as answer:
        assert (await answer.json())["error"] == "invalid_request"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("{", "application/json"),
        ("[]", "application/json"),
        ('{"grant_type": 1}', "application/json"),
        ("grant_type=a&grant_type=b", "application/x-www-form-urlencoded"),
    ],
)
async def test_malformed_body_is_invalid_request(
    visitor: Visitor, sandbox: Sandbox, body: str, content_type: str
) -> None:
    async with visitor.session.post(
        sandbox.token_endpoint, data=body, headers={"Content-Type": content_type}
    ) as answer:
        assert (answer.status, (await answer.json())["error"]) == (400, "invalid_request")
