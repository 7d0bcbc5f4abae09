"""`status`: what a person reads, whatever the state."""

import io

import pytest

from proxy.cli.clock import SystemClock
from proxy.cli.grant import _account_rows, _show_table
from proxy.cli.session import Session
from proxy.cli.terminal import Terminal

NOW = 1_800_000_000.0
SPAN = {
    "issued_at": "2027-01-15T07:50:00Z",
    "expires_at": "2027-02-12T08:00:00Z",
    "expires_in": 2_418_000,
}


class Clock(SystemClock):
    def now(self):
        return NOW


@pytest.fixture
def session(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    environ = {"SRPROXY_OAUTH__CLIENT_ID": "a", "SRPROXY_OAUTH__CLIENT_SECRET": "b"}
    return Session(environ=environ, clock=Clock())


def account(**changes):
    return {
        "name": "default",
        "state": "authorized",
        "reason": None,
        "scopes": ["jobs_read", "candidates_read"],
        "generation": 12,
        "access_token": {**SPAN, "expires_in": 1402},
        "refresh_token": SPAN,
        "last_refresh": {"at": "2027-01-15T07:55:00Z", "outcome": "ok", "detail": None},
        **changes,
    }


def rows(session, **changes):
    out = Terminal(io.StringIO(), {})
    return dict(_account_rows(session, out, account(**changes)))


def test_a_healthy_grant(session):
    shown = rows(session)

    assert shown["State"] == "ok authorized"
    assert shown["Scopes"] == "jobs_read candidates_read"
    assert shown["Access token"] == "23 min left"
    assert shown["Grant"] == (
        "renews by itself while the proxy runs; stopped now, it would end on 12 February 2027 "
        "(in 27 d 23 h)"
    )
    assert shown["Last refresh"] == "ok, 5 min ago"
    assert "To do" not in shown


def test_no_grant_says_what_to_do(session):
    shown = rows(
        session,
        state="login_required",
        reason="never_authorized",
        scopes=[],
        access_token=None,
        refresh_token=None,
        last_refresh=None,
    )

    assert shown == {
        "Account": "default",
        "State": "FAIL login required (never_authorized)",
        "To do": "run srproxy login",
    }


def test_a_degraded_grant_says_why(session):
    shown = rows(
        session,
        state="degraded",
        reason="invalid_client",
        access_token={**SPAN, "expires_in": 0},
        last_refresh={"at": "x", "outcome": "failed", "detail": "the secret is refused"},
        warning="Redis has no append-only file.",
    )

    assert shown["State"] == "warn degraded (invalid_client)"
    assert shown["Access token"] == "expired; renewed with the next call"
    assert shown["Last refresh"] == "failed: the secret is refused"
    assert shown["Warning"] == "Redis has no append-only file."


def test_the_table_names_server_upstream_and_store(session, tmp_path):
    stream = io.StringIO()
    known = {"upstream": "https://api.smartrecruiters.com", "accounts": [account()]}
    session.state_folder = tmp_path

    _show_table(session, Terminal(stream, {}), known, "http://127.0.0.1:8080")

    assert "Server        running at http://127.0.0.1:8080\n" in stream.getvalue()
    assert f"Store         {session.state_folder}\n" in stream.getvalue()


def test_a_running_server_s_store_is_not_guessed_from_another_user_s_folders(session, tmp_path):
    stream = io.StringIO()
    session.state_folder = tmp_path / "elsewhere"

    _show_table(session, Terminal(stream, {}), {"accounts": [account()]}, "http://127.0.0.1:8080")

    assert "Store" not in stream.getvalue()


def test_the_table_says_whose_grant_it_is(session):
    assert rows(session, owner="Ada Example")["Owner"] == "Ada Example"
