"""Table C of the attacks: targets, paths and what they might lead to, over real sockets."""

import pytest

from tests.security.attacks import HOST, attack, refused


def get(target: bytes, method: bytes = b"GET") -> bytes:
    return method + b" " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n"


@pytest.mark.parametrize(
    "target",
    [
        b"http://evil.example/p", b"https://evil.example/p", b"http://api.smartrecruiters.com/x",
        b"http://localhost.evil.example/p", b"http://127.0.0.1.evil.example/",
    ],
)  # fmt: skip
async def test_an_absolute_form_for_somebody_else_is_refused(target):
    """C01."""
    result = await attack(get(target), canary=False)

    refused(result, 421)
    assert result.code == "bad_host"


async def test_an_absolute_form_for_us_is_served_in_origin_form():
    """C01, overruled by rule 3 of requests: legacy tools send it."""
    result = await attack(get(b"http://localhost/p?q"))

    assert result.targets == [b"/p?q", b"/canary"]


@pytest.mark.parametrize(
    "target",
    [
        b"@evil/x", b".evil.com/x", b":80@evil/", b"x", b"?q", b"*", b"evil.example:443",
        b"http://u@localhost/x", b"http:///x", b"//\\evil/x", b"/\\evil/x", b"ftp://localhost/",
        b"file:///etc/passwd", b"/x/../identity/oauth/token", b"/./identity/oauth", b"/..", b"/.",
        b"/x/%2e%2e/identity/oauth/token", b"/x/..%2fidentity", b"/x/%2e%2e%2fidentity",
        b"/x/..;/identity", b"/x/.%2e/", b"/x%2f..%2fy", b"/x\\..\\..", b"/%5c..", b"/%00",
        b"/x%00.json", b"/%0d%0aX:1", b"/x#y", b"/x?#y", b"/caf\xe9", "/café".encode(),
    ],
)  # fmt: skip
async def test_a_target_that_could_be_read_in_two_ways_is_refused(target):
    """C02, C03, C05, C06, C08, C11, C14."""
    result = await attack(get(target), canary=False)

    refused(result, 400)


@pytest.mark.parametrize("raw", [b"/x\0y", b"/x\x01", b"/x y", b"/x\ty", b"/x\x7f", b"/x\x0b"])
async def test_a_raw_control_or_space_in_a_target_is_refused(raw):
    """C08."""
    refused(await attack(get(raw)), 400)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        (b"TRACE", b"/x"), (b"TRACK", b"/x"), (b"CONNECT", b"evil.example:443"),
        (b"CONNECT", b"/x"), (b"trace", b"/x"),
    ],
)  # fmt: skip
async def test_methods_that_would_show_the_token_or_tunnel_are_refused(method, target):
    """C04."""
    result = await attack(get(target, method), canary=False)

    refused(result, 405)
    assert b"\r\nAllow: GET, HEAD, POST" in result.answer


@pytest.mark.parametrize(
    "target",
    [
        b"/identity/oauth/token", b"/IDENTITY/oauth/token", b"/%69dentity/oauth/token",
        b"/identity/oauth%2ftoken", b"/identity%2Foauth/token", b"//identity/oauth/token",
        b"/identity//oauth", b"/x/%252e%252e/identity/oauth/token", b"/identity;a/oauth",
    ],
)  # fmt: skip
async def test_the_token_endpoint_is_not_for_callers(target):
    """C07, C09."""
    result = await attack(get(target), canary=False)

    refused(result, 403)
    assert result.code == "not_allowed"


@pytest.mark.parametrize(
    "target",
    [
        b"/jobs?next=/identity/oauth/token", b"/identity", b"/a?", b"/a", b"//x//y", b"/a%2Fb%5Cc",
        b"/a%2Fb%20c;d=1+2/%41/%7e?q=%21!&r=a+b&e=&&s=%zz&j=[1]{}^", b"/%252e%252e/x",
        b"/x?y=/../z&w=%00%0d%0a", b"/candidates?pageId=a%2Fb%3D%3D", b'/"<>|`',
        b"/" + b"x" * 8000, b"/?" + b"q" * 16000,
    ],
)  # fmt: skip
async def test_every_other_target_reaches_the_upstream_byte_for_byte(target):
    """C10, C12, C13, C15."""
    result = await attack(get(target))

    assert result.targets == [target, b"/canary"]


async def test_a_target_beyond_the_limit_is_refused_as_such():
    """C15."""
    result = await attack(get(b"/" + b"x" * 100_000), canary=False)

    refused(result, 414)
    assert result.code == "head_too_large"


async def test_a_path_prefix_stands_before_every_path():
    """C16: whatever the target, the upstream's own prefix is not left."""
    from tests.security.attacks import canary_credentials, talk
    from tests.support.proxying import proxying
    from tests.support.recorder import Recorder

    async with (
        Recorder() as upstream,
        proxying(
            upstream,
            credentials=canary_credentials(),
            upstream={"url": upstream.url + "/tenant"},
        ) as proxy,
    ):
        for target in (b"/x", b"//evil/x", b"/@evil", b"/%2e%2e/x", b"/a?/../b"):
            await talk(proxy.port, get(target)[:-2] + b"Connection: close\r\n\r\n")
        seen = [request.lines[0].split(b" ")[1] for request in upstream.requests]

    assert seen == [b"/tenant/x", b"/tenant//evil/x", b"/tenant/@evil", b"/tenant/a?/../b"]


@pytest.mark.parametrize(
    "target", [b"/-/nothing", b"/-/live/../../candidates", b"/-/%2e%2e/candidates", b"/-/x?y"]
)
async def test_nothing_below_our_own_prefix_is_forwarded(target):
    result = await attack(get(target), canary=False)

    assert result.requests == []
