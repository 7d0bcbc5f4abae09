"""Tools that insist on asking for a token themselves: requests-oauthlib and authlib, as used."""

import pytest
from authlib.integrations.requests_client import (  # type: ignore[import-untyped]
    OAuth2Session as AuthlibSession,
)
from oauthlib.oauth2 import BackendApplicationClient  # type: ignore[import-untyped]
from requests_oauthlib import OAuth2Session  # type: ignore[import-untyped]

from tests.e2e.conftest import Person, Proxy

KEY = "k" * 24


@pytest.fixture(autouse=True)
def _authorized(person: Person) -> None:
    person.log_in()


@pytest.fixture
def token_url(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> str:
    # oauthlib asks for https; the proxy of these tests is on the loopback.
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    return f"{proxy.url}/identity/oauth/token"


@pytest.mark.parametrize("in_body", [True, False], ids=["in the body", "by Basic"])
def test_requests_oauthlib_gets_a_token_and_calls_with_it(
    proxy: Proxy, token_url: str, in_body: bool
) -> None:
    session = OAuth2Session(client=BackendApplicationClient(client_id="a-tool"))
    token = session.fetch_token(
        token_url, client_id="a-tool", client_secret="its secret", include_client_id=in_body
    )
    answer = session.get(f"{proxy.url}/users/me", timeout=20)

    assert token["token_type"] == "bearer"
    assert answer.json()["lastName"] == "Lindqvist"


@pytest.mark.parametrize("method", ["client_secret_post", "client_secret_basic"])
def test_authlib_gets_a_token_refreshes_it_and_calls_with_it(
    proxy: Proxy, token_url: str, method: str
) -> None:
    with AuthlibSession("a-tool", "its secret", token_endpoint_auth_method=method) as session:
        session.fetch_token(token_url, grant_type="client_credentials")
        session.refresh_token(token_url)
        answer = session.get(f"{proxy.url}/users/me", timeout=20)

    assert answer.json()["lastName"] == "Lindqvist"
