"""Several grants in one configuration: what each takes from above, and what is refused."""

from collections.abc import Mapping
from typing import Any

import pytest

from proxy.config import Config
from proxy.config.model import AccountConfig
from proxy.config.section import Key, Shape
from proxy.config.values import text
from proxy.errors import ConfigurationError

APP = {"client_id": "app", "client_secret": "app-secret", "scopes": ["a"]}


def problems(**mapping):
    with pytest.raises(ConfigurationError) as caught:
        Config.build({"oauth": APP, **mapping})
    return list(caught.value.problems)


def test_default_is_always_among_the_accounts():
    config = Config.build({"oauth": APP})

    assert list(config.accounts) == ["default"]
    assert config.accounts["default"].name == "default"
    assert config.accounts["default"].oauth == config.oauth
    assert config.accounts["default"].kind == "authorization_code"


def test_what_an_account_does_not_name_comes_from_above():
    config = Config.build(
        {"oauth": APP, "accounts": {"acme": {"oauth": {"client_id": "other"}}, "same": None}}
    )

    acme = config.accounts["acme"]
    assert (acme.name, acme.oauth.client_id, acme.oauth.scopes) == ("acme", "other", ("a",))
    assert acme.oauth.client_secret.reveal() == "app-secret"
    assert config.accounts["same"].oauth == config.oauth
    assert config.oauth.client_id == "app"


def test_a_key_of_accounts_that_is_declared_above_too_is_inherited(monkeypatch):
    label = Key(Shape.VALUE, "", "", text)
    kinds: list[Any] = [*Config.__bases__, Config, AccountConfig]
    for kind in kinds:
        monkeypatch.setattr(kind, "_fields", {**kind._fields, "label": label})
        monkeypatch.setattr(kind, "label", "", raising=False)

    config = Config.build(
        {"oauth": APP, "label": "above", "accounts": {"same": None, "own": {"label": "own"}}}
    )

    accounts: Mapping[str, Any] = config.accounts
    labels = {name: account.label for name, account in accounts.items()}
    assert labels == {"default": "above", "same": "above", "own": "own"}


def test_an_account_can_go_back_to_a_default():
    config = Config.build(
        {"oauth": {**APP, "timeout": 5}, "accounts": {"acme": {"oauth": {"timeout": 30}}}}
    )

    assert config.accounts["acme"].oauth.timeout == 30


@pytest.mark.parametrize(
    ("top", "own", "kind"),
    [
        ({"oauth": APP}, {}, "authorization_code"),
        ({"oauth": APP}, {"smart_token": "t"}, "smart_token"),
        ({"oauth": APP}, {"oauth": {"grant_type": "client_credentials"}}, "client_credentials"),
        ({"smart_token": "t"}, {}, "smart_token"),
        ({"smart_token": "t"}, {"oauth": APP}, "authorization_code"),
        ({"smart_token": "t", "oauth": APP}, {"smart_token": None}, "authorization_code"),
    ],
)
def test_the_kind_of_an_account(top, own, kind):
    assert Config.build({**top, "accounts": {"x": own}}).accounts["x"].kind == kind


def test_an_api_key_needs_no_app():
    config = Config.build({"smart_token": "t"})

    assert config.accounts["default"].kind == "smart_token"
    assert config.smart_token is not None
    assert config.smart_token.reveal() == "t"


def test_a_missing_app_is_said_once_where_it_is_missing():
    with pytest.raises(ConfigurationError) as caught:
        Config.build({"accounts": {"acme": {"oauth": {"scopes": ["a"]}}}})

    assert [line.split(":")[0] for line in caught.value.problems] == [
        "oauth.client_id",
        "oauth.client_secret",
    ]

    with pytest.raises(ConfigurationError) as caught:
        Config.build({"smart_token": "t", "accounts": {"acme": {"oauth": {"client_id": "b"}}}})

    assert [line.split(":")[0] for line in caught.value.problems] == [
        "accounts.acme.oauth.client_secret"
    ]


@pytest.mark.parametrize(
    ("mapping", "line"),
    [
        ({"accounts": {"default": {}}}, "accounts.default: is the account that the top level"),
        ({"accounts": {"Acme": {}}}, 'accounts.Acme: "Acme" is no name for an account'),
        ({"accounts": ["acme"]}, "accounts: a list is not a mapping"),
        ({"accounts": {"acme": "x"}}, "accounts.acme: is not a mapping"),
        ({"accounts": {"acme": {"name": "x"}}}, "accounts.acme.name: is not a key"),
        (
            {"accounts": {"acme": {"oauth": {"scope": ["x"]}}}},
            "accounts.acme.oauth.scope: is not a key; did you mean accounts.acme.oauth.scopes?",
        ),
        (
            {"accounts": {"acme": {"smart_token": "canary\n"}}},
            "accounts.acme.smart_token: has control characters",
        ),
        (
            {"access": {"api_keys": [{"name": "a", "key": "k", "account": "nobody"}]}},
            'access.api_keys[0].account: "nobody" is no account of this configuration',
        ),
    ],
)
def test_refused_accounts(mapping, line):
    (found,) = problems(**mapping)

    assert found.startswith(line)
    assert "canary" not in found
