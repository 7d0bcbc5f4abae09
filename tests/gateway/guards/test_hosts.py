"""The Host allow-list, as a truth table."""

import random

import pytest

from proxy.errors import Problem
from proxy.gateway.guards import Route
from tests.gateway.guards.support import GATE, guards, head, peer_at, verdict

OURS = [
    b"localhost", b"localhost:8080", b"LOCALHOST:1", b"localhost:", b"tool.localhost",
    b"a.b.LocalHost:65535", b"127.0.0.1", b"127.0.0.1:9", b"127.255.255.254", b"[::1]",
    b"[::1]:8080", b"[0:0:0:0:0:0:0:1]:8080",
]  # fmt: skip
FOREIGN = [
    b"evil.com", b"127.0.0.1.evil.com:8080", b"localhost.evil.com:8080", b"localhost.:8080",
    b"notlocalhost", b"0.0.0.0:8080", b"127.1:8080", b"2130706433:8080", b"0x7f000001",
    b"127.0.0.01", b"[::ffff:127.0.0.1]:8080", b"[::]", b"[::2]", b"10.0.0.7", b"128.0.0.1",
    b"localhost_", b"localhost-", b"xn--lcalhost-54a",
]  # fmt: skip
MALFORMED = [
    b"", b":8080", b"localhost:8080@evil.com", b"localhost/x", b"localhost:8080, evil.com",
    b"localhost:8080, localhost:8080", b"localhost,evil.com", b"localhost:65536",
    b"localhost:80a", b"localhost:-1", b"localhost:123456", b"127.0.0.1:8080.", b"[::1", b"[",
    b"[]", b"[::1]x", b"[::1%25lo]", b"[::1]:", b"::1", b"local host", b"localhost\x00",
    b"%6cocalhost", b"*.localhost", b".localhost", b"localhost..", b"a..localhost",
    b"localhost?", b"localhost#", b"\xe4.com", b"l" * 9000,
]  # fmt: skip
MALFORMED.remove(b"[::1]:")  # an empty port is RFC 3986's grammar


@pytest.mark.parametrize("value", OURS)
def test_names_of_this_machine_are_ours(value):
    assert verdict(GATE, head(host=value)) == "ok"


@pytest.mark.parametrize("value", FOREIGN)
def test_a_foreign_host_is_refused(value):
    assert verdict(GATE, head(host=value)) == "bad_host"


@pytest.mark.parametrize("value", MALFORMED)
def test_a_malformed_host_is_a_bad_request(value):
    assert verdict(GATE, head(host=value)) == "bad_request"


def test_the_refusal_names_the_setting_and_repeats_nothing():
    with pytest.raises(Problem) as caught:
        GATE.check(head(host=b"evil.example"), Route.FORWARD, peer_at(None))

    assert caught.value.status == 421
    assert "access.allowed_hosts" in caught.value.detail
    assert "evil" not in caught.value.detail


@pytest.mark.parametrize(
    ("value", "local_ip", "expected"),
    [
        (b"10.0.0.7:9090", "10.0.0.7", "ok"),
        (b"10.0.0.7:9090", "::ffff:10.0.0.7", "ok"),
        (b"10.0.0.7", "10.0.0.8", "bad_host"),
        (b"10.0.0.7", None, "bad_host"),
        (b"[fe80::1]", "fe80::1%eth0", "ok"),
        (b"[FD00:0::1]:1", "fd00::1", "ok"),
        (b"[fd00::2]", "fd00::1", "bad_host"),
        (b"[::ffff:10.0.0.7]", "10.0.0.7", "bad_host"),
        (b"0.0.0.0", "127.0.0.1", "bad_host"),
    ],
)
def test_an_address_is_ours_when_it_is_the_one_connected_to(value, local_ip, expected):
    assert verdict(GATE, head(host=value), local_ip) == expected
    assert verdict(GATE, head(host=value), local_ip) == expected  # remembered the same


def test_one_connection_s_address_is_not_remembered_for_another():
    gate = guards()

    assert verdict(gate, head(host=b"10.0.0.7"), "10.0.0.7") == "ok"
    assert verdict(gate, head(host=b"10.0.0.7"), "10.0.0.8") == "bad_host"


@pytest.mark.parametrize(
    ("sections", "value", "expected"),
    [
        ({"listen": {"host": "127.0.0.1"}}, b"127.0.0.1", "ok"),
        ({"access": {"allowed_hosts": ["Proxy.Internal"]}}, b"proxy.internal:1", "ok"),
        ({"access": {"allowed_hosts": ["proxy.internal"]}}, b"x.proxy.internal", "bad_host"),
        ({"access": {"allowed_hosts": ["fd00::1"]}}, b"[fd00::1]", "ok"),
        ({"oauth": {"redirect_uri": "https://sr.example.com/cb"}}, b"SR.example.com", "ok"),
        (
            {"listen": {"host": "proxy.lan"}, "access": {"allow_unauthenticated": True}},
            b"proxy.lan:80",
            "ok",
        ),
        (
            {"listen": {"host": "0.0.0.0"}, "access": {"allow_unauthenticated": True}},
            b"0.0.0.0",
            "bad_host",
        ),
        (
            {"listen": {"host": "::"}, "access": {"allow_unauthenticated": True}},
            b"[::]",
            "bad_host",
        ),
    ],
)
def test_configured_names_are_ours(sections, value, expected):
    assert verdict(guards(**sections), head(host=value)) == expected


def test_a_missing_host_is_served_in_http_1_0_alone():
    missing = head(host=None)

    assert verdict(GATE, missing) == "bad_request"
    missing.minor = 0
    assert verdict(GATE, missing) == "ok"


@pytest.mark.parametrize("target", [b"/-/live", b"/-/ready"])
def test_probes_may_use_any_host(target):
    assert verdict(GATE, head(target, host=b"10.1.2.3:9090")) == "ok"
    assert verdict(GATE, head(target, host=b"a, b")) == "bad_request"


@pytest.mark.parametrize("target", [b"/-/", b"/-/status", b"/-/metrics", b"/-/callback?code=x"])
def test_other_routes_of_our_own_may_not(target):
    assert verdict(GATE, head(target, host=b"evil.com")) == "bad_host"


def test_random_hosts_never_stop_the_check():
    """CVE-2026-14631: a malformed Host ended a whole server."""
    rng = random.Random(7)
    for _ in range(300):
        value = bytes(rng.randrange(256) for _ in range(rng.randrange(40)))

        assert verdict(GATE, head(host=value)) in {"bad_host", "bad_request"}


def test_remembered_hosts_are_bounded():
    gate = guards()
    for number in range(3000):
        assert verdict(gate, head(host=b"%d.localhost" % number)) == "ok"

    assert len(gate._hosts._known) <= 1024
