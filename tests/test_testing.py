"""The fixtures that other people's tests use, as they use them."""

import subprocess
import sys
from pathlib import Path

import requests

from proxy.testing import RunningSandbox, sandbox

TIMEOUT = 20


def get(running: RunningSandbox, path: str) -> requests.Response:
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
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout
