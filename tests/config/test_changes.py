"""What a running server takes up of a changed configuration, and what needs a restart."""

import pytest

from proxy.config import Config
from proxy.config.changes import compare
from proxy.config.model import AccountConfig
from proxy.config.section import Key, Shape
from proxy.config.values import text

APP = {"client_id": "app", "client_secret": "old", "scopes": ["a"]}
KEY = {"name": "tool", "key": "k"}


def config(**mapping):
    return Config.build({"oauth": APP, **mapping})


def changes(old, new):
    found = compare(old, new)
    return list(found.taken_up), list(found.need_restart)


def test_the_same_configuration_has_no_changes():
    mapping = {
        "access": {"api_keys": [KEY]},
        "accounts": {"acme": {"smart_token": "t"}, "b": {"oauth": {"client_id": "x"}}},
        "tokens": {"encryption_key": "0123456789abcdef"},
    }

    found = compare(config(**mapping), config(**mapping))

    assert (found.taken_up, found.need_restart) == ((), ())
    assert found.config == config(**mapping)


@pytest.mark.parametrize(
    ("mapping", "key"),
    [
        ({"access": {"api_keys": [KEY]}}, "access.api_keys"),
        ({"access": {"allow": ["GET **"]}}, "access.allow"),
        ({"access": {"dry_run": True}}, "access.dry_run"),
        ({"limits": {"rules": ["1/s * **"]}}, "limits.rules"),
        ({"log": {"level": "debug"}}, "log.level"),
        ({"log": {"audit_file": "/a"}}, "log.audit_file"),
        ({"inspect": {"enabled": True}}, "inspect.enabled"),
        ({"oauth": {**APP, "client_secret": "new"}}, "oauth.client_secret"),
        ({"oauth": {**APP, "scopes": ["b"]}}, "oauth.scopes"),
    ],
)
def test_what_is_taken_up(mapping, key):
    found = compare(config(), config(**mapping))

    assert (found.taken_up, found.need_restart) == ((key,), ())
    assert found.config == config(**mapping)


@pytest.mark.parametrize(
    ("mapping", "key"),
    [
        ({"listen": {"port": 1}}, "listen.port"),
        ({"listen": {"tls": {"cert_file": "/c"}}}, "listen.tls.cert_file"),
        ({"oauth": {**APP, "client_id": "other"}}, "oauth.client_id"),
        ({"upstream": {"url": "https://h"}}, "upstream.url"),
        ({"tokens": {"redis": {"prefix": "x"}}}, "tokens.redis.prefix"),
        ({"smart_token": "t"}, "smart_token"),
        ({"accounts": {"acme": {}}}, "accounts.acme"),
        ({"notify": {"command": ["x"]}}, "notify.command"),
    ],
)
def test_what_needs_a_restart(mapping, key):
    found = compare(config(), config(**mapping))

    assert (found.taken_up, found.need_restart) == ((), (key,))
    assert found.config == config()


def test_both_at_once():
    found = compare(config(), config(listen={"port": 1}, log={"level": "debug"}))

    assert (found.taken_up, found.need_restart) == (("log.level",), ("listen.port",))
    assert found.config == config(log={"level": "debug"})


def test_a_change_above_is_said_once_and_reaches_the_accounts():
    accounts = {"acme": {"oauth": {"client_id": "x"}}, "own": {"oauth": {"client_secret": "y"}}}
    old = config(accounts=accounts)
    new = config(oauth={**APP, "client_secret": "new"}, accounts=accounts)

    found = compare(old, new)

    assert (found.taken_up, found.need_restart) == (("oauth.client_secret",), ())
    secrets = {name: a.oauth.client_secret.reveal() for name, a in found.config.accounts.items()}
    assert secrets == {"default": "new", "acme": "new", "own": "y"}


def test_a_change_of_one_account_is_said_of_it():
    def accounts(token, client_id):
        return {"bulk": {"smart_token": token}, "acme": {"oauth": {"client_id": client_id}}}

    assert changes(config(accounts=accounts("a", "b")), config(accounts=accounts("A", "B"))) == (
        ["accounts.bulk.smart_token"],
        ["accounts.acme.oauth.client_id"],
    )


def test_a_key_that_only_accounts_have_is_compared_too(monkeypatch):
    label = Key(Shape.VALUE, "", "", text)
    monkeypatch.setattr(AccountConfig, "_fields", {**AccountConfig._fields, "label": label})
    monkeypatch.setattr(AccountConfig, "label", "", raising=False)
    acme = {"oauth": {"client_id": "x"}}
    before = config(accounts={"acme": acme})
    after = config(accounts={"acme": {**acme, "label": "new"}})

    assert changes(before, after) == ([], ["accounts.acme.label"])


def test_renewed_files_of_tls_are_taken_up_and_tls_itself_is_not_switched():
    def tls(**values):
        return config(listen={"tls": values})

    assert changes(tls(cert_file="/a"), tls(cert_file="/b", key_file="/k")) == (
        ["listen.tls.cert_file", "listen.tls.key_file"],
        [],
    )
    assert changes(tls(cert_file="/a"), tls()) == ([], ["listen.tls.cert_file"])


def test_nothing_is_taken_up_that_would_be_open_without_the_restart():
    old = config(listen={"host": "0.0.0.0"}, access={"api_keys": [KEY]})
    new = config(listen={"host": "localhost"}, log={"level": "debug"})

    found = compare(old, new)

    assert found.taken_up == ()
    assert found.need_restart == ("listen.host", "access.api_keys", "log.level")
    assert found.config is old
