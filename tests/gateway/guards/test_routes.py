"""Whose a target is, and what of it goes upstream."""

import pytest

from proxy.gateway.guards import Route, origin_form
from tests.gateway.guards.support import GATE, guards, head, verdict


@pytest.mark.parametrize(
    ("target", "route"),
    [
        (b"/", Route.FORWARD),
        (b"/-", Route.FORWARD),
        (b"/--/", Route.FORWARD),
        (b"//-/", Route.FORWARD),
        (b"/%2d/live", Route.FORWARD),
        (b"/candidates", Route.FORWARD),
        (b"/candidates?x=/-/live", Route.FORWARD),
        (b"*", Route.FORWARD),
        (b"/-/", Route.PAGE),
        (b"/-/?account=default", Route.PAGE),
        (b"/-/live", Route.LIVE),
        (b"/-/live?x", Route.LIVE),
        (b"/-/live/", Route.CONTROL),
        (b"/-/ready", Route.READY),
        (b"/-/metrics", Route.METRICS),
        (b"/-/login", Route.LOGIN),
        (b"/-/login?account=default", Route.LOGIN),
        (b"/-/login/complete", Route.CONTROL),
        (b"/-/nothing", Route.CONTROL),
        (b"/-/callback", Route.CALLBACK),
        (b"/-/callback?code=1&state=2", Route.CALLBACK),
        (b"/-/callback/", Route.CONTROL),
        (b"/-/callbacks", Route.CONTROL),
        (b"http://localhost:8080/-/live", Route.LIVE),
        (b"HTTP://localhost", Route.FORWARD),
    ],
)
def test_a_target_belongs_to_a_route_by_its_path(target, route):
    assert GATE.classify(head(target)) is route


def test_the_callback_is_the_path_of_the_redirect_uri():
    gate = guards(oauth={"redirect_uri": "https://proxy.example.com/oauth/return?tenant=1"})

    assert gate.classify(head(b"/oauth/return?code=x")) is Route.CALLBACK
    assert gate.classify(head(b"/-/callback")) is Route.CONTROL


def test_each_account_has_a_callback_and_its_host():
    other = {"oauth": {"client_id": "b", "redirect_uri": "https://acme.example.com/acme/return"}}
    gate = guards(accounts={"acme": other})

    assert gate.classify(head(b"/acme/return?code=x")) is Route.CALLBACK
    assert gate.classify(head(b"/acme/returns")) is Route.FORWARD
    assert gate.classify(head(b"/-/callback?code=x")) is Route.CALLBACK
    assert verdict(gate, head(b"/acme/return?code=x", host=b"acme.example.com")) == "ok"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/a%2Fb?", b"/a%2Fb?"),
        (b"//x//", b"//x//"),
        (b"http://localhost:8080/a?b", b"/a?b"),
        (b"https://localhost", b"/"),
        (b"http://localhost?q", b"/?q"),
        (b"http://localhost//x", b"//x"),
    ],
)
def test_only_an_authority_is_taken_off_a_target(target, expected):
    assert origin_form(target) == expected
