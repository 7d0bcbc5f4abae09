"""`run`: the command's environment, exit code and signals, with a proxy that runs already."""

import asyncio
import os
import signal
import sys

import pytest
from aiohttp import web

from proxy.cli.exits import CommandError, Exit
from proxy.cli.run import _run
from proxy.cli.session import Session
from tests.cli.test_server import STATUS, listening
from tests.support.processes import free_port, srproxy

PYTHON = sys.executable
SAY_SIGNAL = """
import signal, sys, pathlib, time
def got(number, frame):
    sys.exit(number)
for name in ("SIGTERM", "SIGINT", "SIGHUP"):
    signal.signal(getattr(signal, name), got)
pathlib.Path(sys.argv[1]).touch()
time.sleep(60)
"""


@pytest.fixture
async def server(free):
    answers = {"ready": web.json_response}

    async def handler(request):
        if request.path == "/-/status":
            return web.json_response(STATUS)
        code = answers.get("code")
        return web.json_response({"code": code}, status=503 if code else 200)

    async with listening(handler, port=free):
        yield answers


@pytest.fixture
def free():
    return free_port()


@pytest.fixture
def session(free, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    environ = {
        "PATH": os.environ["PATH"],
        "SRPROXY_OAUTH__CLIENT_ID": "a",
        "SRPROXY_OAUTH__CLIENT_SECRET": "b",
        "SRPROXY_LISTEN__PORT": str(free),
    }
    return Session(environ=environ)


async def run(session, script, *arguments, timeout=20.0):
    async with asyncio.timeout(30):
        return await _run(session, timeout, [PYTHON, "-c", script, *arguments], 0o022)


async def test_the_command_finds_the_proxy_in_its_environment(server, session, free):
    script = f"import os, sys; sys.exit(os.environ['SMARTRECRUITERS_BASE_URL'] != 'http://127.0.0.1:{free}')"

    assert await run(session, script) == 0


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, "127.0.0.1"),
        ({"NO_PROXY": "a.b,.c"}, "a.b,.c,127.0.0.1"),
        ({"no_proxy": "*"}, "*,127.0.0.1"),
    ],
)
async def test_no_outbound_proxy_stands_on_the_command_s_way_to_us(server, session, given, found):
    session.environ = {**session.environ, "HTTP_PROXY": "http://corporate:3128", **given}
    both = "[os.environ['NO_PROXY'], os.environ['no_proxy']]"
    script = f"import os, sys; sys.exit({both} != {[found, found]!r})"

    assert await run(session, script) == 0


@pytest.mark.parametrize("code", [0, 1, 7, 255])
async def test_its_exit_code_is_ours(server, session, code):
    assert await run(session, f"import sys; sys.exit({code})") == code


async def test_a_killed_command_is_told_as_shells_do(server, session):
    assert await run(session, "import os; os.kill(os.getpid(), 9)") == 128 + 9


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_signals_are_passed_on(server, session, tmp_path, number):
    path = tmp_path / "started"
    running = asyncio.ensure_future(run(session, SAY_SIGNAL, str(path)))
    while not path.exists():
        await asyncio.sleep(0.02)
    os.kill(os.getpid(), number)

    assert await running == number


async def test_the_command_s_files_are_as_private_as_its_own_umask_says(server, session):
    previous = os.umask(0o077)
    try:
        assert await run(session, "import os, sys; sys.exit(os.umask(0))") == 0o022
    finally:
        os.umask(previous)


async def test_without_a_grant_the_command_is_not_begun(server, session, tmp_path):
    server["code"] = "login_required"

    with pytest.raises(CommandError) as caught:
        await run(session, "open('begun', 'w')")

    assert caught.value.code is Exit.LOGIN_REQUIRED
    assert not (tmp_path / "begun").exists()


async def test_a_proxy_that_does_not_get_ready_is_a_failure(server, session):
    server["code"] = "token_endpoint_unavailable"

    with pytest.raises(CommandError, match=r"not ready after 0\.1 s") as caught:
        await run(session, "", timeout=0.1)

    assert caught.value.code is Exit.FAILED


async def test_a_port_taken_by_another_program_is_said(session, free):
    async def stranger(_request):
        return web.Response(text="It works!")

    async with listening(stranger, port=free):
        with pytest.raises(CommandError, match="is taken by another program"):
            await run(session, "")


def test_a_program_that_does_not_exist_is_wrong_usage(tmp_path):
    done = srproxy("run", "--", "no-such-program", home=tmp_path)

    assert done.returncode == 2
    assert "no-such-program: there is no such program" in done.stderr
