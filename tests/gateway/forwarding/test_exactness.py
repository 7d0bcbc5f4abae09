"""What reaches the upstream and what comes back, byte for byte."""

import gzip
import re

import pytest

from tests.support.proxying import GET, HOST, proxying
from tests.support.recorder import Recorder

MARK = re.compile(rb"X-SRProxy-Instance: [0-9a-f]{16}")


def get(target: bytes, *lines: bytes) -> bytes:
    return b"GET %b HTTP/1.1\r\n%b%b\r\n" % (target, HOST, b"".join(b"%b\r\n" % x for x in lines))


def answer(*lines: bytes, body: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (
        b"".join(b"%b\r\n" % x for x in lines),
        len(body),
        body,
    )


@pytest.mark.parametrize(
    "target",
    [
        b"/a%2Fb",
        b"/%41/%7e?q=%21",
        b"/a+b;c=d?e+f;g",
        b"//double//slash//",
        b"/a?",
        b"/?",
        b"/a?next=/identity/oauth/token",
        b"/a%2Fb%20c;d=1+2/%41/%7e?q=%21!&r=a+b&e=&&s=%zz",
        b"/%zz",
        b"/a?" + b"q" * 8192,
        b"/x%252e%252e/y",
        b"/a:b@c/d,e$f'(g)*!",
    ],
)
async def test_a_target_reaches_the_upstream_byte_for_byte(target: bytes) -> None:
    async with Recorder() as upstream, proxying(upstream) as proxy:
        await proxy.ask(get(target))

    assert upstream.requests[0].lines[0] == b"GET %b HTTP/1.1" % target


async def test_a_path_prefix_of_the_upstreams_goes_before_the_target() -> None:
    async with (
        Recorder() as upstream,
        proxying(upstream, upstream={"url": f"{upstream.url}/pre%2Ffix"}) as proxy,
    ):
        await proxy.ask(get(b"/x?y"))

    assert upstream.requests[0].lines[0] == b"GET /pre%2Ffix/x?y HTTP/1.1"


async def test_an_absolute_target_of_ours_goes_up_in_origin_form() -> None:
    async with Recorder() as upstream, proxying(upstream) as proxy:
        await proxy.ask(get(b"http://localhost/x?y"))

    assert upstream.requests[0].lines[0] == b"GET /x?y HTTP/1.1"


@pytest.mark.parametrize("method", [b"GET", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"REPORT"])
async def test_a_method_passes(method: bytes) -> None:
    async with Recorder() as upstream, proxying(upstream) as proxy:
        await proxy.ask(get(b"/x").replace(b"GET", method))

    assert upstream.requests[0].lines[0] == method + b" /x HTTP/1.1"


async def test_headers_pass_in_order_case_and_number_and_nothing_is_invented() -> None:
    sent = [b"X-A: 1", b"x-b:2", b"X-A: 3", b"UA_x: _", b"X-Latin: caf\xe9 \x80\xff", b"X-Empty:"]
    async with Recorder() as upstream, proxying(upstream) as proxy:
        await proxy.ask(get(b"/x", *sent))

    host, *lines, mark, authorization = upstream.requests[0].lines[1:]
    assert host == b"Host: " + upstream.authority
    assert lines == [
        b"X-A: 1", b"x-b: 2", b"X-A: 3", b"UA_x: _", b"X-Latin: caf\xe9 \x80\xff", b"X-Empty: ",
    ]  # fmt: skip
    assert MARK.fullmatch(mark)
    assert authorization == b"Authorization: Bearer T1"


async def test_sixteen_kilobytes_of_headers_pass_both_ways() -> None:
    sent = [b"X-%d: %b" % (n, b"v" * 1000) for n in range(16)]
    async with Recorder([answer(*sent)]) as upstream, proxying(upstream) as proxy:
        head, _ = await proxy.ask(get(b"/x", *sent))

    assert upstream.requests[0].lines[2:18] == sent
    assert head.split(b"\r\n")[1:17] == sent


@pytest.mark.parametrize(
    "line",
    [
        b"Connection: authorization",
        b"Connection: close, Authorization",
        b'Connection: "authorization"',
        b"Connection: authorization\r\nConnection: Authorization\t, host",
        b"Proxy-Connection: authorization",
        b"Connection: host, content-length, transfer-encoding",
    ],
)
async def test_no_connection_header_takes_the_credential_or_the_framing_off(line: bytes) -> None:
    request = b"POST /x HTTP/1.1\r\n%b%b\r\nContent-Length: 2\r\n\r\nhi" % (HOST, line)
    async with Recorder() as upstream, proxying(upstream) as proxy:
        await proxy.ask(request)

    (recorded,) = upstream.requests
    assert recorded.values(b"Authorization") == [b"Bearer T1"]
    assert recorded.values(b"Host") == [upstream.authority]
    assert recorded.values(b"Content-Length") == [b"2"]
    assert recorded.body == b"hi"


@pytest.mark.parametrize(
    "line",
    [
        b"Connection: X-Custom\r\nX-Custom: 1",
        b"Authorization: Basic eDp5",
        b"authorization:",
        b"Authorization: a\r\nAuthorization: b",
        b"Proxy-Authorization: Basic eDp5",
        b"Proxy-Connection: keep-alive",
        b"Keep-Alive: 5",
        b"TE: trailers",
        b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQ",
        b"X-SmartToken: 1234567890",
        b"X-SRProxy-Key: k",
        b"x-srproxy-anything: k",
        b"Forwarded: for=1.2.3.4",
        b"X-Forwarded-For: 1.2.3.4",
        b"X-Forwarded-Host: h\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Prefix: /p",
        b"X-Real-IP: 1.2.3.4",
        b"X_Forwarded_For: 1.2.3.4",
        b"Content_Length: 5",
        b"Authorization_: x\r\nConnection: Authorization_",
        b"Cookie: srproxy_login_0123456789ab=secret",
        b"Cookie: __Host-srproxy_x=secret",
        b"Trailer: X-T",
    ],
)
async def test_what_is_not_the_upstreams_business_is_dropped(line: bytes) -> None:
    async with Recorder() as upstream, proxying(upstream) as proxy:
        await proxy.ask(get(b"/x", line))

    host, mark, authorization = upstream.requests[0].lines[1:]
    assert host.startswith(b"Host: ")
    assert MARK.fullmatch(mark)
    assert authorization == b"Authorization: Bearer T1"


@pytest.mark.parametrize(
    "line",
    [
        b"X-Original-URL: /x",
        b"X-HTTP-Method-Override: DELETE",
        b"Via: 1.1 another",
        b"Cookie: a=1; srproxy=mine; b=2",
        b"Access_Token: x",
        b"Max-Forwards: 3",
        b"Referer: http://localhost/x",
        b"Accept-Encoding: br",
    ],
)
async def test_everything_else_passes(line: bytes) -> None:
    async with Recorder() as upstream, proxying(upstream) as proxy:
        await proxy.ask(get(b"/x", line))

    assert line in upstream.requests[0].lines


async def test_only_our_own_cookies_are_taken_out_of_a_cookie_header() -> None:
    async with Recorder() as upstream, proxying(upstream) as proxy:
        await proxy.ask(get(b"/x", b"Cookie: a=1; srproxy_login_ab=secret; b=2"))

    assert upstream.requests[0].values(b"Cookie") == [b"a=1; b=2"]


@pytest.mark.parametrize("method", [b"POST", b"GET", b"DELETE", b"PUT", b"OPTIONS"])
@pytest.mark.parametrize(
    "body", [b"", b"x", b"GET /admin HTTP/1.1\r\nHost: a\r\n\r\n", b"y" * 200_000]
)
async def test_a_body_by_length_passes(method: bytes, body: bytes) -> None:
    request = b"%b /x HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n%b" % (method, HOST, len(body), body)
    async with Recorder() as upstream, proxying(upstream) as proxy:
        await proxy.ask(request + b"")

    (recorded,) = upstream.requests
    assert recorded.values(b"Content-Length") == [b"%d" % len(body)]
    assert recorded.values(b"Transfer-Encoding") == []
    assert recorded.body == body


@pytest.mark.parametrize("piecewise", [False, True])
async def test_a_chunked_body_passes_reframed_without_its_extensions(piecewise: bool) -> None:
    request = (
        b"POST /x HTTP/1.1\r\n%bTransfer-Encoding: Chunked\r\nTrailer: X-Sum\r\n\r\n"
        b'3;a="b"\r\nabc\r\nA\r\n0123456789\r\n0\r\nX-Sum: 9\r\nAuthorization: evil\r\n\r\n' % HOST
    )
    async with Recorder() as upstream, proxying(upstream) as proxy, proxy.caller() as caller:
        await caller.send(request, piecewise=piecewise)
        await caller.answer()

    (recorded,) = upstream.requests
    assert recorded.values(b"Transfer-Encoding") == [b"chunked"]
    assert recorded.values(b"Content-Length") == []
    assert recorded.values(b"Trailer") == [b"X-Sum"]
    assert recorded.body.endswith(b"0\r\nX-Sum: 9\r\n\r\n")
    payload = re.sub(rb"[0-9a-f]+\r\n(.*?)\r\n", rb"\1", recorded.body.partition(b"0\r\nX-Sum")[0])
    assert payload == b"abc0123456789"


async def test_a_request_without_a_body_gets_no_framing() -> None:
    async with Recorder() as upstream, proxying(upstream) as proxy:
        await proxy.ask(get(b"/x").replace(b"GET", b"POST"))

    assert upstream.requests[0].values(b"Content-Length") == []
    assert upstream.requests[0].values(b"Transfer-Encoding") == []


async def test_the_answer_passes_as_it_came_less_what_is_for_one_connection() -> None:
    sent = (
        b'HTTP/1.1 299 Rather Odd \xfc\r\nETag: "x"\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\n'
        b"X-L: caf\xe9\r\nServer: them\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\n"
        b"Keep-Alive: timeout=5\r\nAlt-Svc: h3\r\nStrict-Transport-Security: max-age=1\r\n"
        b"Proxy-Authenticate: Basic\r\nUpgrade: h2c\r\nDate: then\r\nContent-Length: 1\r\n\r\nz"
    )
    async with Recorder([sent]) as upstream, proxying(upstream) as proxy:
        head, body = await proxy.ask(GET)

    assert head == (
        b'HTTP/1.1 299 Rather Odd \xfc\r\nETag: "x"\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\n'
        b"X-L: caf\xe9\r\nServer: them\r\nDate: then\r\nContent-Length: 1\r\n\r\n"
    )
    assert body == b"z"


async def test_a_date_is_added_only_where_it_is_missing() -> None:
    async with Recorder() as upstream, proxying(upstream) as proxy:
        head, _ = await proxy.ask(GET)

    assert re.search(rb"\r\nDate: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n", head)


async def test_a_cookie_of_one_caller_goes_to_no_other() -> None:
    async with Recorder([answer(b"Set-Cookie: id=1")]) as upstream, proxying(upstream) as proxy:
        await proxy.ask(GET)
        await proxy.ask(GET)

    assert upstream.requests[1].values(b"Cookie") == []


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        (b"gzip", gzip.compress(b"x" * 5000, mtime=0)),
        (b"gzip", gzip.compress(b"x" * 5000, mtime=0)[:20]),
        (b"br", b"\x0b\x02\x80broken"),
        (b"gzip, gzip", b"\x1f\x8b"),
    ],
)
async def test_a_coded_body_is_not_touched(coding: bytes, body: bytes) -> None:
    sent = answer(b"Content-Encoding: " + coding, body=body)
    async with Recorder([sent]) as upstream, proxying(upstream) as proxy:
        head, received = await proxy.ask(get(b"/x", b"Accept-Encoding: gzip"))

    assert received == body
    assert b"Content-Encoding: " + coding in head.split(b"\r\n")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_passed_on_and_never_followed(status: int) -> None:
    sent = (
        b"HTTP/1.1 %d Go\r\nLocation: https://evil.example/x\r\nContent-Length: 0\r\n\r\n" % status
    )
    async with Recorder([sent]) as upstream, proxying(upstream) as proxy:
        head, _ = await proxy.ask(GET)

    assert b"Location: https://evil.example/x" in head.split(b"\r\n")
    assert len(upstream.requests) == 1


async def test_links_to_the_upstream_lead_to_the_origin_the_caller_used() -> None:
    async with Recorder() as upstream, proxying(upstream) as proxy:
        origin = upstream.url.encode()
        upstream.answers = [
            answer(
                b"Location: %b/a%%2Fb?c=d#e" % origin,
                b"Content-Location: %b/x" % origin.upper().replace(b"HTTP", b"http"),
                b'Link: <%b/n?p=%%3D>; rel="next", </r>; rel="x", <http://o/y>; rel=z' % origin,
            )
        ]
        head, _ = await proxy.ask(b"GET /x HTTP/1.1\r\nHost: app.localhost:99\r\n\r\n")

    lines = head.split(b"\r\n")
    assert b"Location: http://app.localhost:99/a%2Fb?c=d#e" in lines
    assert b"Content-Location: http://app.localhost:99/x" in lines
    assert (
        b'Link: <http://app.localhost:99/n?p=%3D>; rel="next", </r>; rel="x", <http://o/y>; rel=z'
        in lines
    )


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_an_answer_without_a_body_by_its_status_keeps_the_connection(status: bytes) -> None:
    sent = b'HTTP/1.1 %b\r\nETag: "x"\r\n\r\n' % status
    async with Recorder([sent, answer()]) as upstream, proxying(upstream) as proxy:
        async with proxy.caller() as caller:
            await caller.send(GET)
            head = await caller.head()
            await caller.ask(GET)

    assert head.startswith(b"HTTP/1.1 " + status + b'\r\nETag: "x"\r\n')
    assert b"Transfer-Encoding" not in head
    assert len(upstream.connections) == 1


async def test_head_keeps_the_length_of_the_get_and_has_no_body() -> None:
    sent = b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n"
    async with Recorder([sent, sent]) as upstream, proxying(upstream) as proxy:
        async with proxy.caller() as caller:
            for _ in range(2):
                await caller.send(b"HEAD /x HTTP/1.1\r\n" + HOST + b"\r\n")
                head = await caller.head()

    assert b"Content-Length: 1234" in head.split(b"\r\n")
    assert len(upstream.connections) == 1


async def test_ranges_pass() -> None:
    sent = (
        b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/9\r\nContent-Length: 2\r\n\r\nab"
    )
    async with Recorder([sent]) as upstream, proxying(upstream) as proxy:
        head, body = await proxy.ask(get(b"/x", b"Range: bytes=0-1"))

    assert upstream.requests[0].values(b"Range") == [b"bytes=0-1"]
    assert head.startswith(b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/9\r\n")
    assert body == b"ab"


async def test_javas_offer_of_h2c_is_served_as_http_1_1() -> None:
    request = get(
        b"/x",
        b"Connection: Upgrade, HTTP2-Settings",
        b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
        b"Upgrade: h2c",
        b"User-Agent: Java-http-client/17",
    )
    async with Recorder() as upstream, proxying(upstream) as proxy, proxy.caller() as caller:
        await caller.ask(request)
        head, _ = await caller.ask(request)

    assert head.startswith(b"HTTP/1.1 200 OK")
    assert b"User-Agent: Java-http-client/17" in upstream.requests[1].lines


async def test_an_empty_line_before_a_request_is_let_pass() -> None:
    async with Recorder() as upstream, proxying(upstream) as proxy, proxy.caller() as caller:
        await caller.ask(GET)
        head, _ = await caller.ask(b"\r\n" + GET)

    assert head.startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize(
    "request_bytes",
    [GET, b"POST /x HTTP/1.1\r\n%bContent-Length: 5\r\nX: y\r\n\r\nhello" % HOST],
)
async def test_a_request_in_single_bytes_is_the_same_request(request_bytes: bytes) -> None:
    async with Recorder() as upstream, proxying(upstream) as proxy, proxy.caller() as caller:
        await caller.ask(request_bytes)
        await caller.send(request_bytes, piecewise=True)
        await caller.answer()

    first, second = upstream.requests
    assert (first.head, first.body) == (second.head, second.body)
