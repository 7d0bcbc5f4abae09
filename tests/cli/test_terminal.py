"""What a terminal is shown, and a pipe is not."""

import io

import pytest

from proxy.cli.terminal import Terminal, clock_face, duration


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self):
        return True


def test_a_pipe_gets_no_colour_and_no_spinner():
    stream = io.StringIO()
    terminal = Terminal(stream, {})

    terminal.progress("waiting")
    terminal.say(f"{terminal.mark('ok')} {terminal.style('done', 'green')}")

    assert stream.getvalue() == "ok done\n"


def test_no_color_takes_the_colour_and_leaves_the_waiting_line():
    stream = Screen()
    terminal = Terminal(stream, {"NO_COLOR": "1"})

    terminal.progress("waiting")
    terminal.say(terminal.style("done", "green"))

    assert "waiting" in stream.getvalue()
    assert stream.getvalue().endswith("\r\x1b[Kdone\n")
    assert "\x1b[32m" not in stream.getvalue()


def test_a_terminal_has_colour_and_a_line_that_is_replaced():
    stream = Screen()
    terminal = Terminal(stream, {"TERM": "xterm"})

    terminal.progress("one")
    terminal.progress("two")
    terminal.say(terminal.mark("bad"))

    assert stream.getvalue().count("\r\x1b[K") == 3
    assert "\x1b[31m" in stream.getvalue()


def test_a_dumb_terminal_is_no_place_for_control_codes():
    stream = Screen()

    Terminal(stream, {"TERM": "dumb"}).progress("x")

    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"), (41.9, "41 s"), (119, "119 s"), (120, "2 min"), (1799, "29 min"),
        (3600, "1 h"), (5400, "1 h 30 min"), (86400, "1 d"), (2419199, "27 d 23 h"),
    ],
)  # fmt: skip
def test_time_spans_as_a_person_writes_them(seconds, text):
    assert duration(seconds) == text


def test_a_countdown():
    assert clock_face(598.7) == "9:58"
    assert clock_face(-1) == "0:00"
