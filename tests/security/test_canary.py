"""D16-D18, H08 of the attacks: every error provoked at debug level, and no secret in any output.

Each secret is a random canary; all that the proxy says (answers, pages, events, metrics, log,
tracebacks) is searched for each of them, in clear, percent-encoded, as base64 and in hexadecimal.
"""

import asyncio
import base64
import gc
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import aiohttp
import pytest
from aiohttp import web

from tests.security.attacks import talk
from tests.security.product import Product, product

KEY = "api-key-canary-0123456789-qwertz"
ENCRYPTION_KEY = "encryption-key-canary-0123456789"
CANDIDATE = "Canary-Person-4711"


def spellings(secret: str) -> set[str]:
    """Return the ways in which a program might write a secret by accident."""
    data = secret.encode()
    found = {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], data.hex()}
    for offset in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            whole = encode(b"\0" * offset + data).decode().rstrip("=")
            found.add(whole[(0, 2, 3)[offset] : len(whole) - 1])
    return found


def search(secrets: dict[str, str], outputs: dict[str, str]) -> list[str]:
    """Return which secret is in which output."""
    return [
        f"{name} in {where}"
        for name, secret in secrets.items()
        for where, text in outputs.items()
        if any(spelling in text for spelling in spellings(secret))
    ]


def test_the_search_finds_what_it_looks_for():
    secret = "some+secret/with=signs"
    for text in spellings(secret) | {base64.b64encode(b"user:" + secret.encode()).decode()}:
        assert search({"s": secret}, {"o": f"x{text}y"}) == ["s in o"]


class Session:
    """A caller that keeps everything it was told."""

    def __init__(self, made: Product, http: aiohttp.ClientSession) -> None:
        self.made = made
        self.http = http
        self.outputs: dict[str, str] = {}
        self.secrets: dict[str, str] = {}

    async def ask(self, name: str, method: str, path: str, **options: Any) -> int:
        options.setdefault("allow_redirects", False)
        options.setdefault("headers", {"X-API-Key": KEY})
        async with self.http.request(method, self.made.url + path, **options) as answer:
            text = await answer.text()
            location = answer.headers.get("Location", "")
            # The state has to travel in two places: to the consent page, and in the login's own
            # cookie, which only the browser that began it is given.
            head = "\n".join(
                f"{k}: {v}"
                for k, v in answer.headers.items()
                if k != "Location" and not (k == "Set-Cookie" and "srproxy_login_" in v)
            )
            self.outputs[f"answer to {name}"] = f"{head}\n{text}"
            if "/identity/oauth/allow" in location:
                self.secrets[f"state of {name}"] = parse_qs(urlsplit(location).query)["state"][0]
            return answer.status

    async def raw(self, name: str, payload: bytes) -> None:
        answer = await talk(self.made.port, payload)
        self.outputs[f"answer to {name}"] = answer.decode("latin-1")

    def learn_tokens(self, number: int) -> None:
        """Add the tokens of the moment to what is searched for."""
        tokens = self.made.app.accounts["default"].status().tokens
        assert tokens is not None
        assert tokens.refresh_token is not None
        self.secrets[f"access token {number}"] = tokens.access_token.reveal()
        self.secrets[f"refresh token {number}"] = tokens.refresh_token.reveal()


async def login(session: Session, name: str) -> None:
    """Log in step by step, so that code and state are known."""
    http, made = session.http, session.made
    headers = {"X-API-Key": KEY}
    async with http.get(f"{made.url}/-/login", headers=headers, allow_redirects=False) as answer:
        location = answer.headers["Location"]
    session.secrets[f"state of {name}"] = parse_qs(urlsplit(location).query)["state"][0]
    async with http.get(location, allow_redirects=False) as answer:
        location = answer.headers["Location"]
    session.secrets[f"code of {name}"] = parse_qs(urlsplit(location).query)["code"][0]
    async with http.get(location) as answer:
        session.outputs[f"callback page of {name}"] = await answer.text()
        assert answer.status == 200


async def provoke(session: Session, tmp_path: Path) -> None:
    """Ask for everything, rightly and wrongly."""
    made, secrets = session.made, session.secrets
    page = {"X-API-Key": KEY, "Accept": "text/html", "Sec-Fetch-Mode": "navigate",
            "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "none"}  # fmt: skip

    await session.ask("a call without grant", "GET", "/candidates")
    await session.ask("a page without grant", "GET", "/candidates", headers=page)
    await login(session, "first login")
    session.learn_tokens(1)
    for path in ("", "status", "metrics", "live", "ready", "postman.json", "nothing"):
        await session.ask(path or "page", "GET", f"/-/{path}")
        await session.ask(f"page {path}", "GET", f"/-/{path}", headers=page)

    token, code = secrets["access token 1"], secrets["code of first login"]
    state = secrets["state of first login"]
    # What a confused caller may send: our own secrets, in every place, to be refused or forwarded.
    for value in (token, KEY, made.client_secret, ENCRYPTION_KEY):
        # The body is what the sandbox echoes, not what we say: only our own answers are kept.
        for path in (f"/-/{value}", f"/x/../{value}", f"/identity/oauth/{value}"):
            await session.ask(f"path {path[:14]} {value[:6]}", "GET", path)
        await session.raw(f"bad header {value[:6]}",
            b"GET /x HTTP/1.1\r\nHost: localhost\r\nX: %b\0\r\n\r\n" % value.encode())  # fmt: skip
        await session.raw(f"bad host {value[:6]}",
            b"GET /x HTTP/1.1\r\nHost: %b.test\r\n\r\n" % value.encode())  # fmt: skip
        await session.ask(f"wrong key {value[:6]}", "GET", "/x", headers={"X-API-Key": value + "x"})
        await session.http.get(
            f"{made.url}/x/{value}?{value}={value}&{value}",
            headers={"X-API-Key": KEY, "X-Request-ID": value, "X-Other": value},
        )
    await session.ask("replayed callback", "GET", f"/-/callback?code={code}&state={state}")
    await session.ask("foreign callback", "GET", f"/-/callback?code={code}&state=x")
    await session.ask("twice", "GET", f"/-/callback?code={code}&code={code}&state={state}")
    await session.ask("declined", "GET", "/-/callback?error=access_denied&error_description=no")
    await session.ask(
        "bad paste", "POST", "/-/login/complete", json={"url": f"http://x/?code={code}"}
    )
    await session.ask("bad json", "POST", "/-/login/complete", data=b'{"url": "' + code.encode())
    await session.ask("no origin", "GET", "/x", headers={"Origin": "https://evil.test"})
    await session.ask("events", "GET", "/-/events", headers={"X-API-Key": "wrong"})

    # D18: the token endpoint echoes what it was sent, in every kind of failure.
    kinds = [(400, "invalid_client"), (500, "x"), (400, "invalid_request"), (200, "x")]
    for number, (status, error) in enumerate(kinds):

        async def echo(
            request: web.Request, status: int = status, error: str = error
        ) -> web.StreamResponse | None:
            if not request.path.endswith("/token"):
                return None
            sent = await request.text()
            return web.json_response({"error": error, "error_description": sent}, status=status)

        before, made.sandbox.interrupt = made.sandbox.interrupt, echo
        await session.ask(f"login {number}", "GET", "/-/login")
        new_state = secrets[f"state of login {number}"]
        await session.ask(
            f"failed exchange {number}", "GET", f"/-/callback?code=c-{code}&state={new_state}"
        )
        made.sandbox.revoke_access_tokens()
        await session.ask(f"failed refresh {number}", "GET", "/candidates")
        made.sandbox.interrupt = before

    await login(session, "second login")
    session.learn_tokens(2)
    made.sandbox.end_grants()
    await session.ask("revoked", "GET", "/candidates")
    await session.ask("revoked page", "GET", "/-/", headers=page)
    await login(session, "third login")
    session.learn_tokens(3)
    await session.ask("logout", "POST", "/-/logout")
    await session.ask("logged out", "GET", "/-/status")
    await login(session, "fourth login")
    session.learn_tokens(4)
    async with session.http.get(f"{made.url}/-/events", headers={"X-API-Key": KEY}) as answer:
        session.outputs["events"] = (await answer.content.read(4000)).decode()
    await made.sandbox.close()
    await session.ask("no upstream", "GET", "/candidates")


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain store", "encrypted store"])
async def test_no_secret_is_in_any_output(tmp_path, encrypted, capfd):
    tokens = {"encryption_key": ENCRYPTION_KEY} if encrypted else {}
    sections: dict[str, Any] = {
        "access": {"api_keys": [{"name": "tool", "key": KEY}]},
        "log": {"level": "debug"},
        "tokens": tokens,
    }
    async with (
        product(tmp_path, **sections) as made,
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http,
    ):
        session = Session(made, http)
        session.secrets |= {"client secret": made.client_secret, "API key": KEY}
        if encrypted:
            session.secrets["encryption key"] = ENCRYPTION_KEY
        loop = asyncio.get_running_loop()
        loop.set_debug(enabled=False)
        await provoke(session, tmp_path)
        outputs = session.outputs
        outputs["repr of the App"] = repr(vars(made.app)) + repr(made.app.accounts["default"])
        outputs["repr of the configuration"] = repr(made.app._config) + str(made.app._config)
        outputs["objects of ours"] = "\n".join(
            repr(item)
            for item in gc.get_objects()
            if str(type(item).__module__).startswith(("proxy.grant", "proxy.config"))
        )
    outputs["log"] = made.log.getvalue()
    if encrypted:
        outputs["store"] = "\n".join(
            path.read_bytes().decode("latin-1") for path in tmp_path.rglob("*") if path.is_file()
        )
    captured = capfd.readouterr()
    outputs["stdout and stderr"] = captured.out + captured.err

    secrets = {name: value for name, value in session.secrets.items() if len(value) > 8}
    assert len(secrets) > 12
    assert len(outputs) > 60
    assert search(secrets, outputs) == []
    lines = outputs["log"].splitlines()
    assert len(lines) > 60
    assert all(json.loads(line)["message"] for line in lines)


async def test_no_candidate_s_data_is_in_any_log(tmp_path):
    async with product(tmp_path) as made, aiohttp.ClientSession() as http:
        await made.login(http)
        person = {"firstName": CANDIDATE, "lastName": CANDIDATE, "email": f"{CANDIDATE}@x.test"}
        async with http.post(f"{made.url}/candidates", json=person) as answer:
            assert answer.status in (200, 201)
        async with http.get(f"{made.url}/candidates?q={CANDIDATE}&email={CANDIDATE}") as answer:
            assert answer.status == 200
        async with http.get(f"{made.url}/-/status") as answer:
            status = await answer.text()
        async with http.get(f"{made.url}/-/metrics") as answer:
            metrics = await answer.text()

    for text in (made.log.getvalue(), status, metrics):
        assert CANDIDATE not in text
    assert '"query": ["q", "email"]' in made.log.getvalue()


@pytest.mark.parametrize(
    "rest",
    [
        b"Transfer-Encoding: chunked\r\n\r\ntopsecret\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n5;topsecret\0\r\nhello\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\ntopsecret\r\n\r\n",
        b"Content-Type: application/json\r\nContent-Length: 12\r\n\r\n{topsecret: ",
        b"Content-Type: application/json; charset=topsecret\r\nContent-Length: 2\r\n\r\n{}",
        b"Content-Type: multipart/form-data; boundary=topsecret\r\nContent-Length: 3\r\n\r\nabc",
        b"Content-Encoding: gzip\r\nContent-Length: 9\r\n\r\ntopsecret",
        b"Content-Encoding: topsecret\r\nContent-Length: 9\r\n\r\ntopsecret",
        b"Content-Type: application/json\r\nContent-Length: 8\r\n\r\n\xff\xfetopsec",
        b"Cookie: topsecret=\xff\xfe\x80; a\r\nContent-Length: 0\r\n\r\n",
    ],
)
async def test_what_a_control_route_cannot_read_is_neither_shown_nor_logged(tmp_path, rest):
    """D15 behind the guards: bodies of the proxy's own routes are read by aiohttp."""
    async with product(tmp_path, listen={"stall_timeout": 1, "header_timeout": 1}) as made:
        for path in (b"/-/login/complete", b"/-/login", b"/-/logout"):
            answer = await talk(
                made.port, b"POST " + path + b" HTTP/1.1\r\nHost: localhost\r\n" + rest
            )
            assert b"topsec" not in answer.lower(), answer
        async with aiohttp.ClientSession() as http, http.get(f"{made.url}/-/live") as alive:
            assert alive.status == 200

    log = made.log.getvalue()
    assert "topsec" not in log.lower()
    assert "Traceback" not in log
