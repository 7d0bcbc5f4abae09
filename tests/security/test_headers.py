"""Table D of the attacks: headers and credentials, over real sockets."""

import io
from typing import Any

import pytest

from proxy.telemetry.logs import Output
from proxy.telemetry.traffic import AccessLog, RequestRecord
from tests.security.attacks import TOKEN, attack, refused

HEAD = b"GET /x HTTP/1.1\r\nHost: localhost\r\n"


async def forwarded(*lines: bytes, **keywords: Any):
    """Send a request with these lines; return it as the upstream saw it."""
    result = await attack(HEAD + b"\r\n".join([*lines, b"", b""]), **keywords)
    assert result.statuses == [200, 200], result.answer
    return result.requests[0]


@pytest.mark.parametrize(
    "line",
    [
        b"Connection: authorization", b"Connection: close\r\nConnection: Authorization",
        b"Connection: keep-alive, Authorization", b"Connection:\tAuthorization\t",
        b'Connection: "authorization"', b"Proxy-Connection: authorization",
        b"Connection: host, via, content-length, date",
    ],
)  # fmt: skip
async def test_the_token_cannot_be_named_away(line):
    """D01-D03, golang/go #50580; that it arrives once is looked at for every attack."""
    result = await attack(HEAD + line + b"\r\n\r\n", canary=False)

    assert result.statuses == [200]
    assert result.requests[0].values(b"Authorization") == [b"Bearer " + TOKEN]
    assert len(result.requests[0].values(b"X-SRProxy-Instance")) == 1


async def test_what_connection_names_stays_here():
    """D04."""
    request = await forwarded(b"Connection: X-Custom, keep-alive", b"X-Custom: 1", b"X-Other: 2")

    assert not request.values(b"X-Custom")
    assert request.values(b"X-Other") == [b"2"]


@pytest.mark.parametrize(
    "lines",
    [
        [b"Authorization: Bearer evil"],
        [b"authorization: Bearer evil", b"AUTHORIZATION: Basic evil"],
        [b"Authorization:"],
        [b"Authorization: Basic ZXZpbA=="],
        [b"Proxy-Authorization: Basic evil"],
        [b"X-SmartToken: evil"],
        [b"X-SRProxy-Anything: evil"],
        [b"x_smarttoken: evil", b"X_SRProxy_Key: evil"],
    ],
)
async def test_a_caller_s_own_credential_stays_here(lines):
    """D05, D06, D09."""
    request = await forwarded(*lines)

    assert b"evil" not in request.head
    assert request.values(b"Authorization") == [b"Bearer " + TOKEN]


@pytest.mark.parametrize(
    "line",
    [
        b"Proxy-Connection: keep-alive", b"Keep-Alive: timeout=5", b"TE: trailers, deflate",
        b"Upgrade: h2c", b"HTTP2-Settings: AAM", b"Forwarded: for=1.2.3.4",
        b"X-Forwarded-For: 1.2.3.4", b"X-Forwarded-Host: evil", b"X-Forwarded-Proto: http",
        b"X-Forwarded-Uri: /evil", b"X-Forwarded-Prefix: /evil", b"X-Real-IP: 1.2.3.4",
    ],
)  # fmt: skip
async def test_hop_by_hop_and_forwarding_headers_stay_here(line):
    """D06, D07, D10."""
    assert not (await forwarded(line)).values(line.partition(b":")[0])


@pytest.mark.parametrize(
    "line",
    [
        b"X-Original-URL: /identity/oauth/token", b"X-Rewrite-URL: /identity/oauth/token",
        b"X-HTTP-Method-Override: DELETE", b"X-L: caf\xe9", b"X-Request-ID: abc",
    ],
)  # fmt: skip
async def test_headers_that_mean_nothing_to_us_pass_and_are_not_acted_on(line):
    """D10, D13."""
    request = await forwarded(line)

    assert line in request.lines
    assert request.lines[0] == b"GET /x HTTP/1.1"


async def test_a_method_override_does_not_widen_a_rule():
    result = await attack(
        HEAD.replace(b"GET", b"POST") + b"X-HTTP-Method-Override: GET\r\n\r\n",
        canary=False,
        access={"allow": ["GET **"]},
    )

    refused(result, 403)


async def test_repeats_order_and_case_are_kept():
    """D11."""
    request = await forwarded(b"X-A: 1", b"x-b: 2", b"X-A: 3")

    assert [line for line in request.lines if line[:3].lower() in (b"x-a", b"x-b")] == [
        b"X-A: 1", b"x-b: 2", b"X-A: 3",
    ]  # fmt: skip


async def test_cookies_of_one_caller_are_not_another_s():
    """D12."""
    result = await attack(
        HEAD + b"\r\n",
        answers=[b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"],
    )

    assert b"Set-Cookie: a=b" in result.answer
    assert not any(request.values(b"Cookie") for request in result.requests)


async def test_many_headers_are_taken_and_too_many_refused():
    """D14, I06."""
    lines = [b"X-%d: y" % number for number in range(600)]
    assert len((await forwarded(*lines)).lines) > 600

    result = await attack(HEAD + b"X: y\r\n" * 100_000 + b"\r\n", canary=False)
    assert set(result.statuses) <= {431}
    assert result.requests == []


@pytest.mark.parametrize(
    "payload",
    [
        HEAD + b"X-Api-Key: topsecret\0value\r\n\r\n",
        HEAD + b"topsecret\r\n\r\n",
        b"GET /topsecret\x01 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /topsecret/.. HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: topsecret.example\r\n\r\n",
        b"TOPSECRET /x HTTP/9.9\r\n\r\n",
        HEAD + b"Origin: http://topsecret.example\r\n\r\n",
        HEAD + b"Content-Length: topsecret\r\n\r\n",
        HEAD + b"Transfer-Encoding: topsecret\r\n\r\n",
    ],
)
async def test_nothing_of_a_refused_request_is_repeated(payload, caplog):
    """D15: aiohttp shows such a request to its sender and to the log."""
    caplog.set_level("DEBUG")
    result = await attack(payload, canary=False)

    assert len(result.statuses) == 1
    assert result.requests == []
    assert b"topsecret" not in result.answer.lower()
    assert "topsecret" not in caplog.text.lower()


async def test_one_request_is_one_line_of_the_log():
    """D19."""
    record = RequestRecord("id", 0.0, "GET", b"/%0a2026 fake\x1b[31m\n", b"a\nb=c")
    for as_json in (True, False):
        stream = io.StringIO()
        log = AccessLog(Output(stream, as_json=as_json))
        log.add([record])
        log.write()
        line = stream.getvalue()
        assert line.count("\n") == 1
        assert "\x1b" not in line
