"""API keys: where one is taken from, and which routes need none."""

import base64

import pytest

from proxy.errors import Problem
from proxy.gateway.guards import Admission, Peer, Route, WrongKey
from tests.gateway.guards.support import KEY, KEYED, OTHER_KEY, guards, head, peer_at, verdict


def basic(user: str, password: str) -> bytes:
    return b"Basic " + base64.b64encode(f"{user}:{password}".encode())


@pytest.mark.parametrize(
    "fields",
    [
        {"authorization": b"Bearer " + KEY.encode()},
        {"authorization": b"bearer  " + KEY.encode()},
        {"authorization": basic("anyone", KEY)},
        {"authorization": basic("", KEY)},
        {"x_smarttoken": KEY.encode()},
        {"x_api_key": KEY.encode()},
        {"x_srproxy_key": KEY.encode()},
        {"authorization": b"Digest x", "x_api_key": KEY.encode()},
        # A tool may send a token of its own besides.
        {"x_api_key": KEY.encode(), "authorization": b"Bearer nonsense"},
        {"x_smarttoken": b"its own", "authorization": b"Bearer " + KEY.encode()},
        {"x_smarttoken": KEY.encode(), "x_api_key": b"", "authorization": basic("a", "b")},
    ],
)
def test_a_key_is_taken_from_five_places_and_what_else_is_sent_there_is_dropped(fields):
    admission = KEYED.check(head(**fields), Route.FORWARD, peer_at(None))

    assert admission == Admission("reader", "default", b"x-api-key", None, 0)


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
        {"x_api_key": KEY.encode(), "x_srproxy_key": OTHER_KEY.encode()},
        {"x_api_key": b"nonsense", "authorization": b"Bearer nonsense"},
        {"x_proxy_key": KEY.encode()},
        {"cookie": b"key=" + KEY.encode()},
    ],
)
def test_no_key_a_wrong_one_or_two_are_refused(fields):
    with pytest.raises(Problem) as caught:
        KEYED.check(head(**fields), Route.FORWARD, peer_at(None))

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


@pytest.mark.interpreted
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


def test_a_wrong_key_is_told_from_none():
    """Only guessing is slowed down."""
    with pytest.raises(WrongKey):
        KEYED.check(head(x_api_key=b"nonsense"), Route.FORWARD, peer_at(None))
    with pytest.raises(Problem) as caught:
        KEYED.check(head(), Route.FORWARD, peer_at(None))

    assert not isinstance(caught.value, WrongKey)


def test_a_certificates_subject_stands_in_place_of_a_key():
    tls = {"cert_file": "/cert", "key_file": "/key", "client_ca_file": "/ca"}
    gate = guards(
        listen={"tls": tls},
        access={
            "api_keys": [
                {"name": "robot", "subject": "CN=robot,O=Example"},
                {"name": "person", "key": KEY},
            ]
        },
    )
    robot = Peer("10.0.0.1", tls=True, subjects=("robot", "CN=robot,O=Example"))

    assert gate.check(head(), Route.FORWARD, robot).caller == "robot"
    assert gate.check(head(x_api_key=b"its own"), Route.FORWARD, robot).caller == "robot"
    assert gate.check(head(x_api_key=KEY.encode()), Route.FORWARD, robot).caller == "person"
    with pytest.raises(Problem):
        gate.check(
            head(), Route.FORWARD, Peer("10.0.0.1", tls=True, subjects=("other", "CN=other"))
        )


ADMINS = guards(
    access={
        "api_keys": [
            {"name": "tool", "key": KEY},
            {"name": "owner", "key": OTHER_KEY, "admin": True},
        ]
    }
)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/-/", "not_allowed"),
        (b"/-/events", "not_allowed"),
        (b"/-/requests/1", "not_allowed"),
        (b"/-/requests.har", "not_allowed"),
        (b"/-/login?account=x", "not_allowed"),
        (b"/-/login/complete", "not_allowed"),
        (b"/-/logout", "not_allowed"),
        (b"/-/reload", "not_allowed"),
        (b"/-/status", "ok"),
        (b"/-/postman.json", "ok"),
        (b"/-/metrics", "ok"),
        (b"/-/ready", "ok"),
        (b"/candidates", "ok"),
    ],
)
def test_once_a_key_is_an_administrators_only_such_may_see_the_page_and_act(target, expected):
    assert verdict(ADMINS, head(target, x_api_key=KEY.encode())) == expected
    assert verdict(ADMINS, head(target, x_api_key=OTHER_KEY.encode())) == "ok"
    assert verdict(KEYED, head(target, x_api_key=KEY.encode())) == "ok"


def test_a_refusal_by_a_keys_own_rule_knows_the_caller():
    request = head(b"/candidates", b"POST", x_api_key=KEY.encode())
    with pytest.raises(Problem) as caught:
        KEYED.check(request, Route.FORWARD, peer_at(None))

    assert caught.value.caller == "reader"
