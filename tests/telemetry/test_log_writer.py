"""The log's last step: bounded, never blocking, and honest about what is missing."""

import contextlib
import io
import logging
import os
import re

import pytest

from proxy.telemetry.log_writer import LogWriter
from proxy.telemetry.logs import Output

DISK = 9999
LINE = "x" * 999 + "\n"


class Pipe:
    """A pipe that nobody reads until asked to."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()

    def read(self, until: bytes) -> str:
        data = b""
        while until not in data:
            data += os.read(self.reader, 65536)
        return data.decode()

    def close(self) -> None:
        for descriptor in (self.reader, self.writer):
            with contextlib.suppress(OSError):
                os.close(descriptor)


@pytest.fixture
def pipe():
    made = Pipe()
    yield made
    made.close()


def told(text: str) -> int:
    """Add up what the log itself says of lost lines."""
    return sum(
        int(number) for number in re.findall(r"^(\d+) log lines were lost$", text, re.MULTILINE)
    )


def test_lines_are_written_in_order(pipe):
    writer = LogWriter(pipe.writer)
    for number in range(100):
        writer.write(f"{number}\n")

    assert writer.close()
    assert pipe.read(b"99\n").splitlines() == [str(number) for number in range(100)]
    assert writer.lost == 0


def test_a_reader_that_stops_costs_lines_never_time(pipe):
    writer = LogWriter(pipe.writer, most_waiting=100 * len(LINE))
    for _ in range(1000):
        writer.write(LINE)

    assert writer.lost >= 1000 - 100 - 2 * 64 - 1
    assert not writer.close(timeout=0.01)
    text = ""
    while told(text) + text.count(LINE) < 1000:
        text += pipe.read(b"\n")
    assert told(text) == writer.lost


def test_what_comes_after_a_gap_stands_behind_the_line_that_tells_of_it(pipe):
    writer = LogWriter(pipe.writer, most_waiting=100 * len(LINE))
    for _ in range(1000):
        writer.write(LINE)
    text = ""
    while told(text) + text.count(LINE) < 1000:
        text += pipe.read(b"\n")
    writer.write("later\n")

    *_, before, last = (text + pipe.read(b"later\n")).splitlines()
    assert before.endswith("log lines were lost")
    assert last == "later"


def test_a_full_disk_costs_lines_until_there_is_room(monkeypatch):
    stream, room = io.BytesIO(), 24
    real = os.write

    def write(descriptor: int, data: memoryview) -> int:
        nonlocal room
        if descriptor != DISK:
            return real(descriptor, data)
        piece = bytes(data[:room])
        if not piece:
            raise OSError(28, "No space left on device")
        room -= len(piece)
        stream.write(piece)
        return len(piece)

    monkeypatch.setattr("proxy.telemetry.log_writer.os.write", write)
    writer = LogWriter(DISK)
    for number in range(5):
        writer.write(f"line {number} of it\n")
        assert writer.close()
    room = 1000
    writer.write("there is room\n")

    assert writer.close()
    assert stream.getvalue().decode().splitlines() == [
        "line 0 of it", "line 1 of i", "4 log lines were lost", "there is room"
    ]  # fmt: skip
    assert writer.lost == 4


def test_a_reader_that_is_gone_is_no_error(pipe):
    os.close(pipe.reader)
    writer = LogWriter(pipe.writer)
    writer.write("one\ntwo\n")

    assert writer.close()
    assert writer.lost == 2


def test_a_descriptor_that_another_program_made_non_blocking_loses_nothing(pipe):
    os.set_blocking(pipe.writer, False)
    writer = LogWriter(pipe.writer)
    writer.write(LINE * 500)
    writer.write("end\n")

    assert pipe.read(b"end\n").count(LINE) == 500
    assert writer.lost == 0


@pytest.mark.parametrize("as_json", [True, False])
def test_the_line_about_lost_lines_is_a_line_of_the_log(pipe, as_json):
    writer = LogWriter(pipe.writer, most_waiting=10)
    output = Output(writer, as_json=as_json)
    output.handle(logging.LogRecord("x", logging.INFO, "", 1, "too long to wait", (), None))

    assert "log_lines_lost lines=1" in pipe.read(b"\n")
    assert output.lines_lost() == 1
