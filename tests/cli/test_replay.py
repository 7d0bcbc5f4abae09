"""`srproxy replay`, as a process, asked by a real client."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from proxy.recording.har import build_entry
from tests.recording.support import exchange, unmasked
from tests.support.processes import running

TIMEOUT = 10


@pytest.fixture
def har(tmp_path: Path) -> Path:
    recorded = [
        exchange(target="/jobs?limit=1&q=a", answer=b'{"n": 1}'),
        exchange(target="/jobs?limit=1&q=a", answer=b'{"n": 2}'),
        exchange("POST", "/candidates", body=b"{}", status=201, got=[("X-A", "1"), ("X-A", "2")]),
        exchange(target="/a/%2F", answer=bytes(range(256)), got=[("Content-Type", "image/png")]),
    ]
    entries = [build_entry(one, unmasked) for one in recorded]
    path = tmp_path / "day.har"
    path.write_text(json.dumps({"log": {"version": "1.2", "entries": entries}}))
    return path


@pytest.fixture
def address(har: Path, tmp_path: Path) -> Iterator[str]:
    # No home, no configuration, another folder: nothing of it is needed.
    with running(
        "replay", str(har), "--port", "0", home=Path("/nonexistent"), cwd=tmp_path
    ) as process:
        yield process.wait_for_output(r"(http://localhost:\d+)\n")[1]


def test_recorded_answers_are_given_again(address):
    pages = [requests.get(f"{address}/jobs?q=a&limit=1", timeout=TIMEOUT) for _ in range(3)]
    made = requests.post(f"{address}/candidates", data=b"{}", timeout=TIMEOUT)
    file = requests.get(f"{address}/a/%2F", timeout=TIMEOUT)

    assert [page.json()["n"] for page in pages] == [1, 2, 2]
    assert (made.status_code, made.raw.headers.getlist("X-A")) == (201, ["1", "2"])
    assert "Content-Type" not in made.headers
    assert "Server" not in made.headers
    assert file.content == bytes(range(256))


def test_what_was_not_recorded_names_the_nearest(address):
    answer = requests.get(f"{address}/jobs?limit=2&q=a", timeout=TIMEOUT)

    assert (answer.status_code, answer.json()["code"]) == (404, "not_recorded")
    assert "GET /jobs?limit=1&q=a" in answer.json()["detail"]
    assert "another body" in requests.post(
        f"{address}/candidates", data=b"[]", timeout=TIMEOUT
    ).json()["detail"]  # fmt: skip


@pytest.mark.parametrize(
    ("headers", "code"),
    [({"Host": "evil.example"}, "bad_host"), ({"Origin": "http://evil.example"}, "cross_origin"),
     ({"Sec-Fetch-Site": "cross-site"}, "cross_origin"), ({"Host": "[::1"}, "bad_host"),
     ({"Origin": "http://["}, "cross_origin"), ({"Origin": "null"}, "cross_origin")],
)  # fmt: skip
def test_a_web_page_gets_nothing(address, headers, code):
    answer = requests.get(f"{address}/jobs?limit=1&q=a", headers=headers, timeout=TIMEOUT)

    assert answer.json()["code"] == code
