"""Web pages: Origin, Fetch Metadata and CORS, as truth tables."""

import pytest

from proxy.gateway.guards import Admission, Route
from tests.gateway.guards.support import CORS, GATE, HOST, KEY, guards, head, peer_at, verdict


@pytest.mark.parametrize(
    ("host", "origin", "expected"),
    [
        (HOST, b"http://localhost:8080", "ok"),
        (HOST, b"https://localhost:8080", "ok"),
        (HOST, b"HTTP://LOCALHOST:8080", "ok"),
        (b"localhost", b"http://localhost", "ok"),
        (b"localhost:80", b"http://localhost", "ok"),
        (b"localhost:443", b"https://localhost", "ok"),
        (b"localhost:443", b"http://localhost", "cross_origin"),
        (HOST, b"http://localhost:9999", "cross_origin"),
        (HOST, b"http://localhost", "cross_origin"),
        (HOST, b"http://127.0.0.1:8080", "cross_origin"),
        (HOST, b"https://evil.com", "cross_origin"),
        (HOST, b"https://localhost:8080.evil.com", "cross_origin"),
        (HOST, b"null", "cross_origin"),
        (HOST, b"", "cross_origin"),
        (HOST, b"file://", "cross_origin"),
        (HOST, b"chrome-extension://abc", "cross_origin"),
        (HOST, b"http://localhost:8080, http://evil.com", "cross_origin"),
        (HOST, b"http://x@localhost:8080", "cross_origin"),
        (HOST, b"http://localhost:8080/", "cross_origin"),
        (HOST, b"\xff" * 2000, "cross_origin"),
        (HOST, b"https://tool.example.com", "cross_origin"),
    ],
)
@pytest.mark.parametrize("target", [b"/candidates", b"/-/logout", b"/-/events"])
def test_an_origin_other_than_the_request_s_own_is_refused(host, origin, expected, target):
    for method in (b"GET", b"POST"):
        assert verdict(GATE, head(target, method, host=host, origin=origin)) == expected


@pytest.mark.parametrize(
    ("site", "expected"),
    [
        (b"none", "ok"),
        (b"same-origin", "ok"),
        (b"same-site", "cross_origin"),
        (b"cross-site", "cross_origin"),
        (b"Cross-Site", "cross_origin"),
        (b"same-origin, cross-site", "cross_origin"),
    ],
)
@pytest.mark.parametrize("target", [b"/candidates", b"/-/status", b"/-/", b"/-/callback?code=x"])
def test_fetch_metadata_tells_what_carries_no_origin(site, expected, target):
    request = head(target, sec_fetch_site=site, sec_fetch_mode=b"no-cors", sec_fetch_dest=b"image")

    assert verdict(GATE, request) == expected


def test_an_own_origin_does_not_outweigh_fetch_metadata():
    request = head(origin=b"http://localhost:8080", sec_fetch_site=b"cross-site")

    assert verdict(GATE, request) == "cross_origin"


@pytest.mark.parametrize(
    ("target", "method", "mode", "dest", "expected"),
    [
        (b"/-/callback?code=x", b"GET", b"navigate", b"document", "ok"),
        (b"/-/", b"GET", b"navigate", b"document", "ok"),
        (b"/-/login?account=default", b"GET", b"navigate", b"document", "ok"),
        (b"/-/login", b"POST", b"navigate", b"document", "cross_origin"),
        (b"/-/callback?code=x", b"POST", b"navigate", b"document", "cross_origin"),
        (b"/-/callback?code=x", b"GET", b"navigate", b"iframe", "cross_origin"),
        (b"/-/callback?code=x", b"GET", b"no-cors", b"image", "cross_origin"),
        (b"/-/", b"GET", b"navigate", b"", "cross_origin"),
        (b"/-/status", b"GET", b"navigate", b"document", "cross_origin"),
        (b"/-/login/complete", b"GET", b"navigate", b"document", "cross_origin"),
        (b"/candidates", b"GET", b"navigate", b"document", "cross_origin"),
    ],
)
def test_a_person_may_be_led_to_three_pages(target, method, mode, dest, expected):
    for origin in (None, b"https://www.smartrecruiters.com", b"null"):
        request = head(
            target,
            method,
            origin=origin,
            sec_fetch_site=b"cross-site",
            sec_fetch_mode=mode,
            sec_fetch_dest=dest,
        )

        assert verdict(GATE, request) == expected


def test_programs_send_none_of_these_headers_and_pass():
    assert GATE.check(head(user_agent=b"curl/8"), Route.FORWARD, peer_at(None)) == Admission()


def test_an_allowed_origin_may_call_from_another_site():
    request = head(origin=b"https://tool.example.com", sec_fetch_site=b"cross-site")
    admission = CORS.check(request, Route.FORWARD, peer_at(None))

    assert admission.origin == b"https://tool.example.com"
    assert dict(CORS.cors_headers(request, admission))[b"Access-Control-Allow-Origin"] == (
        b"https://tool.example.com"
    )


@pytest.mark.parametrize("origin", [b"null", b"https://tool.example.com:444", b"http://evil.com"])
def test_other_origins_stay_refused_beside_allowed_ones(origin):
    request = head(origin=origin)

    assert verdict(CORS, request) == "cross_origin"
    assert CORS.cors_headers(request, None) == [(b"Vary", b"Origin")]


def test_a_refusal_is_readable_by_an_allowed_origin():
    request = head(origin=b"http://localhost:3000")

    assert (b"Access-Control-Allow-Origin", b"http://localhost:3000") in CORS.cors_headers(
        request, None
    )


def test_without_allowed_origins_there_is_no_cors_header():
    preflight = head(
        method=b"OPTIONS",
        origin=b"http://localhost:8080",
        access_control_request_method=b"POST",
        access_control_request_private_network=b"true",
    )

    assert GATE.cors_headers(preflight, None) == []
    assert GATE.preflight(preflight) is None


def test_a_preflight_of_an_allowed_origin_needs_no_key_and_no_rule():
    gate = guards(
        access={
            "allowed_origins": ["https://tool.example.com"],
            "api_keys": [{"name": "tool", "key": KEY}],
            "allow": ["GET /jobs"],
        }
    )
    preflight = head(
        method=b"OPTIONS",
        origin=b"https://tool.example.com",
        access_control_request_method=b"POST",
        access_control_request_headers=b"authorization,x-api-key",
        access_control_request_private_network=b"true",
    )
    assert verdict(gate, preflight) == "ok"
    headers = dict(gate.preflight(preflight) or [])

    assert headers[b"Access-Control-Allow-Origin"] == b"https://tool.example.com"
    assert headers[b"Access-Control-Allow-Headers"] == b"authorization,x-api-key"
    assert b"POST" in headers[b"Access-Control-Allow-Methods"]
    assert not any(b"*" in value or b"Private" in name for name, value in headers.items())
    assert verdict(gate, head(origin=b"https://tool.example.com")) == "unauthorized"


def test_a_preflight_of_another_origin_is_refused():
    preflight = head(
        method=b"OPTIONS", origin=b"https://evil.com", access_control_request_method=b"GET"
    )

    assert verdict(CORS, preflight) == "cross_origin"
    assert CORS.preflight(preflight) is None


def test_a_preflight_echoes_no_odd_header_list():
    preflight = head(
        method=b"OPTIONS",
        origin=b"https://tool.example.com",
        access_control_request_method=b"GET",
        access_control_request_headers=b'x: "evil"',
    )

    assert b"evil" not in dict(CORS.preflight(preflight) or [])[b"Access-Control-Allow-Headers"]
