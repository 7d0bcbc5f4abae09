"""What the proxy answers itself: dry runs, and tools that ask for a token."""

import json
from base64 import b64encode
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.support.proxying import GET, HOST, proxying
from tests.support.recorder import Recorder

KEY, OTHER = "k" * 24, "o" * 24
KEYED = {"api_keys": [{"name": "tool", "key": KEY}, {"name": "other", "key": OTHER}]}
FORM = "application/x-www-form-urlencoded"


def post(target: bytes, body: bytes, kind: str = FORM, *lines: str) -> bytes:
    head = [f"Content-Type: {kind}", f"Content-Length: {len(body)}", *lines]
    return b"POST %b HTTP/1.1\r\n%b%b\r\n\r\n%b" % (
        target, HOST, "\r\n".join(head).encode(), body,
    )  # fmt: skip


def ask(fields: dict[str, str], *lines: str) -> bytes:
    return post(b"/identity/oauth/token", urlencode(fields).encode(), FORM, *lines)


def basic(identity: str, secret: str) -> str:
    return "Authorization: Basic " + b64encode(f"{identity}:{secret}".encode()).decode()


# ── dry runs ──


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"PATCH", b"DELETE", b"PROPFIND"])
async def test_a_dry_run_keeps_writes_here_and_says_what_would_have_been_sent(method) -> None:
    request = post(b"/candidates?a=b", b'{"x": 1}', "application/json", "X-SmartToken: mine")
    async with Recorder() as upstream, proxying(upstream, access={"dry_run": True}) as proxy:
        async with proxy.caller() as caller:
            head, body = await caller.ask(request.replace(b"POST", method, 1))
            read, _ = await caller.ask(GET)

    told = json.loads(body)
    assert head.startswith(b"HTTP/1.1 202 Accepted\r\n")
    assert b"\r\nProxy-Status: " in head
    assert told["code"] == "dry_run"
    sent = told["would_send"]
    assert (sent["method"], sent["body"]) == (method.decode(), '{"x": 1}')
    assert sent["url"] == f"{upstream.url}/candidates?a=b"
    assert ["Content-Type", "application/json"] in sent["headers"]
    assert "mine" not in body.decode()
    assert read.startswith(b"HTTP/1.1 200 ")
    assert [request.head[:4] for request in upstream.requests] == [b"GET "]
    assert proxy.records[0].status == 202


async def test_a_dry_run_tells_a_caller_to_go_on_and_shows_the_beginning_of_a_long_body() -> None:
    head = b"POST /x HTTP/1.1\r\n%bExpect: 100-continue\r\nContent-Length: 100\r\n\r\n" % HOST
    small = {"max_replay_body": 10}
    dry = {"dry_run": True}
    async with Recorder() as upstream, proxying(upstream, access=dry, upstream=small) as proxy:
        async with proxy.caller() as caller:
            await caller.send(head)
            assert await caller.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
            _, body = await caller.ask(b"y" * 100)

    sent = json.loads(body)["would_send"]
    assert (sent["body"], sent["body_size"], sent["truncated"]) == ("y" * 10, 100, True)


# ── tools that ask for a token ──


async def answer(request: bytes, access=None) -> tuple[int, dict[str, Any], bytes]:
    async with Recorder() as upstream, proxying(upstream, access=access or {}) as proxy:
        head, body = await proxy.ask(request)
    assert upstream.requests == []
    return int(head.split()[1]), json.loads(body), head


@pytest.mark.parametrize("grant", ["client_credentials", "refresh_token", "password", "x"])
async def test_without_keys_any_grant_type_gets_a_placeholder(grant: str) -> None:
    request = ask({"grant_type": grant, "client_id": "a", "client_secret": "b"})
    status, told, head = await answer(request, {"allow": ["GET **"], "dry_run": True})

    assert status == 200
    assert told["token_type"] == "bearer"
    assert told["expires_in"] == 1799
    assert told["access_token"]
    assert told["refresh_token"]
    assert b"\r\nCache-Control: no-store\r\n" in head
    assert b"Proxy-Status" not in head


@pytest.mark.parametrize(
    "request_bytes",
    [
        ask({"grant_type": "client_credentials", "client_id": "a", "client_secret": KEY}),
        ask({"grant_type": "refresh_token", "refresh_token": KEY}),
        ask({"grant_type": "client_credentials"}, basic("a", KEY)),
        ask({"grant_type": "client_credentials", "client_id": "a"}, basic("a", KEY)),
        ask({"grant_type": "x", "client_secret": KEY}, f"X-API-Key: {KEY}"),
        post(
            b"/identity/oauth/token",
            json.dumps({"grant_type": "x", "client_secret": KEY}).encode(),
            "application/json; charset=utf-8",
        ),
    ],
)
async def test_with_keys_the_token_is_the_key(request_bytes: bytes) -> None:
    status, told, _ = await answer(request_bytes, KEYED)

    assert status == 200
    assert told["access_token"] == KEY


@pytest.mark.parametrize(
    "request_bytes",
    [
        ask({"grant_type": "client_credentials", "client_id": "a", "client_secret": "wrong"}),
        ask({"grant_type": "client_credentials", "client_id": "a"}),
        ask({"grant_type": "refresh_token", "refresh_token": "wrong"}),
        ask({"grant_type": "client_credentials"}, basic("a", "wrong")),
        ask({"grant_type": "client_credentials", "client_id": "a"}, f"X-API-Key: {KEY}"),
        # What contradicts a valid key.
        ask({"grant_type": "x", "client_secret": "wrong"}, f"X-API-Key: {KEY}"),
        ask({"grant_type": "x", "client_secret": OTHER}, f"X-API-Key: {KEY}"),
        ask({"grant_type": "x", "client_secret": OTHER}, basic("a", KEY)),
        ask({"grant_type": "x", "client_id": "b"}, basic("a", KEY)),
    ],
)
async def test_what_is_no_key_is_an_invalid_client(request_bytes: bytes) -> None:
    status, told, head = await answer(request_bytes, KEYED)

    assert status == 401
    assert told["error"] == "invalid_client"
    assert b"\r\nWWW-Authenticate: Basic " in head


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"grant_type=a&grant_type=b", b"x=y",
        b'{"grant_type": ' + b"[" * 30000,
        b'{"grant_type": "x", "client_secret": "\\ud800"}',
    ],
)  # fmt: skip
async def test_what_is_no_token_request_is_said(body: bytes) -> None:
    kind = "application/json" if body.startswith(b"{") else FORM
    status, told, _ = await answer(post(b"/identity/oauth/token", body, kind), KEYED)

    assert (status, told["error"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("request_line", "status", "words"),
    [
        (b"GET /identity/oauth/token HTTP/1.1", 403, "base URL"),
        (b"POST /identity/oauth/allow HTTP/1.1", 403, "base URL"),
        (b"POST /identity/%6fauth/token HTTP/1.1", 403, "base URL"),
        (b"GET http://api.smartrecruiters.com/jobs HTTP/1.1", 421, "base URL"),
        (b"CONNECT api.smartrecruiters.com:443 HTTP/1.1", 405, "base URL"),
    ],
)
async def test_the_answer_to_a_misuse_names_the_remedy(request_line, status, words) -> None:
    code, told, _ = await answer(request_line + b"\r\n" + HOST + b"\r\n")

    assert code == status
    assert words in told["detail"]
