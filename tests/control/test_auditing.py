"""Who acted on a grant by the control routes leaves an audit line."""

import logging

import pytest

from tests.control.conftest import Serve


def audited(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    lines = [record.__dict__.get("members", {}) for record in caplog.records]
    return [(line["action"], line["outcome"]) for line in lines if line.get("audit")]


async def test_a_logout_and_a_login_that_fails_are_told(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    client = await serve()
    await client.post("/-/logout")
    await client.get("/-/callback?code=x&state=y")
    await client.post("/-/login/complete", json={"url": "http://localhost/nothing"})
    await client.get("/-/status")

    told = audited(caplog)
    assert told[0] == ("logout", "ok")
    assert [action for action, _ in told[1:]] == ["login", "login"]
    assert "ok" not in [outcome for _, outcome in told[1:]]


async def test_whom_and_where_from_is_told(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    client = await serve()
    await client.post("/-/logout")

    (line,) = [r.__dict__["members"] for r in caplog.records if "members" in r.__dict__]
    assert line["client"] in ("127.0.0.1", "::1")
    assert line["who"] is None
