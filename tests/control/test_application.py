"""The table of routes, and what every answer has in common."""

import json

import pytest

from proxy.errors import KINDS, Problem
from tests.control.conftest import BROWSER, FakeAccount, Serve, World

ROUTES = [
    ("GET", "/-/"), ("GET", "/-/status"), ("GET", "/-/login"), ("POST", "/-/login"),
    ("POST", "/-/login/complete"), ("POST", "/-/logout"), ("GET", "/-/live"), ("GET", "/-/ready"),
    ("GET", "/-/metrics"), ("GET", "/-/postman.json"), ("GET", "/-/callback"),
    ("GET", "/-/nothing"), ("PUT", "/-/"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("headers", [{}, BROWSER])
async def test_every_answer_closes_and_carries_the_security_headers(
    serve: Serve, method: str, path: str, headers: dict[str, str]
) -> None:
    client = await serve()

    answer = await client.request(method, path, headers=headers, allow_redirects=False)

    assert answer.headers.getall("Connection") == ["close"]
    assert "Server" not in answer.headers
    assert answer.headers.getall("Cache-Control") == ["no-store"]
    assert answer.headers.getall("X-Content-Type-Options") == ["nosniff"]
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    if answer.status >= 400:
        assert "Proxy-Status" in answer.headers
        page = "Sec-Fetch-Mode" in headers or path == "/-/callback"
        expected = "text/html" if page else "application/problem+json"
        assert answer.content_type == expected


@pytest.mark.parametrize(
    "path",
    ["/-/nothing", "/-/login/", "/-/status/x", "/-//", "/-/Status", "/-/page.css"],
)
async def test_anything_else_is_not_found(serve: Serve, path: str) -> None:
    client = await serve()

    answer = await client.get(path)

    assert answer.status == 404
    assert json.loads(await answer.text())["code"] == "not_found"
    assert answer.headers["Proxy-Status"].startswith("smartrecruiters-proxy; error=")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/-/", "GET, HEAD"),
        ("FOO", "/-/", "GET, HEAD"),
        ("DELETE", "/-/login", "GET, POST, HEAD"),
        ("GET", "/-/logout", "POST"),
        ("HEAD", "/-/logout", "POST"),
        ("OPTIONS", "/-/live", "GET, HEAD"),
        ("GET", "/-/login/complete", "POST"),
    ],
)
async def test_a_wrong_method_is_405_with_allow(
    serve: Serve, method: str, path: str, allow: str
) -> None:
    client = await serve()

    answer = await client.request(method, path)

    assert answer.status == 405
    assert answer.headers["Allow"] == allow


@pytest.mark.parametrize(
    "path",
    [
        "/-/",
        "/-/status",
        "/-/live",
        "/-/ready",
        "/-/metrics",
        "/-/events",
        "/-/postman.json",
        "/-/postman-collection.json",
    ],
)
async def test_head_is_get_without_a_body(serve: Serve, path: str) -> None:
    client = await serve()

    answer = await client.head(path)

    assert answer.status == 200
    assert await answer.read() == b""


async def test_live_touches_nothing(serve: Serve, world: World) -> None:
    client = await serve()
    world.problem = Problem("store_unavailable", "The store is away.")
    world.account.now = None  # type: ignore[assignment]

    assert (await client.get("/-/live")).status == 200


async def test_ready_says_the_reason_by_its_code(serve: Serve, world: World) -> None:
    client = await serve()
    ready = await client.get("/-/ready")
    world.problem = Problem("login_required", "Nobody has logged in.", reason="never_authorized")
    answer = await client.get("/-/ready")
    body = json.loads(await answer.text())

    assert ready.status == 200
    assert answer.status == 503
    assert (body["code"], body["reason"]) == ("login_required", "never_authorized")


async def test_status_is_the_documented_json(serve: Serve, world: World) -> None:
    client = await serve()
    world.account.authorize()

    body = await (await client.get("/-/status")).json()

    assert list(body) == ["version", "upstream", "started_at", "accounts"]
    assert body["version"] == "1.2.3"
    assert body["upstream"] == "https://api.smartrecruiters.com"
    assert body["started_at"] == "2026-09-21T14:13:20Z"
    assert body["accounts"] == [world.account.now.as_json(world.clock.now())]


async def test_status_tells_one_account_alone_where_one_is_named(
    serve: Serve, world: World
) -> None:
    world.others["acme"] = FakeAccount("acme")
    client = await serve()

    both = await (await client.get("/-/status")).json()
    one = await (await client.get("/-/status?account=acme")).json()
    none = await client.get("/-/status?account=nobody")

    assert [account["name"] for account in both["accounts"]] == ["default", "acme"]
    assert [account["name"] for account in one["accounts"]] == ["acme"]
    assert none.status == 404
    assert (await none.json(content_type=None))["code"] == "unknown_account"


async def test_ready_asks_for_one_account_where_one_is_named(serve: Serve, world: World) -> None:
    world.others["acme"] = FakeAccount("acme")
    world.others["acme"].problem = Problem("login_required", "x", reason="never_authorized")
    client = await serve()

    answers = [
        (await client.get(path)).status
        for path in ("/-/ready", "/-/ready?account=default", "/-/ready?account=acme",
                     "/-/ready?account=nobody")
    ]  # fmt: skip

    assert answers == [200, 200, 503, 404]


@pytest.mark.parametrize("path", ["/-/live", "/-/status", "/-/nothing", "/-/"])
async def test_every_answer_returns_the_requests_id(serve: Serve, path: str) -> None:
    client = await serve()

    own = await client.get(path, headers={"X-Request-ID": "my-42"})
    made = await client.get(path)

    assert own.headers["X-Request-ID"] == "my-42"
    assert made.headers["X-Request-ID"] not in ("", "my-42")
    assert len(own.headers.getall("X-Request-ID")) == 1


async def test_an_unknown_route_is_told_those_that_there_are(serve: Serve) -> None:
    client = await serve()

    detail = (await (await client.get("/-/nope")).json(content_type=None))["detail"]

    for route in ("/-/status", "/-/login/complete", "/-/postman.json", "/-/events"):
        assert route in detail


async def test_metrics_are_text(serve: Serve) -> None:
    client = await serve()

    answer = await client.get("/-/metrics")

    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert await answer.text() == "srproxy_up 1\n"


async def test_postman_holds_this_address_and_a_place_for_the_key(serve: Serve) -> None:
    keys = {"api_keys": [{"name": "ats", "key": "api-key-0123456789abcdef"}]}
    client = await serve(access=keys)

    answer = await client.get("/-/postman.json", headers={"Host": "127.0.0.1:9000"})
    body = await answer.json()

    values = {value["key"]: value["value"] for value in body["values"]}
    assert values == {"baseUrl": "http://127.0.0.1:9000", "apiKey": ""}
    assert body["_postman_variable_scope"] == "environment"
    assert "attachment" in answer.headers["Content-Disposition"]


async def test_the_collection_has_every_operation_for_this_address(serve: Serve) -> None:
    client = await serve()

    answer = await client.get("/-/postman-collection.json", headers={"Host": "127.0.0.1:9000"})
    body = await answer.json()

    assert {"key": "baseUrl", "value": "http://127.0.0.1:9000"} in body["variable"]
    assert sum(len(folder["item"]) for folder in body["item"]) == 305
    assert "attachment" in answer.headers["Content-Disposition"]


async def test_an_unforeseen_failure_tells_nothing(
    serve: Serve, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    client = await serve()
    world.account.now = None  # type: ignore[assignment]

    answer = await client.get("/-/")
    body = json.loads(await answer.text())

    assert answer.status == 500
    assert body["code"] == "internal_error"
    assert "AttributeError" not in json.dumps(body)
    assert "control_route_failed" in caplog.text


async def test_an_allowed_origin_is_told_so_and_no_other(serve: Serve) -> None:
    client = await serve(access={"allowed_origins": ["https://tool.example.com"]})

    ours = await client.get("/-/status", headers={"Origin": "https://tool.example.com"})
    other = await client.get("/-/status", headers={"Origin": "https://evil.example"})

    assert ours.headers["Access-Control-Allow-Origin"] == "https://tool.example.com"
    assert "Access-Control-Allow-Origin" not in other.headers
    assert ours.headers["Vary"] == other.headers["Vary"] == "Origin"


async def test_without_allowed_origins_there_is_no_cors_header(serve: Serve) -> None:
    client = await serve()

    answer = await client.get("/-/status", headers={"Origin": "http://localhost:8080"})

    assert not [name for name in answer.headers if name.startswith("Access-Control")]


async def test_a_large_body_is_refused(serve: Serve) -> None:
    client = await serve()

    answer = await client.post("/-/login/complete", data=b"x" * 70_000)

    body = json.loads(await answer.text())
    assert answer.status == 413
    assert body["code"] == "bad_request"
    assert body["detail"] == "The request body is larger than 64 KiB."
    assert answer.headers["Referrer-Policy"] == "no-referrer"


async def test_a_body_that_does_not_come_is_not_waited_for(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    monkeypatch.setattr("proxy.gateway.front.asked.BODY_TIMEOUT", 0.05)
    client = await serve(listen={"stall_timeout": 0.4})
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(b"POST /-/logout HTTP/1.1\r\nHost: localhost:8080\r\nContent-Length: 5\r\n\r\n")

    head = await reader.readuntil(b"\r\n\r\n")
    body = json.loads(await reader.read())
    writer.close()

    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"\r\nContent-Security-Policy: " in head
    assert body["detail"] == "The request body did not arrive in time; send it again."


async def test_problem_pages_escape_and_explain(serve: Serve, world: World) -> None:
    client = await serve()
    world.problem = Problem("login_required", "A <b>detail</b>", login_url="http://x/-/login?a=1&b")

    page = await (await client.get("/-/ready", headers=BROWSER)).text()

    assert "A &lt;b&gt;detail&lt;/b&gt;" in page
    assert 'href="http://x/-/login?a=1&amp;b"' in page
    assert KINDS["login_required"].help in page
