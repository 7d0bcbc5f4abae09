"""Table A of the attacks: hosts, web pages and keys, over real sockets."""

import base64
import random

import pytest

from tests.security.attacks import KEY, attack, refused

KEYS = {"api_keys": [{"name": "tool", "key": KEY}]}


def get(*lines: bytes, target: bytes = b"/x", method: bytes = b"GET") -> bytes:
    return b"\r\n".join([method + b" " + target + b" HTTP/1.1", *lines, b"", b""])


LOCAL = b"Host: localhost"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (b"evil.com", 421),
        (b"127.0.0.1.evil.com:80", 421),
        (b"localhost.evil.com:80", 421),
        (b"localhost.:80", 421),
        (b"0.0.0.0", 421),
        (b"127.1", 421),
        (b"2130706433", 421),
        (b"[::ffff:127.0.0.1]", 421),
        (b"localhost:80@evil.com", 400),
        (b"localhost/x", 400),
        (b"localhost:80, evil.com", 400),
        (b"", 400),
        (b":80", 400),
        (b"[::1", 400),
    ],
)
async def test_a_host_that_is_not_ours_is_refused(host, status):
    """A01-A05."""
    refused(await attack(get(b"Host: " + host), canary=False), status)


@pytest.mark.parametrize("host", [b"LOCALHOST:1", b"127.0.0.2", b"[::1]:80", b"x.localhost"])
async def test_a_host_that_is_ours_is_served(host):
    """A06."""
    assert (await attack(get(b"Host: " + host))).statuses == [200, 200]


async def test_no_host_stops_the_proxy():
    """A07, CVE-2026-14631."""
    rng = random.Random(3)
    for _ in range(40):
        host = bytes(rng.choice(b"[]:%@.a1\x80\xff/\\ ,") for _ in range(rng.randrange(60)))
        refused(await attack(get(b"Host: " + host), canary=False), 400, 421)
    refused(await attack(get(b"Host: " + b"a" * 8192), canary=False), 400, 421)


@pytest.mark.parametrize(
    "head",
    [get(), get(LOCAL, LOCAL), get(LOCAL, b"Host: evil.com"), get(b"Host: evil.com", LOCAL)],
)
async def test_a_missing_or_repeated_host_is_refused(head):
    """A08."""
    refused(await attack(head, canary=False), 400)


@pytest.mark.parametrize(
    "lines",
    [
        [b"Origin: https://evil.com"],
        [b"Origin: null"],
        [b"Origin: http://localhost:9999"],
        [b"Origin: https://evil.com", b"Content-Type: text/plain"],
        [b"Sec-Fetch-Site: cross-site"],
        [b"Sec-Fetch-Site: same-site", b"Sec-Fetch-Mode: no-cors", b"Sec-Fetch-Dest: image"],
        [b"Sec-Fetch-Site: cross-site", b"Sec-Fetch-Mode: navigate", b"Sec-Fetch-Dest: document"],
    ],
)
@pytest.mark.parametrize("method", [b"GET", b"POST", b"OPTIONS"])
async def test_a_web_page_of_another_origin_is_refused(lines, method):
    """A09-A11, A14."""
    result = await attack(get(LOCAL, *lines, method=method), canary=False)

    refused(result, 403)
    assert result.code == "cross_origin"
    assert b"access-control" not in result.answer.lower()


async def test_a_private_network_preflight_gets_no_permission():
    """A14."""
    result = await attack(
        get(
            LOCAL,
            b"Origin: https://evil.com",
            b"Access-Control-Request-Method: GET",
            b"Access-Control-Request-Private-Network: true",
            method=b"OPTIONS",
        ),
        canary=False,
    )

    refused(result, 403)
    assert b"access-control" not in result.answer.lower()


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [b"Sec-Fetch-Site: none", b"Sec-Fetch-Mode: navigate", b"Sec-Fetch-Dest: document"],
        [b"Sec-Fetch-Site: same-origin"],
        [b"Origin: http://localhost"],
    ],
)
async def test_programs_and_typed_addresses_are_served(lines):
    """A12, A13."""
    assert (await attack(get(LOCAL, *lines))).statuses == [200, 200]


@pytest.mark.parametrize(
    "line",
    [
        b"X: none",
        b"X-API-Key: " + KEY[:-1].encode(),
        b"X-API-Key:",
        b"X-API-Key: " + KEY.encode() + b"\r\nX-API-Key: " + KEY.encode(),
        b"X-API-Key: " + KEY.encode() + b"\r\nAuthorization: Bearer " + KEY.encode(),
        b"Authorization: Bearer " + KEY.upper().encode(),
        b"Authorization: " + KEY.encode(),
    ],
)
async def test_a_caller_without_a_key_is_refused(line):
    """A15, A16."""
    result = await attack(get(LOCAL, line), canary=False, access=KEYS)

    refused(result, 401)
    assert b"\r\nWWW-Authenticate: Basic realm=" in result.answer


async def test_a_key_in_the_query_is_none():
    """A16."""
    result = await attack(get(LOCAL, target=b"/x?key=" + KEY.encode()), canary=False, access=KEYS)

    refused(result, 401)


@pytest.mark.parametrize(
    "line",
    [
        b"Authorization: Bearer " + KEY.encode(),
        b"Authorization: Basic " + base64.b64encode(b"x:" + KEY.encode()),
        b"X-SmartToken: " + KEY.encode(),
        b"X-API-Key: " + KEY.encode(),
        b"X-SRProxy-Key: " + KEY.encode(),
    ],
)
async def test_a_key_is_taken_and_goes_no_further(line):
    """A17; that the key is not at the upstream is looked at for every attack."""
    result = await attack(get(LOCAL, line, b"Connection: close"), canary=False, access=KEYS)

    assert result.statuses == [200]
    name = line.partition(b":")[0]
    assert name == b"Authorization" or not result.requests[0].values(name)


async def test_a_refusal_says_which_rules_refused():
    access = {"api_keys": [{"name": "tool", "key": KEY, "allow": ["GET **"]}], "allow": ["* **"]}
    result = await attack(
        get(LOCAL, b"X-API-Key: " + KEY.encode(), method=b"DELETE"), canary=False, access=access
    )

    refused(result, 403)
    assert b'API key \\"tool\\"' in result.answer
