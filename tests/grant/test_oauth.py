"""OAuth as messages: URLs, requests, and what an answer means."""

import base64
import json
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config import Config, OAuthConfig
from proxy.errors import Outcome, TokenEndpointError
from proxy.grant.oauth import (
    REFRESH_LIFETIME,
    TokenSet,
    build_authorization_url,
    build_exchange_request,
    build_refresh_request,
    parse_callback,
    parse_lifetime,
    parse_retry_after,
    parse_token_response,
)
from proxy.system.secret import Secret

NOW = 1_790_000_000.0


def make_oauth(**changes: Any) -> OAuthConfig:
    settings = {"client_id": "my app", "client_secret": "s3cret&+/%ü-0123456789"}
    return Config.build({"oauth": {**settings, **changes}}).oauth


def parse(status: int, body: object, **options: Any) -> TokenSet:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return parse_token_response(status, data, requested_at=NOW, **options)


def failure(status: int, body: object, **options: Any) -> TokenEndpointError:
    with pytest.raises(TokenEndpointError) as caught:
        parse(status, body, **options)
    return caught.value


def test_the_authorization_url_has_everything_once() -> None:
    oauth = make_oauth(scopes=["candidates_read", "jobs_read"])

    url = build_authorization_url(oauth, "the-state", None)

    assert url.startswith("https://www.smartrecruiters.com/identity/oauth/allow?")
    assert "scope=candidates_read%20jobs_read" in url
    assert parse_qsl(urlsplit(url).query) == [
        ("response_type", "code"),
        ("client_id", "my app"),
        ("redirect_uri", "http://localhost:8080/-/callback"),
        ("scope", "candidates_read jobs_read"),
        ("state", "the-state"),
    ]


def test_an_empty_scope_is_left_out() -> None:
    assert "scope" not in build_authorization_url(make_oauth(), "s", None)


@pytest.mark.parametrize(
    "uri", ["http://localhost:8080/-/callback", "https://Tools.example.com/OAuth/back/?x=1&y=%20"]
)
def test_the_redirect_uri_is_byte_for_byte(uri: str) -> None:
    oauth = make_oauth(redirect_uri=uri)

    query = urlsplit(build_authorization_url(oauth, "s", None)).query
    body = build_exchange_request(oauth, Secret("c"), None).body.decode()

    assert parse_qs(query)["redirect_uri"] == [uri]
    assert parse_qs(body)["redirect_uri"] == [uri]


def test_pkce_is_s256() -> None:
    url = build_authorization_url(make_oauth(), "s", "the-challenge")

    query = parse_qs(urlsplit(url).query)
    assert query["code_challenge"] == ["the-challenge"]
    assert query["code_challenge_method"] == ["S256"]


def test_extra_parameters_are_added() -> None:
    oauth = make_oauth(authorization_params={"response_type": "code", "prompt": "log in"})

    url = build_authorization_url(oauth, "s", None)

    assert "?response_type=code&prompt=log%20in&client_id=" in url


def test_a_callback_with_a_code() -> None:
    callback = parse_callback("code=a%2Bb&state=s&foo=1&foo=2")

    assert callback.code is not None
    assert (callback.code.reveal(), callback.state, callback.error) == ("a+b", "s", None)


def test_a_declines_code_is_no_code() -> None:
    callback = parse_callback("error=access_denied&error_description=User%20declined&code=500")

    assert (callback.code, callback.error) == (None, "access_denied")
    assert callback.error_description == "User declined"
    assert callback.state is None


@pytest.mark.parametrize(
    "query",
    ["code=a&code=b", "code=a&code=a", "state=a&code=c&state=b", "error=x&error=y", "code=%ff",
     "iss=a&iss=b", "&".join(f"a{n}=1" for n in range(200))],
)  # fmt: skip
def test_an_ambiguous_callback_is_refused(query: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_callback(query)


@given(st.text())
def test_any_query_is_read_or_refused(query: str) -> None:
    try:
        callback = parse_callback(query)
    except ValueError:
        return
    assert callback.error is None or callback.code is None


def test_an_exchange_as_a_form() -> None:
    request = build_exchange_request(make_oauth(), Secret("the code"), Secret("verifier"))

    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert "Authorization" not in request.headers
    assert parse_qs(request.body.decode()) == {
        "grant_type": ["authorization_code"],
        "code": ["the code"],
        "redirect_uri": ["http://localhost:8080/-/callback"],
        "code_verifier": ["verifier"],
        "client_id": ["my app"],
        "client_secret": ["s3cret&+/%ü-0123456789"],
    }


def test_a_refresh_as_json_with_basic() -> None:
    oauth = make_oauth(token_request_format="json", client_authentication="client_secret_basic")

    request = build_refresh_request(oauth, Secret("the-token"))

    assert request.headers["Content-Type"] == "application/json"
    assert json.loads(request.body) == {
        "grant_type": "refresh_token",
        "refresh_token": "the-token",
    }
    encoded = request.headers["Authorization"].removeprefix("Basic ")
    assert base64.b64decode(encoded) == b"my+app:s3cret%26%2B%2F%25%C3%BC-0123456789"


def test_requests_and_tokens_print_no_secret() -> None:
    tokens = parse(200, {"access_token": "canary-a", "refresh_token": "canary-r"})
    callback = parse_callback("code=canary-c")

    assert "canary" not in f"{tokens} {tokens!r} {callback} {callback!r}"


def test_a_regular_answer() -> None:
    answer = {"token_type": "bearer", "access_token": "a", "expires_in": 1799, "refresh_token": "r"}

    tokens = parse(200, answer, scopes=("jobs_read",))

    assert tokens.access_token.reveal() == "a"
    assert tokens.refresh_token is not None
    assert tokens.refresh_token.reveal() == "r"
    assert (tokens.issued_at, tokens.expires_at) == (NOW, NOW + 1799)
    assert tokens.refresh_expires_at == NOW + REFRESH_LIFETIME
    assert tokens.scopes == ("jobs_read",)


def test_scopes_of_the_answer_come_before_those_asked_for() -> None:
    answer = {"access_token": "a", "scope": "users_read jobs_read"}

    assert parse(200, answer, scopes=("x",)).scopes == ("users_read", "jobs_read")


def test_without_a_refresh_token_the_previous_stays_and_its_28_days_begin_anew() -> None:
    previous = parse(200, {"access_token": "a", "refresh_token": "r", "scope": "jobs_read"})

    tokens = parse_token_response(
        200, b'{"access_token": "b"}', requested_at=NOW + 1000, previous=previous
    )

    assert tokens.refresh_token is previous.refresh_token
    assert tokens.refresh_issued_at == NOW
    assert tokens.refresh_expires_at == NOW + 1000 + REFRESH_LIFETIME
    assert tokens.scopes == ("jobs_read",)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(1799, 1799), ("1799", 1799), (" 60 ", 60), (0.5, 0.5), (None, 1799), (0, 1799), (-1, 1799),
     ("", 1799), ("1h", 1799), (False, 1799), (True, 1799), ({}, 1799),
     pytest.param(2**2000, 86400, id="huge"), (float("inf"), 86400),
     (float("nan"), 1799), (86401, 86400)],
)  # fmt: skip
def test_lifetimes(value: object, seconds: float) -> None:
    assert parse_lifetime(value) == seconds


VERDICTS: list[tuple[int, object, Outcome, str]] = [
    (400, {"error": "invalid_grant"}, Outcome.INVALID_GRANT, "invalid_grant"),
    (401, {"error": "invalid_grant"}, Outcome.INVALID_GRANT, "invalid_grant"),
    (400, {"error": "invalid_client"}, Outcome.NOT_SPENT, "invalid_client"),
    (401, {"error": "invalid_client"}, Outcome.NOT_SPENT, "invalid_client"),
    (401, b"<html>", Outcome.NOT_SPENT, "invalid_client"),
    (400, {"error": "invalid_request"}, Outcome.NOT_SPENT, "invalid_request"),
    (400, {"message": "x", "errors": [{"code": "invalid_grant"}]}, Outcome.NOT_SPENT, "http_400"),
    (400, {"error": "Invalid_Grant"}, Outcome.NOT_SPENT, "http_400"),
    (400, {"error": ["invalid_grant"]}, Outcome.NOT_SPENT, "http_400"),
    (400, b"invalid_grant", Outcome.NOT_SPENT, "http_400"),
    (400, b"", Outcome.NOT_SPENT, "http_400"),
    (404, b"<html>", Outcome.NOT_SPENT, "http_404"),
    (429, {"message": "x"}, Outcome.NOT_SPENT, "http_429"),
    (503, b"", Outcome.NOT_SPENT, "http_503"),
    (503, {"error": "invalid_grant"}, Outcome.NOT_SPENT, "http_503"),
    (500, b"", Outcome.UNKNOWN, "http_500"),
    (500, {"error": "invalid_grant"}, Outcome.UNKNOWN, "http_500"),
    (502, b"<html>", Outcome.UNKNOWN, "http_502"),
    (504, b"", Outcome.UNKNOWN, "http_504"),
    (302, b"", Outcome.UNKNOWN, "http_302"),
    (200, {}, Outcome.UNKNOWN, "unusable_answer"),
    (200, b"", Outcome.UNKNOWN, "unusable_answer"),
    (200, b"<html>", Outcome.UNKNOWN, "unusable_answer"),
    (200, [], Outcome.UNKNOWN, "unusable_answer"),
    (200, b"[" * 100_000, Outcome.UNKNOWN, "unusable_answer"),
    (200, {"error": "invalid_grant"}, Outcome.UNKNOWN, "unusable_answer"),
    (200, {"access_token": ""}, Outcome.UNKNOWN, "unusable_answer"),
    (200, {"access_token": 5}, Outcome.UNKNOWN, "unusable_answer"),
    (200, {"access_token": "a\r\nX: y"}, Outcome.UNKNOWN, "unusable_answer"),
    (200, {"access_token": "ü"}, Outcome.UNKNOWN, "unusable_answer"),
    (200, {"access_token": "a", "token_type": "mac"}, Outcome.UNKNOWN, "unusable_answer"),
    (204, b"", Outcome.UNKNOWN, "unusable_answer"),
]


@pytest.mark.parametrize(("status", "body", "outcome", "reason"), VERDICTS)
def test_failures_are_told_apart(status: int, body: object, outcome: Outcome, reason: str) -> None:
    error = failure(status, body)

    assert (error.outcome, error.reason) == (outcome, reason)


@pytest.mark.parametrize("status", [400, 401, 500, 503, 200])
def test_an_echoed_secret_is_not_repeated(status: int) -> None:
    body = {"error": "canary-secret", "error_description": "canary-secret", "message": "canary"}

    error = failure(status, body, retry_after="canary")

    assert "canary" not in f"{error} {error!r} {error.detail} {error.reason}"


@given(st.integers(100, 599), st.binary(max_size=200))
def test_any_answer_is_tokens_or_a_verdict(status: int, body: bytes) -> None:
    error = failure(status, body)

    assert (error.outcome is Outcome.UNKNOWN) == (status != 503 and not 400 <= status < 500)


def test_retry_after_is_seconds_or_nothing() -> None:
    assert parse_retry_after("12") == 12
    assert parse_retry_after(" 0 ") == 0
    for value in (None, "", "-1", "1.5", "Wed, 21 Oct 2026 07:28:00 GMT", "9" * 30):
        assert parse_retry_after(value) is None
    assert failure(503, b"", retry_after="7").retry_after == 7
