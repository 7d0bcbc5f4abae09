"""Recording never waits for the disk, loses nothing it accepted, and reports what it left out."""

import json
import logging

from proxy.recording.har_writer import HarWriter
from proxy.recording.keep import OVERHEAD
from tests.recording.support import exchange, unmasked

CREATOR = ("smartrecruiters-proxy", "0")


def read(path):
    return json.loads(path.read_text())["log"]["entries"]


def test_all_that_was_added_is_written_by_the_end(tmp_path):
    path = tmp_path / "a.har"
    writer = HarWriter(path, CREATOR, unmasked)
    for number in range(200):
        writer.add(exchange(target=f"/jobs/{number}"))
    writer.close()

    assert [entry["request"]["url"].rpartition("/")[2] for entry in read(path)] == [
        str(number) for number in range(200)
    ]


def test_what_does_not_fit_is_left_out_and_told(tmp_path, caplog):
    path = tmp_path / "a.har"
    writer = HarWriter(path, CREATOR, unmasked, max_waiting=2 * OVERHEAD)
    with caplog.at_level(logging.WARNING):
        writer.add(exchange(answer=b"x" * 3 * OVERHEAD))
        writer.add(exchange())
        writer.close()

    assert len(read(path)) == 1
    assert "left_out=1" in caplog.text


def test_a_full_disk_is_told_once_and_tried_again(tmp_path, caplog, monkeypatch):
    path = tmp_path / "a.har"
    writer = HarWriter(path, CREATOR, unmasked)
    append, calls = writer._file.append, []

    def failing(entry):
        calls.append(entry)
        if len(calls) < 3:
            raise OSError(28, "No space left on device")
        append(entry)

    monkeypatch.setattr(writer._file, "append", failing)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            writer.add(exchange())
        writer.close()

    assert len(read(path)) == 1
    assert caplog.text.count("No space left on device") == 1
    assert "left_out=2" in caplog.text
