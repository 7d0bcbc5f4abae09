"""The audit line: in the log at every level, and in a file of its own."""

import io
import json
import logging
import stat

import pytest

from proxy.telemetry.audit import audit, logger, open_audit_file
from proxy.telemetry.logs import configure
from tests.telemetry.test_logs import logging_as_before  # noqa: F401 - a fixture


@pytest.fixture(autouse=True)
def no_file():
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
