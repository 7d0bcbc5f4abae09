"""`wait`: ready, not ready, nobody there, somebody else there."""

import asyncio
import time

import pytest
from aiohttp import web

from proxy.cli.exits import Exit
from proxy.cli.session import Session
from proxy.cli.wait import _wait
from tests.cli.test_server import STATUS, listening
from tests.support.processes import free_port


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


def wait(session, timeout):
    return _wait(session, timeout, time.monotonic() + timeout)


def ready_after(times):
    left = [times]

    async def handler(request):
        if request.path == "/-/status":
            return web.json_response(STATUS)
        left[0] -= 1
        if left[0] >= 0:
            return web.json_response({"code": "login_required", "detail": "log in"}, status=503)
        return web.json_response({})

    return handler


async def test_it_ends_once_the_server_is_ready(free, session, capsys):
    async with listening(ready_after(2), port=free):
        assert await asyncio.to_thread(wait, session, 20) is Exit.DONE

    assert capsys.readouterr().err == ""


async def test_it_waits_for_a_server_that_is_not_there_yet(free, session):
    waiting = asyncio.ensure_future(asyncio.to_thread(wait, session, 20))
    await asyncio.sleep(0.3)
    async with listening(ready_after(0), port=free):
        assert await waiting is Exit.DONE


async def test_the_time_out_ends_with_1_and_the_reason(free, session, capsys):
    async with listening(ready_after(1000), port=free):
        assert await asyncio.to_thread(wait, session, 0.3) is Exit.FAILED

    assert "not ready after 0.3 s: login_required: log in" in capsys.readouterr().err


async def test_nobody_there_is_a_reason(session, capsys):
    assert await asyncio.to_thread(wait, session, 0) is Exit.FAILED
    assert "not ready after 0 s: nobody listens there" in capsys.readouterr().err


async def test_another_program_is_a_reason(free, session, capsys):
    async def stranger(_request):
        return web.Response(text="It works!")

    async with listening(stranger, port=free):
        assert await asyncio.to_thread(wait, session, 0.2) is Exit.FAILED

    assert "another program answers at" in capsys.readouterr().err


async def test_a_server_that_says_nothing_does_not_outlast_the_time_out(free, session, capsys):
    enough = asyncio.Event()

    async def silent(_request):
        await enough.wait()
        return web.Response()

    async with listening(silent, port=free):
        assert await asyncio.wait_for(asyncio.to_thread(wait, session, 0.3), 10) is Exit.FAILED
        enough.set()


async def test_a_port_that_nobody_can_know_is_wrong_usage(session):
    session.environ = {**session.environ, "SRPROXY_LISTEN__PORT": "0"}

    assert await asyncio.to_thread(wait, session, 5) is Exit.USAGE
