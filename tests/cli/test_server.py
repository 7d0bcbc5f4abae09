"""How commands find the running server, and what they show to whom."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from proxy.cli.exits import CommandError
from proxy.cli.server import Presence, addresses, find_server, login_page, server_at
from proxy.config import Config
from tests.support.processes import free_port

STATUS = {"version": "0", "accounts": [{"name": "default", "state": "authorized"}]}
OURS = {"Proxy-Status": 'smartrecruiters-proxy; error=x; details="unauthorized"'}


def config(keys=(), **listen):
    return Config.build(
        {
            "oauth": {"client_id": "a", "client_secret": "b"},
            "listen": listen,
            "access": {
                "api_keys": [{"name": key, "key": key} for key in keys],
                "allow_unauthenticated": True,
            },
        }
    )


@asynccontextmanager
async def listening(handler, *, path=None, port=0, host="127.0.0.1"):
    """Serve every request by one handler."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.UnixSite(runner, path) if path else web.TCPSite(runner, host, port)
    await site.start()
    try:
        yield site.name
    finally:
        await runner.cleanup()


def ours_with_key(key, seen):
    async def handler(request):
        seen.append(request.headers.get("X-SRProxy-Key"))
        if request.headers.get("X-SRProxy-Key") != key:
            return web.json_response({"code": "unauthorized"}, status=401, headers=OURS)
        return web.json_response(STATUS)

    return handler


async def answer_status(_request):
    return web.json_response(STATUS)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_the_server_is_found_on_either_loopback_family(host):
    port = free_port()
    async with listening(answer_status, port=port, host=host):
        who, server = await asyncio.to_thread(find_server, config(port=port))
        assert who is Presence.OURS
        assert server is not None
        assert (await asyncio.to_thread(server.account, "default"))["state"] == "authorized"
        with pytest.raises(CommandError):
            await asyncio.to_thread(server.account, "other")


async def test_the_server_is_found_at_its_unix_socket(tmp_path):
    path = str(tmp_path / "s")
    async with listening(answer_status, path=path):
        who, _ = await asyncio.to_thread(find_server, config(host=None, unix_socket=path))
        assert who is Presence.OURS


async def test_nobody_is_there(tmp_path):
    settings = config(port=free_port(), unix_socket=str(tmp_path / "s"))

    assert await asyncio.to_thread(find_server, settings) == (Presence.NOBODY, None)


async def test_a_key_is_shown_only_to_a_server_that_is_ours():
    seen: list[str | None] = []
    port = free_port()
    async with listening(ours_with_key("k1", seen), port=port):
        who, server = await asyncio.to_thread(find_server, config(["k1"], port=port))
        assert who is Presence.OURS
        assert server is not None
        assert await asyncio.to_thread(server.status) == STATUS

    assert seen == [None, "k1"]


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(text="It works!"),
        web.Response(status=401, text="who are you?"),
        web.json_response({"version": "1"}),
        web.json_response([]),
    ],
)
async def test_another_program_on_the_port_is_a_stranger_and_sees_no_key(answer):
    seen = []

    async def handler(request):
        seen.append("X-SRProxy-Key" in request.headers)
        return web.Response(
            status=answer.status, body=answer.body, content_type=answer.content_type
        )

    port = free_port()
    async with listening(handler, port=port):
        who, _ = await asyncio.to_thread(find_server, config(["k1"], port=port))
        assert who is Presence.STRANGER

    assert seen == [False]


async def test_cookies_are_kept_even_those_for_a_tls_front():
    async def handler(request):
        answer = web.json_response({"cookie": request.headers.get("Cookie", "")})
        answer.set_cookie("login", "abc", secure=True, httponly=True)
        return answer

    async with listening(handler) as url:
        server = server_at(config(), url)
        await asyncio.to_thread(server.call, "POST", "/-/login", {})

        assert (await asyncio.to_thread(server.call, "POST", "/x", {})).body == {
            "cookie": "login=abc"
        }


async def test_readiness_is_told_with_its_reason():
    answers = [
        web.Response(status=503, text=json.dumps({"code": "login_required", "detail": "log in"})),
        web.Response(text="{}"),
    ]

    async def handler(_request):
        return answers.pop(0)

    async with listening(handler) as url:
        server = server_at(config(), url)
        assert await asyncio.to_thread(server.ready) == "login_required: log in"
        assert await asyncio.to_thread(server.ready) is None


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 yes OK\r\n\r\n",
        b"x" * 100_000,
    ],
)
async def test_whatever_answers_in_no_http_is_a_stranger(said):
    async def answer(_reader, writer):
        writer.write(said)
        writer.close()

    port = free_port()
    async with await asyncio.start_server(answer, "127.0.0.1", port):
        who, _ = await asyncio.to_thread(find_server, config(port=port))

    assert who is Presence.STRANGER


async def test_a_body_in_chunks_or_to_the_end_of_the_connection_is_read_whole():
    bodies = [
        b'Transfer-Encoding: chunked\r\n\r\n3;x=y\r\n{"a\r\n6\r\n": 12}\r\n0\r\n\r\n',
        b'\r\n{"a": 12}',
    ]

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        early = b"HTTP/1.1 103 Early Hints\r\n\r\n"
        writer.write(early + b"HTTP/1.1 200 OK\r\n" + bodies.pop(0))
        writer.close()

    port = free_port()
    async with await asyncio.start_server(answer, "127.0.0.1", port):
        server = server_at(config(), f"http://127.0.0.1:{port}")
        for _ in range(2):
            assert (await asyncio.to_thread(server.call, "GET", "/")).body == {"a": 12}


@pytest.mark.parametrize(
    ("listen", "found"),
    [
        ({}, ["http://127.0.0.1:8080", "http://[::1]:8080"]),
        ({"host": "0.0.0.0", "port": 1}, ["http://127.0.0.1:1"]),
        ({"host": "::", "port": 1}, ["http://[::1]:1"]),
        ({"host": "proxy.internal"}, ["http://proxy.internal:8080"]),
        ({"port": 0}, []),
        ({"host": None, "unix_socket": "/x"}, []),
    ],
)
def test_where_the_server_may_be(listen, found):
    assert addresses(config(**listen)) == found


@pytest.mark.parametrize(
    ("listen", "page"),
    [
        ({}, "http://localhost:8080/-/login"),
        ({"host": "0.0.0.0", "port": 81}, "http://localhost:81/-/login"),
        ({"host": "proxy.internal"}, "http://localhost:8080/-/login"),
        ({"host": None, "unix_socket": "/x"}, "http://localhost:8080/-/login"),
    ],
)
def test_the_login_page_is_where_a_browser_reaches_it(listen, page):
    assert login_page(config(**listen)) == page
