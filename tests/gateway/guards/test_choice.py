"""Which account serves a call."""

import pytest

from proxy.errors import Problem
from proxy.gateway.guards import Guards, Route
from proxy.gateway.http1 import RequestHead
from tests.gateway.guards.support import KEY, OTHER_KEY, guards, head, peer_at

ACCOUNTS = {"acme": {"oauth": {"client_id": "other", "client_secret": "t" * 20}}}
GATE = guards(accounts=ACCOUNTS)
KEYED = guards(
    accounts=ACCOUNTS,
    access={
        "api_keys": [
            {"name": "bound", "key": KEY, "account": "acme"},
            {"name": "free", "key": OTHER_KEY},
        ]
    },
)
ALONE = guards()


def outcome(gate: Guards, request: RequestHead) -> str:
    try:
        return gate.check(request, Route.FORWARD, peer_at(None)).account
    except Problem as problem:
        return f"{problem.status} {problem.code}"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "default"),
        ({"x_srproxy_account": b"acme"}, "acme"),
        ({"x_srproxy_account": b"default"}, "default"),
        ({"x_srproxy_account": b"nobody"}, "404 unknown_account"),
        ({"x_srproxy_account": b""}, "404 unknown_account"),
        ({"x_srproxy_account": b"acme, acme"}, "404 unknown_account"),
        ({"host": b"acme.localhost:8080"}, "acme"),
        ({"host": b"ACME.LOCALHOST"}, "acme"),
        ({"host": b"default.localhost"}, "default"),
        ({"host": b"nobody.localhost"}, "404 unknown_account"),
        ({"host": b"a.acme.localhost"}, "default"),
        ({"host": b"localhost"}, "default"),
        ({"host": b"127.0.0.1:8080"}, "default"),
        ({"host": b"[::1]:8080"}, "default"),
        # The header is the caller's plainer word.
        ({"host": b"acme.localhost", "x_srproxy_account": b"default"}, "default"),
    ],
)
def test_the_header_then_the_hosts_label_then_the_default(fields, expected):
    assert outcome(GATE, head(**fields)) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "acme"),
        ({"x_srproxy_account": b"acme"}, "acme"),
        ({"host": b"acme.localhost"}, "acme"),
        ({"x_srproxy_account": b"default"}, "403 not_allowed"),
        ({"host": b"default.localhost"}, "403 not_allowed"),
        # Which names exist is not told to a key that is bound.
        ({"x_srproxy_account": b"nobody"}, "403 not_allowed"),
    ],
)
def test_a_bound_key_gets_its_account_and_no_other(fields, expected):
    assert outcome(KEYED, head(x_api_key=KEY.encode(), **fields)) == expected


def test_a_key_that_is_not_bound_may_choose():
    assert outcome(KEYED, head(x_api_key=OTHER_KEY.encode())) == "default"
    assert outcome(KEYED, head(x_api_key=OTHER_KEY.encode(), x_srproxy_account=b"acme")) == "acme"


def test_without_accounts_the_label_means_nothing():
    assert outcome(ALONE, head(host=b"acme.localhost")) == "default"
    assert outcome(ALONE, head(x_srproxy_account=b"acme")) == "404 unknown_account"
