"""Table B of the attacks: framing, parsing and smuggling, over real sockets.

After each payload a canary request is sent on the same connection. The upstream must never see a
request that was not sent on purpose, and after a parse error nothing more at all.
"""

import random

import pytest

from tests.security.attacks import CANARY, HOST, TIMES, attack, refused, talk
from tests.support.proxying import proxying
from tests.support.recorder import Recorder

POST = b"POST /x HTTP/1.1\r\n" + HOST
GET = b"GET /x HTTP/1.1\r\n" + HOST
CHUNKED = b"Transfer-Encoding: chunked\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"

REFUSED = {
    "B01 CL.TE": POST + b"Content-Length: 6\r\n" + CHUNKED + b"\r\n0\r\n\r\nX",
    "B02 TE.CL": POST + CHUNKED + b"Content-Length: 6\r\n\r\n0\r\n\r\nX",
    "B02 mixed case": POST + b"transfer-ENCODING: CHUNKED\r\nContent-length: 4\r\n\r\n0\r\n\r\n",
    "B03 two lengths": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "B03 twice the same": POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "B03 list": POST + b"Content-Length: 5, 5\r\n\r\nhello",
    "B07 empty TE": POST + b"Transfer-Encoding:\r\nContent-Length: 5\r\n\r\nhello",
    "B08 TE in 1.0": b"POST /x HTTP/1.0\r\n" + HOST + CHUNKED + b"\r\n0\r\n\r\n",
    "B09 LF request line": b"GET /x HTTP/1.1\n" + HOST + b"\r\n",
    "B09 LF header": b"GET /x HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n",
    "B09 LF blank line": b"GET /x HTTP/1.1\r\nHost: localhost\r\n\n",
    "B09 LF only": b"GET /x HTTP/1.1\nHost: localhost\n\n",
    "B10 CR in value": GET + b"X: a\rTransfer-Encoding: chunked\r\n\r\n",
    "B10 CR line end": b"GET /x HTTP/1.1\rHost: localhost\r\r",
    "B11 obs-fold": GET + b"X: a\r\n b\r\n\r\n",
    "B11 first line folded": b"GET /x HTTP/1.1\r\n Host: localhost\r\n\r\n",
    "B11 tab before name": b"GET /x HTTP/1.1\r\n\tHost: localhost\r\n\r\n",
    "B12 NUL in value": GET + b"X: a\0b\r\n\r\n",
    "B12 NUL in name": GET + b"X\0: a\r\n\r\n",
    "B12 control in value": GET + b"X: a\x01b\r\n\r\n",
    "B12 DEL in value": GET + b"X: a\x7f\r\n\r\n",
    "B12 space before colon": GET + b"X : a\r\n\r\n",
    "B12 no colon": GET + b"X\r\n\r\n",
    "B12 empty name": GET + b": a\r\n\r\n",
    "B12 high byte in name": GET + b"X\x80: a\r\n\r\n",
    "B12 space in name": GET + b"X Y: a\r\n\r\n",
    "B26 HTTP/2.0": b"GET /x HTTP/2.0\r\n" + HOST + b"\r\n",
    "B26 HTTP/1.9": b"GET /x HTTP/1.9\r\n" + HOST + b"\r\n",
    "B26 HTTP/0.9": b"GET /x\r\n\r\n",
    "B26 trailing": b"GET /x HTTP/1.1 x\r\n" + HOST + b"\r\n",
    "B26 h2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "B26 lower case": b"GET /x http/1.1\r\n" + HOST + b"\r\n",
    "B27 two spaces": b"GET  /x HTTP/1.1\r\n" + HOST + b"\r\n",
    "B27 tab": b"GET\t/x\tHTTP/1.1\r\n" + HOST + b"\r\n",
    "B27 leading space": b" GET /x HTTP/1.1\r\n" + HOST + b"\r\n",
    "B27 odd method": b"G@T /x HTTP/1.1\r\n" + HOST + b"\r\n",
    "B28 TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 60,
    "B28 SSH": b"\x00SSH-2.0-x\r\n",
    "B21 websocket": GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
}
LENGTHS = [
    b"+5", b"-0", b"1_0", b"0x5", b"", b" ", b"5;", "٥".encode(), b"18446744073709551616",
    b"99999999999999999999", b"005", b"00", b"0200", b"5 5", b"5.0", b"5e0", b"\x0b5", b"5\xa0",
]  # fmt: skip
CODINGS = [
    b"xchunked", b"chunked, identity", b"chunked,", b",chunked", b'"chunked"', b"identity",
    b"chunked\r\nTransfer-Encoding: x", b"\x0bchunked", b"chunked\0", b"\xa0chunked",
    b"chunked, chunked", b"gzip, chunked", b"chunked;q=1", b"chunked chunked", b"chunked\xff",
]  # fmt: skip
BODIES = {
    "B13 negative size": b"-1\r\nx\r\n0\r\n\r\n",
    "B13 plus": b"+1\r\nx\r\n0\r\n\r\n",
    "B13 hex prefix": b"0x1\r\nx\r\n0\r\n\r\n",
    "B13 underscore": b"1_0\r\nxxxxxxxxxxxxxxxx\r\n0\r\n\r\n",
    "B13 leading space": b" 1\r\nx\r\n0\r\n\r\n",
    "B13 trailing space": b"1 \r\nx\r\n0\r\n\r\n",
    "B13 empty size": b"\r\nx\r\n0\r\n\r\n",
    "B13 17 digits": b"00000000000000001\r\nx\r\n0\r\n\r\n",
    "B13 CR in size": b"5\rX\r\nhello\r\n0\r\n\r\n",
    "B09 LF after size": b"5\nhello\r\n0\r\n\r\n",
    "B09 LF after data": b"5\r\nhello\n0\r\n\r\n",
    "B09 LF after last": b"5\r\nhello\r\n0\n\n",
    "B09 LF in trailers": b"0\r\nX: a\nY: b\r\n\r\n",
    "B14 LF in extension": b"5;\nhello\r\n0\r\n\r\n",
    "B14 CRLF in quotes": b'5;a="\r\n"\r\nhello\r\n0\r\n\r\n',
    "B14 bare CR in extension": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "B14 NUL in extension": b"5;a\0\r\nhello\r\n0\r\n\r\n",
    "B14 64 KB of extension": b"5;a=" + b"b" * 65536 + b"\r\nhello\r\n0\r\n\r\n",
    "B15 no CRLF after data": b"5\r\nhello0\r\n\r\n",
    "B15 extra bytes": b"5\r\nhelloXX\r\n0\r\n\r\n",
    "B17 a megabyte of trailers": b"0\r\n" + b"X: " + b"y" * 2**20 + b"\r\n\r\n",
    "B17 many trailers": b"0\r\n" + b"X: y\r\n" * 20000 + b"\r\n",
}


@pytest.mark.parametrize("payload", REFUSED.values(), ids=REFUSED)
async def test_a_malformed_or_ambiguous_head_is_refused_and_ends_the_connection(payload):
    refused(await attack(payload), 400, 505)


@pytest.mark.parametrize("length", LENGTHS)
async def test_a_length_that_is_no_plain_number_is_refused(length):
    """B04, B05."""
    refused(await attack(POST + b"Content-Length: " + length + b"\r\n\r\nhello"), 400)


@pytest.mark.parametrize("coding", CODINGS)
async def test_a_coding_that_is_not_chunked_alone_is_refused(coding):
    """B06."""
    refused(await attack(POST + b"Transfer-Encoding: " + coding + b"\r\n\r\n0\r\n\r\n"), 400, 501)


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_a_malformed_chunked_body_breaks_the_request_off(body):
    """The head may have gone up by then; a complete request must not."""
    result = await attack(POST + CHUNKED + b"\r\n", body)

    assert len(result.statuses) <= 1
    assert set(result.statuses) <= {400, 431}
    assert b"/canary" not in result.targets
    assert not any(request.body.endswith(b"0\r\n\r\n") for request in result.requests)


async def test_small_chunk_extensions_are_taken_and_not_forwarded():
    """B14."""
    body = b'5;a=b;c="d"\r\nhello\r\n0;last\r\n\r\n'
    result = await attack(POST + CHUNKED + b"\r\n" + body)

    assert result.statuses == [200, 200]
    assert result.requests[0].body in (b"5\r\nhello\r\n0\r\n\r\n", b"hello")


async def test_trailers_that_frame_route_or_authorize_are_not_forwarded():
    """B16."""
    trailers = b"Authorization: Bearer evil\r\nHost: evil\r\nContent-Length: 9\r\n\r\n"
    result = await attack(
        POST + CHUNKED + b"Trailer: Authorization\r\n\r\n5\r\nhello\r\n0\r\n" + trailers
    )

    assert result.statuses == [200, 200]
    assert b"evil" not in result.requests[0].body
    assert b"Content-Length" not in result.requests[0].body


async def test_a_request_in_a_body_is_a_body():
    """B18, B23."""
    for method in (b"POST", b"GET", b"DELETE", b"OPTIONS", b"HEAD"):
        result = await attack(
            method + b" /x HTTP/1.1\r\n" + HOST
            + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED,
            answers=[b"HTTP/1.1 204 No Content\r\n\r\n"],
        )  # fmt: skip

        assert result.targets == [b"/x", b"/canary"]
        assert result.requests[0].body == SMUGGLED


async def test_pipelined_requests_are_answered_in_order():
    """B19."""
    answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + c for c in (b"a", b"b", b"c")]
    three = b"".join(b"GET /%d HTTP/1.1\r\n" % n + HOST + b"\r\n" for n in range(3))
    result = await attack(three + CANARY, canary=False, answers=[*answers, answers[0]])

    assert result.targets == [b"/0", b"/1", b"/2", b"/canary"]
    bodies = [part[-1:] for part in result.answer.split(b"HTTP/1.1 200 OK")[1:]]
    assert bodies == [b"a", b"b", b"c", b"a"]


@pytest.mark.parametrize("bad", [b"GET /x HTTP/1.1\r\nHost: evil.com\r\n\r\n", GET + b"X\r\n\r\n"])
async def test_nothing_behind_an_error_is_served(bad):
    """B20."""
    result = await attack(bad + SMUGGLED)

    assert b"/smuggled" not in result.targets
    assert len(result.statuses) >= 1
    if result.statuses[0] == 400:
        refused(result, 400)


async def test_nothing_behind_a_websocket_handshake_is_served():
    """B21, CVE-2026-69243."""
    handshake = (
        POST + b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\nhello"
    )
    refused(await attack(handshake + SMUGGLED), 400)


async def test_another_upgrade_is_dropped_and_its_request_served():
    """B21, D07: Java's HttpClient offers h2c with every first request."""
    result = await attack(
        GET + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\n\r\n"
    )

    assert result.statuses == [200, 200]
    assert not result.requests[0].values(b"Upgrade") + result.requests[0].values(b"HTTP2-Settings")
    assert result.requests[0].values(b"Connection") in ([], [b"keep-alive"])


@pytest.mark.parametrize("value", [b"x", b"200-ok", b"100-continue, 100-continue", b""])
async def test_an_expectation_of_another_kind_is_not_acted_on(value):
    """B22: refused here, or passed for the upstream to judge; never answered with 100 by us."""
    result = await attack(POST + b"Content-Length: 2\r\nExpect: " + value + b"\r\n\r\nhi")

    assert not result.answer.startswith(b"HTTP/1.1 100")
    assert set(result.statuses) <= {200, 400, 417}


async def test_names_with_an_underscore_do_not_frame_or_authorize():
    """B25: some servers read `_` as `-`."""
    result = await attack(
        POST + b"Content-Length: 2\r\nContent_Length: 5\r\nX_Forwarded_For: 1\r\n"
        b"Authorization_: x\r\nAuthorization: y\r\nX_Custom: kept\r\nTransfer_Encoding: chunked"
        b"\r\n\r\nhi"
    )  # fmt: skip

    head = result.requests[0].head.lower()
    assert b"content_length" not in head
    assert b"transfer_encoding" not in head
    assert b"x_forwarded_for" not in head
    assert b"x_custom: kept" in head


async def test_what_is_no_request_is_still_counted_and_logged():
    """Or an attack, and a broken tool, would leave no trace; nothing of it is told."""
    async with Recorder() as upstream, proxying(upstream, listen=dict(TIMES)) as proxy:
        await talk(proxy.port, GET + b"topsecret\r\n\r\n")
        await talk(proxy.port, b"GET /half HTTP/1.1\r\n")
        records = list(proxy.records)

    assert [(r.method, r.target, r.status, r.code) for r in records] == [
        ("-", b"", 400, "bad_request"),
        ("-", b"", 408, "bad_request"),
    ]


async def test_random_bytes_never_reach_the_upstream():
    """B28."""
    rng = random.Random(11)
    for _ in range(60):
        payload = rng.randbytes(rng.randrange(1, 300)) + b"\r\n\r\n"
        result = await attack(payload)

        assert result.targets in ([], [b"/canary"])


@pytest.mark.parametrize(
    "payload",
    [
        GET + b"Accept: */*\r\n\r\n",
        POST + b"Content-Length: 5\r\n\r\nhello",
        POST + CHUNKED + b"\r\n5\r\nhello\r\n0\r\n\r\n",
        GET + b"X: a\0\r\n\r\n",
    ],
)
async def test_bytes_in_packets_of_their_own_make_no_difference(payload):
    """B32."""
    whole = await attack(payload)
    single = await attack(
        *(payload[i : i + 1] for i in range(len(payload))),
        listen={"header_timeout": 10, "stall_timeout": 10},
    )

    assert single.statuses == whole.statuses
    assert single.targets == whole.targets
    if whole.requests:
        assert b"".join(r.body for r in single.requests).endswith(b"0\r\n\r\n") or (
            [r.body for r in single.requests] == [r.body for r in whole.requests]
        )


async def test_connection_cannot_name_away_what_frames():
    """B34, D03."""
    result = await attack(
        POST + b"Connection: transfer-encoding, content-length, host, authorization, via\r\n"
        b"Content-Length: 5\r\n\r\nhello"
    )  # fmt: skip

    assert result.statuses == [200, 200]
    assert result.requests[0].values(b"Content-Length") == [b"5"]
    assert result.requests[0].body == b"hello"
    assert len(result.requests[0].values(b"X-SRProxy-Instance")) == 1
