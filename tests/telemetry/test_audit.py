"""The audit line: in the log at every level, and in a file of its own."""

import io
import json
import logging
import stat
from pathlib import Path

import pytest

from proxy.telemetry.audit import audit, logger, open_audit_file
from proxy.telemetry.logs import configure
from tests.telemetry.test_logs import logging_as_before  # noqa: F401 - a fixture


@pytest.fixture(autouse=True)
def no_file(monkeypatch):
    monkeypatch.setattr("proxy.telemetry.audit._writer", None)
    yield
    for handler in list(logger.handlers):
        logger.removeHandler(handler)


@pytest.mark.parametrize("level", ["info", "error"])
def test_it_is_in_the_log_whatever_the_level(level):
    stream = io.StringIO()
    configure(level, "json", stream)
    audit("logout", "ops", "127.0.0.1", "ok")

    line = json.loads(stream.getvalue())
    assert line["audit"] is True
    assert (line["action"], line["who"]) == ("logout", "ops")
    assert (line["client"], line["outcome"]) == ("127.0.0.1", "ok")


def test_for_people_it_has_the_same_words():
    stream = io.StringIO()
    configure("info", "text", stream)
    audit("import", None, None, "failed")

    assert stream.getvalue().endswith(
        'audit audit=true action="import" who=null client=null outcome="failed"\n'
    )


def test_the_file_is_private_and_appended_to(tmp_path):
    path = tmp_path / "audit.log"
    for outcome in ("ok", "login_required"):
        writer = open_audit_file(path)
        audit("login", "ops", "::1", outcome)
        assert writer.close()
    logging.getLogger("proxy.other").warning("not for the audit")

    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["outcome"] for line in lines] == ["ok", "login_required"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_was_moved_away_is_left_when_it_is_opened_anew(tmp_path):
    path, descriptors = tmp_path / "audit.log", Path("/proc/self/fd")
    writer = open_audit_file(path)
    audit("login", "ops", None, "ok")
    assert writer.close()
    path.rename(tmp_path / "audit.log.1")
    before = len(list(descriptors.iterdir()))
    for _ in range(50):
        assert open_audit_file(path) is writer
        audit("logout", "ops", None, "ok")
        assert writer.close()

    assert len(list(descriptors.iterdir())) == before
    assert len(path.read_text().splitlines()) == 50
    assert len((tmp_path / "audit.log.1").read_text().splitlines()) == 1
