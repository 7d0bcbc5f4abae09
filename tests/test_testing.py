"""The fixtures that other people's tests use, as they use them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from proxy.errors import ProxyError
from proxy.recording.har import build_entry
from proxy.testing import RunningReplay, RunningSandbox, replay, sandbox
from tests.recording.support import exchange, unmasked

TIMEOUT = 20


@pytest.fixture
def har(tmp_path: Path) -> Path:
    recorded = [exchange(target="/jobs", answer=b"1"), exchange(target="/jobs", answer=b"2")]
    entries = [build_entry(one, unmasked) for one in recorded]
    path = tmp_path / "day.har"
    path.write_text(json.dumps({"log": {"version": "1.2", "entries": entries}}))
    return path


def get(running: RunningSandbox | RunningReplay, path: str) -> requests.Response:
    return requests.get(running.base_url + path, timeout=TIMEOUT)


def test_a_candidate_that_was_added_is_found(smartrecruiters_sandbox: RunningSandbox) -> None:
    added = smartrecruiters_sandbox.add_candidate(firstName="Mira", lastName="Holt")
    found = get(smartrecruiters_sandbox, "/candidates").json()["content"]

    assert [candidate["id"] for candidate in found] == [added["id"]]


def test_each_test_begins_without_candidates_and_jobs(
    smartrecruiters_sandbox: RunningSandbox,
) -> None:
    assert get(smartrecruiters_sandbox, "/candidates").json()["content"] == []
    assert get(smartrecruiters_sandbox, "/jobs").json()["content"] == []


def test_a_job_that_was_added_is_found(smartrecruiters_sandbox: RunningSandbox) -> None:
    added = smartrecruiters_sandbox.add_job(title="Welder")

    assert get(smartrecruiters_sandbox, f"/jobs/{added['id']}").json()["title"] == "Welder"


def test_an_expired_token_is_refreshed(smartrecruiters_sandbox: RunningSandbox) -> None:
    def generation() -> int:
        (account,) = get(smartrecruiters_sandbox, "/-/status").json()["accounts"]
        return int(account["generation"])

    before = generation()
    for _ in range(2):
        smartrecruiters_sandbox.expire_token()
        assert get(smartrecruiters_sandbox, "/jobs").status_code == 200

    assert generation() == before + 2


def test_the_next_call_fails_as_asked_and_no_other(
    smartrecruiters_sandbox: RunningSandbox,
) -> None:
    smartrecruiters_sandbox.fail_next(500)

    statuses = [get(smartrecruiters_sandbox, "/jobs").status_code for _ in range(2)]
    assert statuses == [500, 200]


async def test_the_context_manager_has_the_sample_data() -> None:
    async with sandbox() as running:
        assert running.base_url.startswith("http://localhost:")
        assert len(get(running, "/jobs").json()["content"]) == 6


async def test_recorded_answers_are_given_from_the_first_on_each_time(har: Path) -> None:
    for _ in range(2):
        async with replay(har) as recorded:
            assert recorded.base_url.startswith("http://localhost:")
            assert [get(recorded, "/jobs").text for _ in range(3)] == ["1", "2", "2"]


def test_a_recording_is_served_until_the_test_ends(
    har: Path, smartrecruiters_replay: Callable[[Path], RunningReplay]
) -> None:
    first, second = smartrecruiters_replay(har), smartrecruiters_replay(har)

    assert [get(running, "/jobs").text for running in (first, second)] == ["1", "1"]
    assert get(first, "/nothing").json()["code"] == "not_recorded"


async def test_a_recording_that_was_cut_off_is_used_and_said(
    har: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    har.write_bytes(har.read_bytes()[:-40])
    async with replay(str(har)) as recorded:
        assert get(recorded, "/jobs").text == "1"

    assert "is cut off or damaged after 1 whole entries" in capsys.readouterr().err


async def test_a_file_that_is_no_recording_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "other.har").write_text("{}")
    with pytest.raises(ProxyError, match="is not a HAR file"):
        async with replay(tmp_path / "other.har"):
            pass


def test_the_plugin_imports_nothing_heavy_unless_used() -> None:
    code = (
        "import sys, proxy.pytest_plugin; "
        "print([m for m in ('aiohttp', 'asyncio', 'yaml', 'proxy.testing') if m in sys.modules])"
    )
    bare = "import sys, pytest; print('asyncio' in sys.modules)"

    def output(program: str) -> str:
        command = [sys.executable, "-c", program]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    assert output(code) in (["[]"] if output(bare) == "False" else ["[]", "['asyncio']"])


def test_the_documented_ten_lines_pass(tmp_path: Path) -> None:
    document = (Path(__file__).parents[1] / "docs/testing.md").read_text()
    example = document.split("```python\n")[1].split("```")[0]
    (tmp_path / "test_example.py").write_text(example)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    # The options of our own run are not those of a stranger's.
    environ = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout
