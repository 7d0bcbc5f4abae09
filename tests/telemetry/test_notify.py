"""A person is told once, with the reason, and told again when all is well."""

import asyncio
import json
import logging
import sys
from pathlib import Path

import pytest

from proxy.telemetry.notify import DAY, Health, Notifier

WELL = Health(needed=None, reason=None, ends_at=28.0 * DAY)
LOST = Health(needed="login_required", reason="grant_revoked", ends_at=None)


class Now:
    """A clock with one hand."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("the notifier waits for changes")


class Grant:
    """A grant whose health a test sets."""

    def __init__(self) -> None:
        self.health = WELL
        self.clock = Now()
        self.notifier = Notifier(
            ["true"],
            {"default": lambda: self.health},
            self.clock,
            login_url=lambda _: "http://localhost:8080/-/login",
            environ={},
        )

    def due(self, health: Health | None = None) -> list[str]:
        self.health = health or self.health
        return [f"{event.name} {event.reason}" for event in self.notifier.due()]


def test_a_lost_grant_is_told_once_and_so_is_its_recovery():
    grant = Grant()

    assert grant.due() == []
    assert grant.due(LOST) == ["login_required grant_revoked"]
    assert grant.due(LOST) == []
    assert grant.due(WELL) == ["recovered authorized"]
    assert grant.due(WELL) == []


def test_the_end_is_told_seven_three_and_one_days_before():
    grant = Grant()
    told = []
    for hour in range(28 * 24):
        grant.clock.time = hour * 3600.0
        told += [(hour // 24, event) for event in grant.due()]

    assert told == [
        (21, "grant_ending 7_days"),
        (25, "grant_ending 3_days"),
        (27, "grant_ending 1_day"),
    ]


def test_a_refresh_after_a_warning_is_a_recovery_and_the_next_warning_comes_again():
    grant = Grant()
    ends_soon = Health(needed=None, reason=None, ends_at=6.0 * DAY)

    assert grant.due(ends_soon) == ["grant_ending 7_days"]
    assert grant.due(WELL) == ["recovered authorized"]
    assert grant.due(ends_soon) == ["grant_ending 7_days"]


def test_a_refused_client_is_told_as_what_it_is():
    grant = Grant()

    assert grant.due(Health("client_refused", "invalid_client", None)) == [
        "client_refused invalid_client"
    ]
    assert grant.due(WELL) == ["recovered authorized"]


def test_a_start_without_a_grant_is_told():
    assert Grant().due(Health("login_required", "never_authorized", None)) == [
        "login_required never_authorized"
    ]


async def told(tmp_path: Path, script: str, health: Health, environ=None):
    """Run the notifier until the script has left its file."""
    path = tmp_path / "told"
    notifier = Notifier(
        [sys.executable, "-c", script, str(path)],
        {"default": lambda: health},
        Now(),
        login_url=lambda _: "http://localhost:8080/-/login",
        environ=environ or {},
    )
    task = asyncio.ensure_future(notifier.run())
    async with asyncio.timeout(20):
        while not path.exists():
            await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return path.read_text()


WRITE = """
import json, os, pathlib, sys
path = pathlib.Path(sys.argv[1] + ".part")
path.write_text(json.dumps({k: v for k, v in os.environ.items()}))
path.rename(sys.argv[1])
"""


async def test_the_command_gets_the_event_and_none_of_our_configuration(tmp_path):
    environ = {"SRPROXY_OAUTH__CLIENT_SECRET": "canary", "KEPT": "1"}

    got = json.loads(await told(tmp_path, WRITE, LOST, environ))

    assert got["SRPROXY_EVENT"] == "login_required"
    assert got["SRPROXY_ACCOUNT"] == "default"
    assert got["SRPROXY_REASON"] == "grant_revoked"
    assert got["SRPROXY_LOGIN_URL"] == "http://localhost:8080/-/login"
    assert got["KEPT"] == "1"
    assert "canary" not in str(got)


async def test_its_output_goes_to_the_log(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    script = WRITE.replace("path.rename", "print('hello'); path.rename") + "\nsys.exit(3)"

    notifier = Notifier(
        [sys.executable, "-c", script, str(tmp_path / "x")],
        {"default": lambda: LOST},
        Now(),
        login_url=str,
        environ={},
    )
    for event in notifier.due():
        await notifier._tell(event)

    assert "exit=3 output='hello'" in caplog.text


async def test_a_command_that_is_not_there_is_a_line_in_the_log(caplog):
    notifier = Notifier(
        ["/nowhere/notify"], {"default": lambda: LOST}, Now(), login_url=str, environ={}
    )
    for event in notifier.due():
        await notifier._tell(event)

    assert "notify_failed event=login_required" in caplog.text


async def test_a_command_that_hangs_is_killed(caplog, monkeypatch):
    monkeypatch.setattr("proxy.telemetry.notify.TIMEOUT", 0.2)
    notifier = Notifier(
        [sys.executable, "-c", "import time; time.sleep(60)"],
        {"default": lambda: LOST},
        Now(),
        login_url=str,
        environ={},
    )
    for event in notifier.due():
        await notifier._tell(event)

    assert "error=timeout" in caplog.text
