"""Signals: an orderly end with every refresh stored, a reload, or nothing where one is ignored."""

import asyncio
import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.e2e.conftest import Proxy
from tests.e2e.test_kill_server import LIFETIME, Setup, setup  # noqa: F401 - a fixture
from tests.support.processes import Process, clean_environment, wait_until_answers

TERM, INT, HUP, QUIT = signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT

CALL = """
import os, urllib.request
urllib.request.urlopen(os.environ["SMARTRECRUITERS_BASE_URL"] + "/users/me")
"""


@contextmanager
def in_window(home: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run a command in a terminal's window; closing the descriptor closes the window."""
    master, slave = pty.openpty()

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        [sys.executable, "-m", "proxy", *arguments],
        cwd=home,
        env=clean_environment(home, {"TERM": "xterm"}),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        preexec_fn=take_terminal,
    )
    os.close(slave)
    try:
        yield process, master
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def ignoring(*numbers: signal.Signals) -> Sequence[str]:
    """Begin a command line whose program starts with these signals ignored, as by nohup."""
    names = " ".join(number.name.removeprefix("SIG") for number in numbers)
    return ("sh", "-c", f"trap '' {names}; exec \"$@\"", "sh")


def start_ignoring(proxy: Proxy, *numbers: signal.Signals) -> Process:
    proxy.stop()
    process = Process(
        subprocess.Popen(
            [*ignoring(*numbers), sys.executable, "-m", "proxy", "serve"],
            cwd=proxy.home,
            env=clean_environment(proxy.home),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    )
    wait_until_answers(f"{proxy.url}/-/live")
    return process


@pytest.mark.parametrize("number", [TERM, INT, QUIT])
def test_serve_without_a_terminal_ends_with_0(proxy: Proxy, number: signal.Signals) -> None:
    proxy.process.signal(number)

    assert proxy.process.wait() == 0


def test_sighup_without_a_terminal_ends_nothing(proxy: Proxy) -> None:
    for _ in range(3):
        proxy.process.signal(HUP)
    proxy.process.wait_for_output("reload")

    assert requests.get(f"{proxy.url}/-/live", timeout=5).status_code == 200
    assert proxy.stop() == 0
    proxy.start()


@pytest.mark.parametrize("number", [TERM, INT, HUP, QUIT])
def test_serve_on_a_terminal_ends_with_0(proxy: Proxy, number: signal.Signals) -> None:
    proxy.stop()
    with in_window(proxy.home, "serve") as (process, master):
        wait_until_answers(f"{proxy.url}/-/live")
        process.send_signal(number)

        assert process.wait(20) == 0
        os.close(master)
    proxy.start()


def test_closing_the_window_is_an_orderly_stop(proxy: Proxy) -> None:
    proxy.stop()
    with in_window(proxy.home, "serve") as (process, master):
        wait_until_answers(f"{proxy.url}/-/live")
        os.close(master)

        assert process.wait(20) == 0
    proxy.start()


def test_what_was_ignored_at_the_start_stays_ignored(proxy: Proxy) -> None:
    process = start_ignoring(proxy, HUP, INT)
    for number in (HUP, INT):
        process.signal(number)
    assert requests.get(f"{proxy.url}/-/live", timeout=5).status_code == 200
    assert "reload" not in process.stderr

    assert process.stop() == 0
    proxy.start()


@pytest.mark.parametrize("number", [TERM, INT, HUP, QUIT])
@pytest.mark.parametrize("command", ["token", "run"])
async def test_a_command_stores_the_refresh_that_a_signal_comes_into(
    setup: Setup,  # noqa: F811
    command: str,
    number: signal.Signals,
) -> None:
    await asyncio.sleep(LIFETIME)  # the access token's end
    arguments = {"token": ["token"], "run": ["run", "--", sys.executable, "-c", CALL]}[command]
    setup.server.release = asyncio.Event()
    before = len(setup.server.requests)
    process = setup.command(*arguments)
    while len(setup.server.requests) == before:
        assert process.returncode is None, process.stderr
        await asyncio.sleep(0.01)

    process.signal(number)
    await asyncio.sleep(0.2)
    process.signal(number)  # impatience changes nothing
    await asyncio.sleep(0.2)
    assert process.returncode is None
    setup.server.release.set()
    code = await asyncio.to_thread(process.wait)

    record = await setup.record()
    assert code == (130 if command == "token" else 128 + number)  # run: as CMD ended
    assert record is not None
    assert (record.generation, record.intent) == (2, None)
