"""Allow rules at the gate, the OAuth endpoints, and what is never taken."""

import pytest

from proxy.errors import Problem
from proxy.gateway.guards import Route
from tests.gateway.guards.support import GATE, KEY, KEYED, OTHER_KEY, guards, head, peer_at, verdict


@pytest.mark.parametrize(
    ("key", "method", "target", "expected", "named"),
    [
        (KEY, b"GET", b"/candidates", "ok", ""),
        (KEY, b"HEAD", b"/candidates", "ok", ""),
        (KEY, b"POST", b"/candidates", "not_allowed", "reader"),
        (OTHER_KEY, b"POST", b"/candidates", "ok", ""),
        (OTHER_KEY, b"DELETE", b"/candidates", "not_allowed", "access.allow "),
        (OTHER_KEY, b"post", b"/candidates", "not_allowed", "access.allow "),
    ],
)
def test_a_key_s_rules_narrow_the_global_ones_and_the_refusal_says_which(
    key, method, target, expected, named
):
    request = head(target, method, x_api_key=key.encode())

    assert verdict(KEYED, request) == expected
    if expected != "ok":
        with pytest.raises(Problem, match=named):
            KEYED.check(request, Route.FORWARD, peer_at(None))


def test_rules_are_about_forwarded_calls():
    assert verdict(KEYED, head(b"/-/logout", b"POST", x_api_key=KEY.encode())) == "ok"


@pytest.mark.parametrize(
    "target",
    [
        b"/identity/oauth/token",
        b"/identity/oauth",
        b"/identity/oauth2",
        b"/identity/oauth/token?x=1",
        b"/IDENTITY/OAuth/token",
        b"/%69dentity/oauth/token",
        b"/identity%2foauth/token",
        b"/identity/oauth%2ftoken",
        b"/%2569dentity/oauth",
        b"//identity/oauth/token",
        b"/identity//oauth/token",
        b"/identity;x=1/oauth;y/token",
        b"/;/identity/oauth",
        b"/%5cidentity%5coauth",
        b"/x/%252e%252e/identity/oauth/token",
        b"/%252e/identity/oauth",
        b"/identity/%6Fauth",
        b"http://localhost:8080/identity/oauth/token",
    ],
)
def test_the_oauth_endpoints_are_not_a_caller_s_to_call(target):
    assert verdict(GATE, head(target)) == "not_allowed"


@pytest.mark.parametrize(
    "target",
    [b"/identity", b"/identity/users", b"/jobs?next=/identity/oauth/token", b"/x/identity/oauth"],
)
def test_look_alikes_of_the_oauth_endpoints_pass(target):
    assert verdict(GATE, head(target)) == "ok"


def test_a_path_prefix_of_the_upstream_does_not_open_the_oauth_endpoints():
    gate = guards(upstream={"url": "https://api.example.com/identity"})

    assert verdict(gate, head(b"/oauth/token")) == "not_allowed"
    assert verdict(gate, head(b"/oaths")) == "ok"
