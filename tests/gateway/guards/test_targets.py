"""Targets and methods: what is taken, what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import Problem
from proxy.gateway.guards import Route
from proxy.gateway.guards.targets import check_target
from tests.gateway.guards.support import (
    GATE,
    HOST,
    KEY,
    guards,
    head,
    is_plain,
    make_head,
    peer_at,
    verdict,
)

TAKEN = [
    b"/", b"/x", b"/x?", b"/x/", b"//x", b"/x//y", b"/x?a=b&c=%2F%2e%2e%2F", b"/x?y=/../z",
    b"/a%2Fb%20c;d=1+2/%41/%7e?q=%21!&r=a+b&e=&&s=%zz&j=[1]{}^", b"/a..b", b"/...", b"/.well-known",
    b"/x/..y", b"/x/.y", b"/x%2ey", b"/%2e%2e%2e", b"/x/%2ey", b"/%252e%252e/x", b"/x?#"[:-1],
    b'/"<>{}|^`', b"/x?%00%0d%0a", b"/candidates?pageId=ab%2Fcd%3D%3D", b"/%", b"/%zz",
    b"http://localhost/x", b"HTTPS://127.0.0.1:8080/x?y", b"http://localhost",
]  # fmt: skip
REFUSED = [
    b"", b"*", b"x", b"?q", b"@evil/x", b".evil.com/x", b":80@evil/", b"localhost:8080",
    b"ftp://localhost/x", b"http:/localhost/x", b"/x#y", b"/x?#y", b"/x\\..\\..", b"/\\evil/x",
    b"/caf\xe9", "/café".encode(), b"/x y", b"/x\ty", b"/x\x00", b"/x\x7f", b"/x?\r\nX: y",
    b"/..", b"/.", b"/x/..", b"/x/.", b"/x/../y", b"/./identity/oauth", b"/x/%2e%2e/y",
    b"/x/.%2E/y", b"/x/%2e", b"/%2E", b"/x/..%2fy", b"/x/%2e%2e%2fy", b"/x%2f..%2fy",
    b"/x/..;/y", b"/x/..;a=b/y", b"/x/.;y", b"/x/..%3bx", b"/%5c..", b"/x%5c..%5cy", b"/..?q",
    b"/%00", b"/x%00y", b"/%0d%0aX:1", b"/x%0A", b"http://localhost/../x", b"http://localhost#x",
    b"http://@localhost/x", b"http:///x",
]  # fmt: skip


@pytest.mark.parametrize("target", TAKEN)
def test_targets_that_read_in_one_way_are_taken(target):
    assert verdict(GATE, head(target, host=b"localhost" if b"://l" in target else b"127.0.0.1:8080"
        if b"://1" in target else HOST)) == "ok"  # fmt: skip


@pytest.mark.parametrize("target", REFUSED)
def test_targets_that_read_in_two_ways_are_refused(target):
    with pytest.raises(Problem) as caught:
        GATE.check(head(target, host=b"localhost"), Route.FORWARD, peer_at(None))

    assert (caught.value.code, caught.value.status) == ("bad_request", 400)
    assert not (len(target) > 3 and target.decode("latin-1") in caught.value.detail)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"http://evil.example/p", "bad_host"),
        (b"https://api.smartrecruiters.com/jobs", "bad_host"),
        (b"http://localhost.evil.com/p", "bad_host"),
        (b"http://u:p@localhost:8080/p", "bad_request"),
        (b"http://localhost:8080/p", "ok"),
        (b"http://127.0.0.1:8080/p", "bad_request"),
        (b"http://localhost:8081/p", "bad_request"),
    ],
)
def test_an_absolute_form_is_taken_when_it_is_about_us(target, expected):
    """Legacy tools send it; one that differs from Host could be read in two ways."""
    assert verdict(GATE, head(target)) == expected


@pytest.mark.parametrize("target", [b"/-/live", b"/candidates"])
@pytest.mark.parametrize("method", [b"TRACE", b"TRACK", b"CONNECT", b"trace"])
def test_methods_that_would_show_the_token_are_refused(method, target):
    with pytest.raises(Problem) as caught:
        GATE.check(head(target, method), Route.FORWARD, peer_at(None))

    assert (caught.value.code, caught.value.status) == ("bad_request", 405)
    assert dict(caught.value.headers)["Allow"].startswith("GET, HEAD, POST")


def test_connect_is_refused_as_a_method_whatever_its_target():
    with pytest.raises(Problem) as caught:
        GATE.check(head(b"evil.com:443", b"CONNECT"), Route.FORWARD, peer_at(None))

    assert caught.value.status == 405


@pytest.mark.parametrize("method", [b"PROPFIND", b"FOO", b"get", b"M-SEARCH"])
def test_other_methods_pass(method):
    assert verdict(GATE, head(method=method)) == "ok"


@pytest.mark.parametrize(
    ("upgrade", "expected"),
    [
        (b"websocket", "bad_request"),
        (b"WebSocket", "bad_request"),
        (b"h2c, websocket", "bad_request"),
        (b"h2c", "ok"),
        (b"TLS/1.2", "ok"),
    ],
)
def test_a_websocket_handshake_is_refused_and_another_offer_is_not(upgrade, expected):
    assert verdict(GATE, head(upgrade=upgrade)) == expected


@given(st.binary(max_size=60))
def test_the_fast_look_at_a_target_agrees_with_the_close_one(tail):
    target = b"/" + tail
    if is_plain(target):
        check_target(target)


TARGETS = [*TAKEN, *REFUSED, b"/candidates", b"/users", b"/users/", b"/identity/oauth/token",
           b"/IDENTITY/oauth", b"http://localhost:8080/jobs", b"http://evil.example/"]  # fmt: skip


@pytest.mark.parametrize("method", [b"GET", b"POST"])
@pytest.mark.parametrize("target", TARGETS)
def test_a_target_behind_headers_that_were_admitted_gets_the_verdict_of_any_other(target, method):
    gate = guards(
        access={
            "api_keys": [{"name": "reader", "key": KEY, "allow": ["* /candidates/**"]}],
            "allow": ["GET **", "POST /candidates", "POST /users"],
        }
    )
    first = head(b"/candidates", method, x_api_key=KEY.encode())
    request = head(target, method, x_api_key=KEY.encode())
    told: list[object] = []
    for again in (False, True):
        try:
            if again:
                admission = gate.check(first, Route.FORWARD, peer_at(None))
                gate.check_again(request, peer_at(None), admission)
            else:
                gate.check(request, Route.FORWARD, peer_at(None))
            told.append("ok")
        except Problem as problem:
            told.append((problem.code, problem.detail, problem.caller))

    assert told[0] == told[1]


@given(st.binary(max_size=80), st.binary(max_size=80), st.binary(max_size=40))
def test_no_bytes_stop_the_guards(target, host, origin):
    request = make_head(b"GET", target, 1, {b"host": host, b"origin": origin})

    assert verdict(GATE, request) in {
        "bad_request", "bad_host", "cross_origin", "not_allowed", "ok",
    }  # fmt: skip
