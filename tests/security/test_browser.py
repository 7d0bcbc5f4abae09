"""A20 of the attacks: a page of another origin in a real Chromium reaches nothing.

Every means that a page has is tried against forwarded paths and against the proxy's own, from
another port of localhost (same site), from another name (cross site), and from a name that was
re-pointed to this machine (DNS rebinding).
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.security.product import Product, product

playwright = pytest.importorskip("playwright.async_api", reason="playwright is not installed")

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
    "--host-resolver-rules=MAP *.test 127.0.0.1",
)  # fmt: skip

# Each line is one way in; what it could read or do is put into `reached`.
ATTACK = """<!doctype html><meta charset="utf-8"><title>attack</title>
<link rel="prefetch" href="@/candidates?by=prefetch">
<link rel="stylesheet" href="@/candidates?by=style">
<link rel="modulepreload" href="@/candidates?by=modulepreload">
<body>
<img src="@/candidates?by=img"><img src="@/-/login?by=img">
<script src="@/candidates?by=script"></script>
<script type="module">import("@/candidates?by=module").catch(() => 0)</script>
<iframe src="@/candidates?by=iframe"></iframe><iframe src="@/-/?by=iframe"></iframe>
<object data="@/candidates?by=object"></object><video src="@/candidates?by=video"></video>
<iframe name="sink"></iframe>
<form id="text" method="post" enctype="text/plain" action="@/candidates?by=form" target="sink">
<input name="a" value="b"></form>
<form id="url" method="post" action="@/-/logout?by=form" target="sink"></form>
<form id="get" method="get" action="@/candidates" target="sink"><input name="by" value="get"></form>
<script>
const reached = [];
const note = (by) => (value) => { reached.push([by, String(value).slice(0, 80)]); };
async function attack() {
  const tries = [];
  for (const mode of ["cors", "no-cors"]) {
    for (const credentials of ["omit", "include"]) {
      for (const [method, path] of [["GET", "/candidates"], ["POST", "/candidates"],
                                    ["GET", "/-/status"], ["POST", "/-/logout"],
                                    ["GET", "/-/metrics"]]) {
        tries.push(fetch("@" + path + "?by=fetch", {method, mode, credentials,
          body: method == "POST" ? "{}" : undefined}).then(async (r) => {
            const text = await r.text();
            if (text) note("fetch " + mode + method + path)(text);
          }).catch(() => 0));
      }
    }
  }
  tries.push(fetch("@/candidates?by=put", {method: "PUT", body: "{}",
    headers: {"Content-Type": "application/json"}}).then(note("put")).catch(() => 0));
  tries.push(fetch("@/candidates?by=pna", {targetAddressSpace: "loopback"})
    .then(note("pna")).catch(() => 0));
  const xhr = new XMLHttpRequest();
  xhr.open("GET", "@/candidates?by=xhr");
  xhr.onload = () => note("xhr")(xhr.responseText); xhr.send();
  navigator.sendBeacon("@/candidates?by=beacon", "x");
  const events = new EventSource("@/-/events?by=events");
  events.onmessage = (e) => note("events")(e.data); events.onopen = note("events open");
  const socket = new WebSocket("@/candidates?by=websocket".replace("http", "ws"));
  socket.onopen = note("websocket");
  for (const id of ["text", "url", "get"]) {
    document.getElementById(id).submit();
    await new Promise((done) => setTimeout(done, 150));
  }
  await Promise.allSettled(tries);
  await new Promise((done) => setTimeout(done, 700));
  for (const frame of document.querySelectorAll("iframe")) {
    try { const text = frame.contentDocument.body.innerText; if (text) note("frame")(text); }
    catch (e) { /* another origin's: not to be read */ }
  }
  return reached;
}
</script>"""


@asynccontextmanager
async def attacker(target: str) -> AsyncIterator[int]:
    """Serve the attacking page on a port of its own."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        page = ATTACK.replace("@", target).encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(page), page)
        )
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@asynccontextmanager
async def chromium() -> AsyncIterator[Any]:
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not installed")
    async with playwright.async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=str(CHROMIUM), args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            await browser.close()


def tried(made: Product) -> dict[str, set[str]]:
    """Return the codes with which each kind of request was refused, by path; from the log."""
    lines = [json.loads(line) for line in made.log.getvalue().splitlines()]
    codes: dict[str, set[str]] = {}
    for line in lines:
        if line["message"] == "request" and line.get("code"):
            codes.setdefault(line["path"], set()).add(line["code"])
    return codes


@pytest.mark.parametrize(
    ("page_host", "proxy_host"),
    [("localhost", "localhost"), ("evil.test", "localhost"), ("evil.test", "evil.test")],
    ids=["another port", "another site", "rebound name"],
)
async def test_a_page_of_another_origin_reaches_nothing(tmp_path, page_host, proxy_host):
    async with product(tmp_path) as made, aiohttp.ClientSession() as session:
        await made.login(session)
        target = f"http://{proxy_host}:{made.port}"
        calls_before = list(made.api_calls)
        async with attacker(target) as port, chromium() as browser:
            context = await browser.new_context(permissions=["local-network-access"])
            page = await context.new_page()
            await page.goto(f"http://{page_host}:{port}/", wait_until="domcontentloaded")
            reached = await page.evaluate("attack()")
            cookies = await context.cookies()
        async with session.get(f"{made.url}/-/status") as answer:
            status = await answer.json()

        assert reached == []
        assert made.api_calls == calls_before
        assert cookies == []
        assert status["accounts"][0]["state"] == "authorized"
        codes = tried(made)
        expected = {"bad_host"} if proxy_host == "evil.test" else {"cross_origin"}
        # The attack did arrive: it was refused, not blocked by the browser.
        assert codes["/candidates"] - {"bad_request"} == expected
        assert codes["/-/logout"] == expected


async def test_the_same_page_reaches_what_its_allowed_origin_may(tmp_path):
    """The control: with the page's origin allowed, the very same attack gets through."""
    async with attacker("http://127.0.0.1:1") as probe:
        pass
    async with (
        product(tmp_path, access={"allowed_origins": [f"http://localhost:{probe}"]}) as made,
        aiohttp.ClientSession() as session,
    ):
        await made.login(session)
        server = await asyncio.start_server(_blank, "127.0.0.1", probe)
        async with server, chromium() as browser:
            context = await browser.new_context(permissions=["local-network-access"])
            page = await context.new_page()
            await page.goto(f"http://localhost:{probe}/")
            text = await page.evaluate(
                "async (url) => { const r = await fetch(url, {headers: {'X-API-Key': 'x'}});"
                " return [r.status, await r.text(), r.headers.get('X-RateLimit-Limit')]; }",
                f"{made.url}/candidates?limit=1",
            )

        assert text[0] == 200
        assert "content" in text[1]
        assert text[2] is not None


async def _blank(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 0\r\n")
    writer.write(b"Connection: close\r\n\r\n")
    writer.close()
