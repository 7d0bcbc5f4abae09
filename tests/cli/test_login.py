"""The login's race between page, browser and pasted address, against a scripted server.

tests/e2e has it against the real one; here are the ends that the real one does not offer.
"""

import asyncio
import os
from datetime import datetime

import pytest
from aiohttp import web

from proxy.cli.browser import has_browser
from proxy.cli.exits import CommandError, Exit
from proxy.cli.login import _elsewhere, _is_login, _login
from proxy.cli.session import Session
from tests.cli.test_server import listening
from tests.support.processes import free_port

DECLINED = (
    "http://localhost:8080/-/callback?error=access_denied"
    "&error_description=The user declined&code=500"
)


class FakeServer:
    """A server whose grant a test sets, and which takes one pasted address."""

    def __init__(self) -> None:
        self.generation = 0
        self.begun = 0
        self.pasted: list[str] = []
        self.listened = asyncio.Event()
        self.events: asyncio.Queue[bytes] = asyncio.Queue()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        match request.method, request.path:
            case "GET", "/-/status":
                return web.json_response({"version": "0", "accounts": [self.account()]})
            case "POST", "/-/login":
                self.begun += 1
                answer = web.json_response(
                    {"authorization_url": "https://sr.example/allow?state=s", "expires_in": 600}
                )
                answer.set_cookie("login", "sealed")
                return answer
            case "POST", "/-/login/complete":
                assert request.cookies == {"login": "sealed"}
                self.pasted.append((await request.json())["url"])
                if "code=good" in self.pasted[-1]:
                    self.generation += 1
                    return web.json_response(self.account())
                if self.pasted[-1] == DECLINED:
                    return web.json_response({"detail": "No.", "login_ended": True}, status=400)
                return web.json_response({"detail": "No login is waiting for it."}, status=400)
            case "GET", "/-/events":
                return await self.stream(request)
        raise AssertionError(request.path)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        await answer.write(b"event: snapshot\ndata: {}\n\n")
        self.listened.set()
        while True:
            await answer.write(await self.events.get())

    def account(self) -> dict[str, object]:
        return {
            "name": "default",
            "owner": "Ada Example" if self.generation else None,
            "state": "authorized" if self.generation else "login_required",
            "scopes": ["jobs_read"],
            "generation": self.generation,
            "granted_at": f"2099-01-15T07:50:{self.generation:02}Z" if self.generation else None,
            "refresh_token": None,
            "last_refresh": None,
        }


@pytest.fixture
def typed(monkeypatch):
    """Type into the command's standard input."""
    reader, writer = os.pipe()
    monkeypatch.setattr("proxy.cli.login.STDIN", reader)
    open_ends = {writer}

    def write(text=None):
        if text is None:
            open_ends.discard(writer)
            os.close(writer)
        else:
            os.write(writer, text.encode())

    yield write
    for end in (*open_ends, reader):
        os.close(end)


@pytest.fixture
async def server(free):
    fake = FakeServer()
    async with listening(fake.handle, port=free):
        yield fake


@pytest.fixture
def free():
    return free_port()


@pytest.fixture
def session(free, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    environ = {
        "SRPROXY_OAUTH__CLIENT_ID": "a",
        "SRPROXY_OAUTH__CLIENT_SECRET": "b",
        "SRPROXY_LISTEN__PORT": str(free),
    }
    return Session(environ=environ)


async def login(session, *, paste):
    async with asyncio.timeout(20):
        return await asyncio.to_thread(_login, session, "default", browser=False, paste=paste)


async def test_a_login_on_the_page_ends_the_command(server, session, capsys):
    running = asyncio.ensure_future(login(session, paste=False))
    await asyncio.sleep(0.1)
    server.generation = 1

    assert await running is Exit.DONE
    told = capsys.readouterr()
    assert f"http://localhost:{session.config.listen.port}/-/login" in told.err
    assert told.out == ""
    assert server.begun == 0


async def test_a_pasted_address_ends_the_command(server, session, typed, capsys):
    typed("\nhttp://localhost:8080/-/callback?code=bad\n")
    typed("http://localhost:8080/-/callback?code=good&state=s\n")

    assert await login(session, paste=True) is Exit.DONE
    assert [url.partition("?")[2] for url in server.pasted] == ["code=bad", "code=good&state=s"]
    told = capsys.readouterr().err
    assert "https://sr.example/allow?state=s" in told
    assert "No login is waiting for it." in told
    assert "Authorized. Scopes: jobs_read." in told


async def test_the_page_may_win_while_nothing_is_pasted(server, session, typed):
    running = asyncio.ensure_future(login(session, paste=True))
    await asyncio.sleep(0.1)
    server.generation = 1

    assert await running is Exit.DONE


async def test_without_anything_to_paste_the_page_is_still_waited_for(server, session, typed):
    typed(None)
    running = asyncio.ensure_future(login(session, paste=True))
    await asyncio.sleep(0.1)
    server.generation = 1

    assert await running is Exit.DONE


async def test_a_refused_address_at_the_end_of_the_input_fails(server, session, typed):
    typed("http://localhost:8080/-/callback?code=bad")
    typed(None)

    with pytest.raises(CommandError, match="No login is waiting for it"):
        await login(session, paste=True)


async def test_a_decline_with_raw_spaces_is_passed_on_as_it_is_and_ends_it(server, session, typed):
    typed(f"{DECLINED}\n")

    with pytest.raises(CommandError):
        await login(session, paste=True)

    assert server.pasted == [DECLINED]


@pytest.mark.parametrize("paste", [False, True])
async def test_a_login_that_failed_on_the_page_ends_the_command(server, session, typed, paste):
    running = asyncio.ensure_future(login(session, paste=paste))
    await server.listened.wait()
    server.events.put_nowait(b'event: login\ndata: {"account": "other", "detail": "No."}\n\n')
    server.events.put_nowait(
        b'event: login\ndata: {"account": "default", "detail": "It was declined."}\n\n'
    )

    with pytest.raises(CommandError, match="did not succeed: It was declined") as raised:
        await running
    assert raised.value.code is Exit.FAILED


async def test_a_port_taken_by_another_program_is_said_before_any_address(free, session, capsys):
    async def stranger(_request):
        return web.Response(text="It works!")

    async with listening(stranger, port=free):
        with pytest.raises(CommandError, match="is taken by another program"):
            await login(session, paste=False)

    assert "/-/login" not in capsys.readouterr().err


@pytest.mark.parametrize(("said", "begun"), [(False, 0), (True, 1)])
async def test_an_authorized_account_is_asked_about_first(
    server, session, typed, monkeypatch, said, begun
):
    asked = []

    def confirm(text, err):
        asked.append(text)
        return said

    monkeypatch.setattr("click.confirm", confirm)
    server.generation = 1
    typed("http://localhost:8080/-/callback?code=good&state=s\n")

    async with asyncio.timeout(20):
        done = await asyncio.to_thread(
            _login, session, "default", browser=False, paste=True, ask=True
        )

    assert done is Exit.DONE
    assert asked == ["default is authorized already as Ada Example. Log in again?"]
    assert server.begun == begun


async def test_without_a_grant_nothing_is_asked(server, session, monkeypatch):
    monkeypatch.setattr("click.confirm", pytest.fail)
    running = asyncio.ensure_future(
        asyncio.to_thread(_login, session, "default", browser=False, paste=False, ask=True)
    )
    await server.listened.wait()
    server.generation = 1

    assert await asyncio.wait_for(running, 20) is Exit.DONE


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({}, ()),
        ({"SSH_CONNECTION": "10.0.0.2 5000 10.0.0.9 22", "DISPLAY": "localhost:10.0"}, ()),
        (
            {"SSH_CONNECTION": "10.0.0.2 5000 10.0.0.9 22"},
            ("ssh -L 8080:localhost:8080 10.0.0.9\n", "srproxy login --paste"),
        ),
    ],
)
def test_over_ssh_without_a_display_both_ways_are_named(environ, told, monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    said = _elsewhere(environ, "http://localhost:8080/-/login")

    assert bool(said) is bool(told)
    assert all(text in said for text in told)


EARLIER, LATER = "2026-01-15T07:50:00Z", "2027-01-15T08:00:00Z"
BEGAN = datetime.fromisoformat("2027-01-15T07:59:30Z").timestamp()


@pytest.mark.parametrize(
    ("before", "now", "login_done"),
    [
        (("login_required", None, False), ("authorized", LATER, False), True),
        (("login_required", None, False), ("authorized", EARLIER, True), False),  # an import
        (("login_required", EARLIER, True), ("authorized", EARLIER, True), False),  # well again
        (("authorized", EARLIER, False), ("authorized", EARLIER, False), False),
        (("authorized", EARLIER, True), ("authorized", LATER, False), True),
        (("authorized", EARLIER, True), ("authorized", EARLIER, True), False),  # a refresh
        (("authorized", EARLIER, False), ("authorized", EARLIER, False, 2), True),  # at once
        (("authorized", EARLIER, False), ("authorized", EARLIER, True, 2), False),  # a refresh
        (("degraded", EARLIER, True), ("authorized", LATER, True), True),
        (("authorized", EARLIER, True), ("login_required", None, False), False),
        # The clock was set back while the person consented.
        (("login_required", LATER, True), ("authorized", EARLIER, False), True),
    ],
)
def test_a_login_is_told_from_a_refresh_and_an_import(before, now, login_done):
    def grant(state, granted_at, refreshed, generation=1):
        told = {"state": state, "granted_at": granted_at, "refreshed": refreshed}
        return {**told, "generation": generation}

    assert _is_login(grant(*before), grant(*now), BEGAN) is login_done


@pytest.mark.parametrize(
    ("platform", "environ", "found"),
    [
        ("linux", {}, False),
        ("linux", {"DISPLAY": ":0"}, True),
        ("linux", {"WAYLAND_DISPLAY": "w"}, True),
        ("linux", {"BROWSER": "x"}, True),
        ("darwin", {}, True),
    ],
)
def test_no_browser_of_text_takes_the_terminal_over(platform, environ, found, monkeypatch):
    monkeypatch.setattr("sys.platform", platform)

    assert has_browser(environ) is found
