"""A HAR file is valid JSON after each entry and after a kill; any is read as far as it is whole."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from haralyzer import HarParser  # type: ignore[import-untyped]

from proxy.recording.har import build_entry
from proxy.recording.har_file import HarError, HarFile, read_entries
from tests.recording.support import exchange, unmasked

CREATOR = ("smartrecruiters-proxy", "0")


def entries(path: Path) -> tuple[list[dict[str, object]], list[str]]:
    warnings: list[str] = []
    return list(read_entries(path, warnings.append)), warnings


def write(path: Path, count: int) -> None:
    file = HarFile(path, CREATOR)
    for number in range(count):
        file.append({"number": number, "text": 'a"b\n]}}'})
    file.close()


@pytest.mark.parametrize("count", [0, 1, 3])
def test_it_is_valid_json_after_each_entry_and_goes_on(tmp_path, count):
    path = tmp_path / "a.har"
    write(path, count)
    assert len(json.loads(path.read_text())["log"]["entries"]) == count
    write(path, 2)

    log = json.loads(path.read_text())["log"]
    assert [entry["number"] for entry in log["entries"]] == [*range(count), 0, 1]
    assert (log["version"], log["creator"]["name"]) == ("1.2", CREATOR[0])
    assert entries(path) == (log["entries"], [])
    assert path.stat().st_mode & 0o077 == 0


def test_every_cut_is_mended_by_the_next_start(tmp_path):
    path = tmp_path / "a.har"
    write(path, 3)
    whole = path.read_bytes()
    opening = whole.index(b"[\n") + 2
    for cut in range(opening, len(whole)):
        path.write_bytes(whole[:cut])
        kept = len(entries(path)[0])
        write(path, 1)

        found = json.loads(path.read_text())["log"]["entries"]
        assert [entry["number"] for entry in found] == [*range(kept), 0]


def test_a_cut_file_is_read_up_to_its_last_whole_entry_and_that_is_said(tmp_path):
    path = tmp_path / "a.har"
    write(path, 3)
    path.write_bytes(path.read_bytes()[:-30])
    found, warnings = entries(path)

    assert [entry["number"] for entry in found] == [0, 1]
    assert "after 2 whole entries" in warnings[0]


def test_a_kill_in_the_midst_of_recording_loses_no_whole_entry(tmp_path):
    path = tmp_path / "a.har"
    code = (
        "import sys; from pathlib import Path; from proxy.recording.har_file import HarFile\n"
        f"file = HarFile(Path({str(path)!r}), ('a', '0'))\n"
        "for number in range(10**9):\n"
        "    file.append({'number': number, 'text': 'x' * 300000})\n"
        "    print(number, flush=True)\n"
    )
    for _ in range(5):
        path.unlink(missing_ok=True)
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            for _ in range(7):
                last = int(writer.stdout.readline())
            os.kill(writer.pid, signal.SIGKILL)
        write(path, 1)

        numbers = [entry["number"] for entry in json.loads(path.read_text())["log"]["entries"]]
        assert numbers[: last + 1] == list(range(last + 1))
        assert numbers[-1] == 0


def test_a_file_of_another_program_is_not_written_to(tmp_path):
    path = tmp_path / "a.har"
    path.write_text('{"log": {"entries": []}}')
    with pytest.raises(HarError, match="not written by this program"):
        HarFile(path, CREATOR)

    assert path.read_text() == '{"log": {"entries": []}}'


def test_pretty_printed_files_with_a_byte_order_mark_are_read(tmp_path):
    path = tmp_path / "a.har"
    log = {"log": {"version": "1.2", "pages": [{"id": '"entries": ['}], "entries": [{"a": 1}, {}]}}
    path.write_text("\ufeff" + json.dumps(log, indent=2), encoding="utf-8")

    assert entries(path) == ([{"a": 1}, {}], [])


@pytest.mark.parametrize("text", ["", "[]", '{"log": {}}', "not json"])
def test_what_is_no_har_file_is_said(tmp_path, text):
    path = tmp_path / "a.har"
    path.write_text(text)
    with pytest.raises(HarError, match="is not a HAR file"):
        entries(path)


def test_another_program_reads_it(tmp_path):
    path = tmp_path / "a.har"
    file = HarFile(path, CREATOR)
    file.append(build_entry(exchange("POST", "/jobs?a=1", body=b"{}"), unmasked))
    file.close()
    parser = HarParser.from_file(str(path))

    (entry,) = parser.har_data["entries"]
    assert (entry["request"]["method"], entry["response"]["status"]) == ("POST", 200)
    assert entry["request"]["queryString"] == [{"name": "a", "value": "1"}]
