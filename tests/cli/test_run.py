"""`run`: the command's environment, exit code and signals, with a proxy that runs already."""

import asyncio
import os
import signal
import sys
import threading
import time
from contextlib import contextmanager

import pytest
from aiohttp import web

from proxy.cli.exits import CommandError, Exit
from proxy.cli.run import PASSED_ON, _run
from proxy.cli.session import Session
from proxy.cli.signals import heeded
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


@contextmanager
def serving(handler, port):
    """Serve in a thread: the command under test blocks, and sets signal handlers, in this one."""
    stop = asyncio.Event()
    loop = asyncio.new_event_loop()
    ready = threading.Event()

    async def serve():
        async with listening(handler, port=port):
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(10)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@pytest.fixture
def server(free):
    answers = {"ready": web.json_response}

    async def handler(request):
        if request.path == "/-/status":
            return web.json_response(STATUS)
        code = answers.get("code")
        return web.json_response({"code": code}, status=503 if code else 200)

    with serving(handler, free):
        yield answers


@pytest.fixture(autouse=True)
def _signals_as_before():
    handlers = {number: signal.getsignal(number) for number in heeded(*PASSED_ON)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


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


def run(session, script, *arguments, timeout=20.0):
    return _run(session, timeout, [PYTHON, "-c", script, *arguments], 0o022)


def test_the_command_finds_the_proxy_in_its_environment(server, session, free):
    script = f"import os, sys; sys.exit(os.environ['SMARTRECRUITERS_BASE_URL'] != 'http://127.0.0.1:{free}')"

    assert run(session, script) == 0


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, "127.0.0.1"),
        ({"NO_PROXY": "a.b,.c"}, "a.b,.c,127.0.0.1"),
        ({"no_proxy": "*"}, "*,127.0.0.1"),
    ],
)
def test_no_outbound_proxy_stands_on_the_command_s_way_to_us(server, session, given, found):
    session.environ = {**session.environ, "HTTP_PROXY": "http://corporate:3128", **given}
    both = "[os.environ['NO_PROXY'], os.environ['no_proxy']]"
    script = f"import os, sys; sys.exit({both} != {[found, found]!r})"

    assert run(session, script) == 0


@pytest.mark.parametrize("code", [0, 1, 7, 255])
def test_its_exit_code_is_ours(server, session, code):
    assert run(session, f"import sys; sys.exit({code})") == code


def test_a_killed_command_is_told_as_shells_do(server, session):
    assert run(session, "import os; os.kill(os.getpid(), 9)") == 128 + 9


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_are_passed_on(server, session, tmp_path, number):
    path = tmp_path / "started"

    def send_when_started():
        while not path.exists():
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    sender = threading.Thread(target=send_when_started)
    sender.start()

    assert run(session, SAY_SIGNAL, str(path)) == number
    sender.join()


def test_the_command_s_files_are_as_private_as_its_own_umask_says(server, session):
    previous = os.umask(0o077)
    try:
        assert run(session, "import os, sys; sys.exit(os.umask(0))") == 0o022
    finally:
        os.umask(previous)


def test_without_a_grant_the_command_is_not_begun(server, session, tmp_path):
    server["code"] = "login_required"

    with pytest.raises(CommandError) as caught:
        run(session, "open('begun', 'w')")

    assert caught.value.code is Exit.LOGIN_REQUIRED
    assert not (tmp_path / "begun").exists()


def test_a_proxy_that_does_not_get_ready_is_a_failure(server, session):
    server["code"] = "token_endpoint_unavailable"

    with pytest.raises(CommandError, match=r"not ready after 0\.1 s") as caught:
        run(session, "", timeout=0.1)

    assert caught.value.code is Exit.FAILED


def test_a_port_taken_by_another_program_is_said(session, free):
    async def stranger(_request):
        return web.Response(text="It works!")

    with serving(stranger, free):
        with pytest.raises(CommandError, match="is taken by another program"):
            run(session, "")


def test_a_program_that_does_not_exist_is_wrong_usage(tmp_path):
    done = srproxy("run", "--", "no-such-program", home=tmp_path)

    assert done.returncode == 2
    assert "no-such-program: there is no such program" in done.stderr
