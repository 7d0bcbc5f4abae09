"""API keys: where one is taken from, and which routes need none."""

import base64

import pytest

from proxy.errors import Problem
from proxy.gateway.guards import Admission, Route
from tests.gateway.guards.support import KEY, KEYED, head, verdict


def basic(user: str, password: str) -> bytes:
    return b"Basic " + base64.b64encode(f"{user}:{password}".encode())


@pytest.mark.parametrize(
    ("fields", "header"),
    [
        ({"authorization": b"Bearer " + KEY.encode()}, b"authorization"),
        ({"authorization": b"bearer  " + KEY.encode()}, b"authorization"),
        ({"authorization": basic("anyone", KEY)}, b"authorization"),
        ({"authorization": basic("", KEY)}, b"authorization"),
        ({"x_smarttoken": KEY.encode()}, b"x-smarttoken"),
        ({"x_api_key": KEY.encode()}, b"x-api-key"),
        ({"x_srproxy_key": KEY.encode()}, b"x-srproxy-key"),
        ({"authorization": b"Digest x", "x_api_key": KEY.encode()}, b"x-api-key"),
    ],
)
def test_a_key_is_taken_from_five_places(fields, header):
    admission = KEYED.check(head(**fields), Route.FORWARD, None)

    assert admission == Admission("reader", "default", header, None)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"authorization": b""},
        {"authorization": b"Bearer"},
        {"authorization": b"Bearer "},
        {"authorization": b"Bearer " + KEY[:-1].encode()},
        {"authorization": b"Bearer " + KEY.encode() + b"x"},
        {"authorization": b"Bearer " + KEY.upper().encode()},
        {"authorization": b"Bearer %b, Bearer %b" % (KEY.encode(), KEY.encode())},
        {"authorization": KEY.encode()},
        {"authorization": b"Basic " + KEY.encode()},
        {"authorization": b"Basic !!!"},
        {"authorization": b"Basic " + b"\xff" * 9},
        {"authorization": basic(KEY, "")},
        {"x_api_key": b""},
        {"x_api_key": b"%b, %b" % (KEY.encode(), KEY.encode())},
        {"x_api_key": b"\xff\xfe"},
        {"x_api_key": KEY.encode(), "x_srproxy_key": KEY.encode()},
        {"x_api_key": KEY.encode(), "authorization": b"Bearer nonsense"},
        {"x_proxy_key": KEY.encode()},
        {"cookie": b"key=" + KEY.encode()},
    ],
)
def test_no_key_a_wrong_one_or_two_are_refused(fields):
    with pytest.raises(Problem) as caught:
        KEYED.check(head(**fields), Route.FORWARD, None)

    assert caught.value.code == "unauthorized"
    assert caught.value.status == 401
    assert tuple(caught.value.headers) == (
        ("WWW-Authenticate", 'Basic realm="smartrecruiters-proxy"'),
        ("WWW-Authenticate", "Bearer"),
    )
    assert KEY not in caught.value.detail


def test_a_key_in_the_query_is_none():
    assert verdict(KEYED, head(b"/candidates?key=" + KEY.encode())) == "unauthorized"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/-/live", "ok"),
        (b"/-/ready", "ok"),
        (b"/-/metrics", "ok"),
        (b"/-/callback?code=x", "ok"),
        (b"/-/", "unauthorized"),
        (b"/-/status", "unauthorized"),
        (b"/-/events", "unauthorized"),
        (b"/-/login", "unauthorized"),
        (b"/-/login/complete", "unauthorized"),
        (b"/-/logout", "unauthorized"),
        (b"/-/postman.json", "unauthorized"),
        (b"/-/nothing", "unauthorized"),
    ],
)
def test_routes_that_need_no_key(target, expected):
    assert verdict(KEYED, head(target)) == expected


def test_every_key_is_compared(monkeypatch):
    """An early exit would tell by its time which key was the right one."""
    compared = []
    real = KEYED._keys.identify.__globals__["hmac"].compare_digest

    def compare(a, b):
        compared.append(len(a) == len(b))
        return real(a, b)

    monkeypatch.setattr("proxy.gateway.guards.keys.hmac.compare_digest", compare)

    assert verdict(KEYED, head(x_api_key=KEY.encode())) == "ok"
    assert compared == [True, True]
