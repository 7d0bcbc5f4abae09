"""Which headers pass, and where links lead; the truth tables that need no socket."""

from typing import Any

import pytest

from proxy.gateway.headers import InboundHeaders, Links, OutboundHeaders, passing_trailers
from proxy.gateway.http1 import parse_request_head, parse_response_head

ORIGIN = b"http://localhost:8080"
INSTANCE = b"0123456789abcdef"


def outbound(*lines: bytes, key: bytes | None = None) -> list[bytes]:
    headers = OutboundHeaders(b"api.example", INSTANCE)
    head = parse_request_head(b"GET / HTTP/1.1\r\n" + b"".join(b"%b\r\n" % x for x in lines))
    host, *rest, mark, end = headers.build(head, key).split(b"\r\n")
    assert host == b"Host: api.example"
    assert mark == b"X-SRProxy-Instance: " + INSTANCE
    assert end == b""
    return rest


def inbound(*lines: bytes, status: bytes = b"200 OK", **settings: Any) -> list[bytes]:
    headers = InboundHeaders(Links("https://api.example/v1"))
    head = parse_response_head(
        b"HTTP/1.1 " + status + b"\r\n" + b"".join(b"%b\r\n" % x for x in lines)
    )
    return headers.build(head, lambda: ORIGIN, **settings)[1:]


@pytest.mark.parametrize("name", [b"X-API-Key", b"x-api-key", b"X-Smarttoken"])
def test_the_header_that_carried_the_key_does_not_go_up(name: bytes) -> None:
    assert outbound(name + b": k", b"A: 1", key=name.lower()) == [b"A: 1"]


def test_another_header_of_that_kind_does() -> None:
    assert outbound(b"X-API-Key: mine", key=b"x-srproxy-key") == [b"X-API-Key: mine"]


def test_an_underscore_carries_no_key_header_past_us() -> None:
    assert outbound(b"X_Api_Key: k", b"X-API_Key: k", key=b"x-api-key") == []
    headers = OutboundHeaders(b"api.example", INSTANCE, dropped={b"accept-encoding"})
    head = parse_request_head(b"GET / HTTP/1.1\r\nAccept_Encoding: br\r\n")
    assert b"br" not in headers.build(head, None)


def test_a_key_that_became_one_meanwhile_does_not_go_up() -> None:
    headers = OutboundHeaders(b"api.example", INSTANCE)
    head = parse_request_head(b"GET / HTTP/1.1\r\nX-API-Key: k\r\n")

    assert b"X-API-Key" in headers.build(head, None)
    again = parse_request_head(b"GET /x HTTP/1.1\r\nX-API-Key: k\r\n", head)
    assert b"X-API-Key" not in headers.build(head, b"x-api-key")
    assert b"X-API-Key" not in headers.build(again, b"x-api-key")


def test_what_is_remembered_of_names_is_bounded() -> None:
    headers = OutboundHeaders(b"api.example", INSTANCE)
    for number in range(5000):
        head = parse_request_head(b"GET / HTTP/1.1\r\nX-%d: y\r\n" % number)
        assert b"\r\nX-%d: y\r\n" % number in headers.build(head, None)

    assert len(headers._names) <= 2048


def test_the_mark_is_appended_to_those_of_a_chain() -> None:
    headers = OutboundHeaders(b"api.example", INSTANCE)
    head = parse_request_head(
        b"GET / HTTP/1.1\r\nConnection: X-SRProxy-Instance\r\n"
        b"X-SRProxy-Instance: aa\r\nVia: 1.1 x\r\nx-srproxy-instance: bb\r\n"
    )

    assert headers.build(head, None) == (
        b"Host: api.example\r\nVia: 1.1 x\r\nX-SRProxy-Instance: aa, bb, %b\r\n" % INSTANCE
    )
    assert not headers.has_passed(head)


@pytest.mark.parametrize(
    ("value", "passed"),
    [(INSTANCE, True), (b"a, " + INSTANCE + b",b", True), (b"a", False), (INSTANCE[:-1], False),
     (INSTANCE + b"0", False), (b"", False)],
)  # fmt: skip
def test_a_loop_is_told_by_the_whole_mark(value: bytes, passed: bool) -> None:
    headers = OutboundHeaders(b"api.example", INSTANCE)
    head = parse_request_head(b"GET / HTTP/1.1\r\nX-SRProxy-Instance: %b\r\n" % value)

    assert headers.has_passed(head) is passed


@pytest.mark.parametrize(
    ("cookie", "passed"),
    [
        (b"s=1; Domain=api.example; Path=/", b"s=1; Path=/"),
        (b"s=1;domain = .API.example;Secure", b"s=1;Secure"),
        (b"s=1; Path=/; Domain=example", b"s=1; Path=/"),
        (b"s=1; Domain=pi.example", None),
        (b"s=1; Domain=www.api.example", None),
        (b"s=1; Domain=other.test", None),
        (b"s=1; Domain=", None),
        (b"Domain=api.example; Path=/", None),
        (b"s=1; Path=/", None),
    ],
)
def test_a_cookie_for_the_upstream_s_host_comes_back_to_us(
    cookie: bytes, passed: bytes | None
) -> None:
    assert inbound(b"A: 1", b"Set-Cookie: " + cookie, b"Set-Cookie: t=2") == [
        b"A: 1",
        b"Set-Cookie: " + (passed or cookie),
        b"Set-Cookie: t=2",
    ]


def test_what_depends_on_the_caller_is_made_anew_for_the_same_head():
    headers = InboundHeaders(Links("https://api.example"))
    moved = parse_response_head(b"HTTP/1.1 302 Found\r\nLocation: https://api.example/x\r\n")
    plain = parse_response_head(b"HTTP/1.1 200 OK\r\nServer: x\r\n")
    for origin in (b"http://localhost:1", b"http://127.0.0.1:1"):
        assert b"Location: %b/x" % origin in headers.build(moved, origin.strip)
    without = headers.build(plain, lambda: ORIGIN)
    with_cors = headers.build(plain, lambda: ORIGIN, cors=[(b"Access-Control-A", b"b")])

    assert with_cors == [*without, b"Access-Control-A: b"]
    assert headers.build(plain, lambda: ORIGIN) == without


def test_headers_named_by_connection_are_dropped_from_answers() -> None:
    assert inbound(b"Connection: X-Hop, Content-Length", b"X-Hop: 1", b"Content-Length: 0") == [
        b"Content-Length: 0"
    ]


@pytest.mark.parametrize("status", [b"204 No Content", b"103 Early Hints"])
def test_an_answer_that_has_no_body_has_no_length(status: bytes) -> None:
    assert inbound(b"Content-Length: 5", b"A: 1", status=status) == [b"A: 1"]


@pytest.mark.parametrize(("keep", "lines"), [(True, [b"Trailer: X"]), (False, [])])
def test_trailers_are_announced_only_if_they_come(keep: bool, lines: list[bytes]) -> None:
    assert inbound(b"Trailer: X", keep_trailer=keep) == lines


@pytest.mark.parametrize(
    ("location", "rewritten"),
    [
        (b"https://api.example/v1/a%2Fb?c#d", ORIGIN + b"/a%2Fb?c#d"),
        (b"https://API.example:443/v1/a", ORIGIN + b"/a"),
        (b"HTTPS://api.example/v1", ORIGIN + b"/"),
        (b"https://api.example/v1?x", ORIGIN + b"/?x"),
        (b"//api.example/v1/a", ORIGIN + b"/a"),
        (b"http://api.example/v1/a", ORIGIN + b"/a"),
        (b"http://API.example:80/v1/a", ORIGIN + b"/a"),
        (b"http://api.example:/v1/a", ORIGIN + b"/a"),
        (b"/v1/a", b"/a"),
        (b"/v1", b"/"),
        # outside of the prefix, or elsewhere: not ours to lead anywhere
        (b"https://api.example/v11/a", None),
        (b"https://api.example/a", None),
        (b"https://api.example", None),
        (b"http://api.example:443/v1/a", None),
        (b"https://api.example:8443/v1/a", None),
        (b"https://api.example.evil.example/v1/a", None),
        (b"https://user@api.example/v1/a", None),
        (b"https://other.example/?u=https://api.example/v1/a", None),
        (b"//other.example/v1", None),
        (b"/other", None),
        (b"relative?x", None),
        (b"?x", None),
        (b"", None),
        (b"urn:x:y", None),
        (b"caf\xe9", None),
    ],
)
def test_where_a_location_leads(location: bytes, rewritten: bytes | None) -> None:
    assert Links("https://api.example/v1").rewrite(location, ORIGIN) == (
        location if rewritten is None else rewritten
    )


def test_an_ipv6_upstream_is_recognized() -> None:
    links = Links("https://[::1]")

    assert links.rewrite(b"https://[::1]:443/a", ORIGIN) == ORIGIN + b"/a"
    assert links.rewrite(b"https://[::2]/a", ORIGIN) == b"https://[::2]/a"


def test_without_a_prefix_relative_references_stay() -> None:
    assert Links("https://api.example/").rewrite(b"/v1/a", ORIGIN) == b"/v1/a"


def test_each_target_of_a_link_header_is_rewritten() -> None:
    value = b'<https://api.example/v1/a,b;c>; rel="next", <https://o/>; title="<https://api.example/v1>"'

    assert (
        Links("https://api.example/v1")
        .rewrite_link(value, ORIGIN)
        .startswith(b'<http://localhost:8080/a,b;c>; rel="next", <https://o/>; title="')
    )


def test_trailers_that_frame_route_or_authorize_do_not_pass() -> None:
    trailers = [
        (b"X-Sum", b"1"),
        (b"Content-Length", b"9"),
        (b"authorization", b"x"),
        (b"Host", b"x"),
        (b"Set-Cookie", b"x"),
        (b"X_Forwarded_For", b"x"),
        (b"Server-Timing", b"x"),
    ]

    assert passing_trailers(trailers) == [(b"X-Sum", b"1"), (b"Server-Timing", b"x")]
