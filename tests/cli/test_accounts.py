"""`--account NAME`, and commands that show or test every account."""

import json
from pathlib import Path

import pytest

from tests.support.processes import free_port, srproxy


@pytest.fixture
def home(tmp_path: Path) -> Path:
    nowhere = f"http://127.0.0.1:{free_port()}"
    config = {
        "listen": {"port": free_port()},
        "oauth": {
            "client_id": "an-app",
            "client_secret": "client-secret-0123456789",
            "token_endpoint": f"{nowhere}/token",
        },
        "upstream": {"url": nowhere},
        "tokens": {"path": str(tmp_path / "state")},
        "accounts": {
            "acme": {"oauth": {"scopes": ["jobs_read"]}},
            "robot": {"oauth": {"grant_type": "client_credentials"}},
            "bulk": {"smart_token": "an-api-key-0123456789"},
        },
    }
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    return tmp_path


def test_status_shows_every_account_with_its_kind(home: Path) -> None:
    done = srproxy("status", "--json", home=home)

    accounts = {account["name"]: account for account in json.loads(done.stdout)["accounts"]}
    assert {name: (a["kind"], a["state"]) for name, a in accounts.items()} == {
        "default": ("authorization_code", "login_required"),
        "acme": ("authorization_code", "login_required"),
        "robot": ("client_credentials", "authorized"),
        "bulk": ("smart_token", "authorized"),
    }
    assert done.returncode == 3
    table = srproxy("status", home=home).stdout
    assert "run srproxy login --account acme" in table


def test_status_of_one_account_is_about_that_alone(home: Path) -> None:
    done = srproxy("status", "--json", "--account", "bulk", home=home)

    assert [one["name"] for one in json.loads(done.stdout)["accounts"]] == ["bulk"]
    assert done.returncode == 0


@pytest.mark.parametrize("account", ["robot", "bulk"])
def test_a_login_that_nobody_can_make_is_refused_at_once(home: Path, account: str) -> None:
    done = srproxy("login", "--no-browser", "--account", account, home=home)

    assert (done.returncode, done.stdout) == (1, "")
    assert f"nobody logs in to the account {account}" in done.stderr


@pytest.mark.parametrize("command", ["export", "import"])
@pytest.mark.parametrize("account", ["robot", "bulk"])
def test_a_bundle_of_what_has_no_grant_is_refused_before_anything_is_asked(home, command, account):
    done = srproxy(command, "--account", account, home=home)

    assert (done.returncode, done.stdout) == (1, "")
    assert f"the account {account} has no grant to move: it uses " in done.stderr
    assert "assphrase" not in done.stderr


def test_an_export_without_a_grant_asks_for_no_passphrase(home: Path) -> None:
    done = srproxy("export", home=home)

    assert (done.returncode, done.stdout) == (3, "")
    assert "there is no grant to move (never_authorized)" in done.stderr
    assert "assphrase" not in done.stderr


def test_token_prints_an_accounts_credential(home: Path) -> None:
    header = srproxy("token", "--header", "--account", "bulk", home=home)
    bare = srproxy("token", "--account", "bulk", "--min-valid", "600", home=home)

    assert header.stdout == "X-SmartToken: an-api-key-0123456789\n"
    assert bare.stdout == "an-api-key-0123456789\n"


def test_token_of_an_app_that_cannot_be_asked_prints_nothing(home: Path) -> None:
    done = srproxy("token", "--account", "robot", home=home)

    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()  # and no log line with the same
    assert "refuses connections" in line
    assert "has ended" not in line


@pytest.mark.parametrize("command", ["status", "token", "login", "logout", "export", "import"])
def test_an_account_that_is_not_configured_is_wrong_usage(home: Path, command: str) -> None:
    done = srproxy(command, "--account", "nobody", home=home)

    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no account 'nobody'; configured: default, acme, robot, bulk" in done.stderr


def test_check_looks_at_every_account(home: Path) -> None:
    said = srproxy("check", home=home).stdout

    assert "login required (never_authorized)" in said
    assert "run srproxy login --account acme" in said
    assert "bulk: not tried; the network comes first" in said
    assert "robot:" in said
