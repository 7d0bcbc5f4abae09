"""OAuth as messages: URLs, requests, and what an answer means."""

import base64
import json
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config import Config, OAuthConfig
from proxy.grant.oauth import (
    build_authorization_url,
    build_exchange_request,
    build_refresh_request,
    parse_callback,
)
from proxy.system.secret import Secret


def make_oauth(**changes: Any) -> OAuthConfig:
    settings = {"client_id": "my app", "client_secret": "s3cret&+/%ü-0123456789"}
    return Config.build({"oauth": {**settings, **changes}}).oauth


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
