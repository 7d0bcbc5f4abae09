"""The commands under a pseudo-terminal: colour, the waiting line, the question before a token."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from tests.cli.test_flow import Setup, setup  # noqa: F401 - a fixture
from tests.support.processes import clean_environment


class Screen:
    """A command whose standard streams are one terminal."""

    def __init__(self, process, master):
        self.process = process
        self._master = master
        self.text = ""

    def wait_for(self, pattern, timeout=30):
        until = time.monotonic() + timeout
        while not (match := re.search(pattern, self.text)):
            left = until - time.monotonic()
            assert left > 0, self.text
            if select.select([self._master], [], [], left)[0] and not self._read():
                assert re.search(pattern, self.text), self.text
        return match

    def _read(self):
        try:
            data = os.read(self._master, 65536)
        except OSError:  # Linux's word for the end
            return False
        self.text += data.decode(errors="replace")
        return bool(data)

    def type(self, text):
        os.write(self._master, text.encode())

    def end(self):
        while self._read():
            pass
        return self.process.wait(30)


@contextmanager
def on_terminal(home, *arguments, **environ):
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "proxy", *arguments],
        cwd=home,
        env=clean_environment(home, {"TERM": "xterm", "LANG": "C.UTF-8", **environ}),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    try:
        yield Screen(process, master)
    finally:
        process.kill()
        process.wait()
        os.close(master)


@pytest.mark.parametrize(("environ", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_terminal_has_colour_unless_it_is_not_wanted(setup: Setup, environ, coloured):  # noqa: F811
    with on_terminal(setup.home, "status", **environ) as screen:
        assert screen.end() == 3

    assert ("\x1b[31m" in screen.text) is coloured
    assert "login required" in screen.text


def test_a_login_shows_where_it_waits_and_the_time_left(setup: Setup):  # noqa: F811
    with on_terminal(setup.home, "login", "--no-browser") as screen:
        screen.wait_for(rf"waiting at {setup.url}/-/callback, 9:5\d left")
        screen.process.send_signal(signal.SIGINT)

        assert screen.end() == 130


def test_a_token_is_printed_to_a_terminal_only_when_it_was_asked_for(setup: Setup):  # noqa: F811
    setup.log_in()
    with on_terminal(setup.home, "token") as screen:
        screen.wait_for(r"Print it\? \[y/N\]")
        screen.type("n\n")
        assert screen.end() == 1
    with on_terminal(setup.home, "token", "--header", "--yes") as screen:
        assert screen.end() == 0
        assert "Authorization: Bearer " in screen.text


def test_the_log_of_serve_is_text_on_a_terminal(setup: Setup):  # noqa: F811
    with on_terminal(setup.home, "serve") as screen:
        screen.wait_for("listening")
        screen.process.send_signal(signal.SIGTERM)
        assert screen.end() == 0

    assert '{"at"' not in screen.text
