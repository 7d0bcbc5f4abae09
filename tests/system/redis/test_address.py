"""The Redis URL: how it is read, what is refused, and that no error shows any of it."""

import pytest

from proxy.system.redis.address import parse_redis_url
from proxy.system.secret import Secret

GOOD = {
    "redis://cache": ((("cache", 6379),), None, 0, None, None),
    "redis://cache:7000/3": ((("cache", 7000),), None, 3, None, None),
    "rediss://u:p%40ss%2F@cache:1/": ((("cache", 1),), None, 0, "u", "p@ss/"),
    "redis://:p:w@[::1]:7000/3": ((("::1", 7000),), None, 3, None, "p:w"),
    "redis+sentinel://a,b:2,[::1]/main/2": (
        (("a", 26379), ("b", 2), ("::1", 26379)), "main", 2, None, None,
    ),
    "redis+sentinel://[::1]:1,[::2]:3/main": ((("::1", 1), ("::2", 3)), "main", 0, None, None),
    "rediss+sentinel://u:p@a/main": ((("a", 26379),), "main", 0, "u", "p"),
}  # fmt: skip


@pytest.mark.parametrize("url", GOOD)
def test_an_address_is_read(url: str) -> None:
    address = parse_redis_url(Secret(url))
    password = address.password.reveal() if address.password else None

    assert (address.hosts, address.service, address.number, address.username, password) == GOOD[url]
    assert address.tls == url.startswith("rediss")
    assert "p" not in address.place
    assert url not in address.place


def test_a_socket_and_a_client_certificate_are_read() -> None:
    socket = parse_redis_url(Secret("unix://u:p@/run/redis@1.sock?db=2"))
    tls = parse_redis_url(Secret("rediss://h?ssl_certfile=/c&ssl_keyfile=/k&ssl_ca_certs=/a"))

    assert (socket.socket, socket.number, socket.username) == ("/run/redis@1.sock", 2, "u")
    assert [str(file) for file in (tls.cert_file, tls.key_file, tls.ca_file)] == ["/c", "/k", "/a"]


STRAY = [
    "redis://user:pa@canary@host:6379/0",
    "redis://user:pa/canary@host:6379/0",
    "redis://:1/canary@host",
    "redis://user:pa#canary@host",
    "redis://user:1?canary@host",
    "redis://user:pa%xcanary@host",
    "redis://user:[canary@host",
    "redis+sentinel://user:pa/canary@a,b/main",
    "unix://user:pa/canary@/run/redis.sock",
    "rediss://host/0?ssl_cert_reqs=canary",
    "redis://host/0?db=1&db=2",
    "redis://one,two/0",
    "redis://host:canary/0",
    "redis://host:70000/0",
    "redis://host/canary",
    "redis+sentinel://host",
    "http://canary",
    "redis://",
    "redis://can ary",
    "",
]


@pytest.mark.parametrize("url", STRAY)
def test_what_could_be_read_in_two_ways_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ValueError, match="not") as caught:
        parse_redis_url(Secret(url))

    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None
