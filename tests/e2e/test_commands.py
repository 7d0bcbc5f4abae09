"""The commands as a person uses them, with the server up and down, in front of the sandbox."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.conftest import Person, Proxy, wait_until
from tests.support.processes import free_port, running, srproxy
from tests.support.sandboxes import RunningSandbox


def command(
    proxy: Proxy, *arguments: str, stdin: str = "", timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    name, *rest = arguments
    return srproxy(
        name, "-c", str(proxy.file), *rest, home=proxy.home, stdin=stdin, timeout=timeout
    )


def status(proxy: Proxy) -> Any:
    return json.loads(command(proxy, "status", "--json").stdout)


# ── srproxy sandbox ──


def test_sandbox_needs_no_browser_and_no_configuration(tmp_path: Path) -> None:
    port = free_port()
    begun_at = time.monotonic()
    with running(
        "sandbox", "--auto-approve", "--port", str(port), "--sandbox-port", "0", home=tmp_path
    ) as process:
        process.wait_for_output(r"curl \S+/users/me")
        lines = re.findall(r"curl (http\S+)", process.stdout)
        answers = [requests.get(line, timeout=20) for line in lines]
        ready_after = time.monotonic() - begun_at
        process.signal(signal.SIGINT)
        code = process.wait()

    assert lines
    assert [answer.status_code for answer in answers] == [200] * len(lines)
    assert ready_after < 60
    assert code == 0
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_wait_waits_for_a_sandbox_that_is_only_starting(tmp_path: Path) -> None:
    environ = {"TMPDIR": str(tmp_path)}  # where running sandboxes are found
    with running("wait", "--sandbox", home=tmp_path, environ=environ) as waiting:
        options = ("--auto-approve", "--port", "0", "--sandbox-port", "0")
        with running("sandbox", *options, home=tmp_path, environ=environ):
            assert waiting.wait() == 0, waiting.stderr
    done = srproxy("wait", "--sandbox", "--timeout", "0", home=tmp_path, environ=environ)
    assert done.returncode == 1
    assert "no sandbox is running here" in done.stderr


def test_sandbox_lets_a_person_authorize_and_watch_a_refresh(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://localhost:{port}"
    options = ("--port", str(port), "--sandbox-port", "0", "--access-token-lifetime", "2")
    with running("sandbox", *options, home=tmp_path) as process:
        process.wait_for_output("/-/login")
        refused = requests.get(f"{url}/users/me", timeout=20)
        browser = requests.Session()
        consent = browser.get(f"{url}/-/login", timeout=20)
        done = browser.post(consent.url, data={"decision": "authorize"}, timeout=20)

        def generation() -> int:
            # Ten a second, as at SmartRecruiters.
            assert requests.get(f"{url}/users/me", timeout=20).status_code in (200, 429)
            account = requests.get(f"{url}/-/status", timeout=20).json()["accounts"][0]
            return int(account["generation"])

        first = generation()
        wait_until(lambda: generation() > first)

    assert refused.status_code == 503
    assert done.status_code == 200


# ── srproxy status, token, logout, wait ──


def test_status_and_token_with_the_server_up_and_down(
    proxy: Proxy, person: Person, sandbox: RunningSandbox
) -> None:
    assert command(proxy, "status").returncode == 3
    person.log_in()
    up = status(proxy)
    assert command(proxy, "status").returncode == 0
    header = command(proxy, "token", "--header").stdout.strip()
    name, _, value = header.partition(": ")
    assert requests.get(f"{sandbox.origin}/users/me", headers={name: value}, timeout=20).ok

    proxy.stop()
    down = status(proxy)
    assert command(proxy, "token").stdout.strip() == value.removeprefix("Bearer ")
    assert down["accounts"][0]["state"] == up["accounts"][0]["state"] == "authorized"
    assert down["accounts"][0]["generation"] == up["accounts"][0]["generation"]


def test_logout_by_command_is_seen_by_the_server(proxy: Proxy, person: Person) -> None:
    person.log_in()
    assert command(proxy, "logout").returncode == 0

    wait_until(lambda: requests.get(f"{proxy.url}/users/me", timeout=20).status_code == 503, 6)
    assert command(proxy, "status").returncode == 3


def test_wait_ends_when_a_login_made_it_ready(proxy: Proxy, person: Person) -> None:
    assert command(proxy, "wait", "--timeout", "0.5").returncode == 1
    person.log_in()

    assert command(proxy, "wait", "--timeout", "10").returncode == 0


# ── srproxy login ──


@pytest.mark.parametrize("server", ["up", "down"])
def test_login_prints_an_address_and_ends_when_it_was_used(
    proxy: Proxy, person: Person, server: str
) -> None:
    if server == "down":
        proxy.stop()
    with running("login", "--no-browser", "-c", str(proxy.file), home=proxy.home) as process:
        address = process.wait_for_output(r"http://\S+")[0]
        consent = person.browser.get(address, timeout=20)
        assert person.decide(consent, "authorize").status_code == 200
        assert process.wait() == 0

    assert command(proxy, "status").returncode == 0


@pytest.mark.parametrize("server", ["up", "down"])
def test_login_takes_the_pasted_address(proxy: Proxy, person: Person, server: str) -> None:
    if server == "down":
        proxy.stop()
    with running("login", "--paste", "-c", str(proxy.file), home=proxy.home, stdin=True) as process:
        address = process.wait_for_output(r"http://\S+/identity/oauth/allow\S+")[0]
        answer = requests.post(
            address, data={"decision": "authorize"}, allow_redirects=False, timeout=20
        )
        process.write(answer.headers["Location"] + "\n")
        assert process.wait() == 0

    assert command(proxy, "status").returncode == 0


def test_declined_login_pasted_with_raw_spaces_is_understood(
    proxy: Proxy, person: Person, sandbox: RunningSandbox
) -> None:
    with running("login", "--paste", "-c", str(proxy.file), home=proxy.home, stdin=True) as process:
        address = process.wait_for_output(r"http://\S+/identity/oauth/allow\S+")[0]
        answer = requests.post(
            address, data={"decision": "decline"}, allow_redirects=False, timeout=20
        )
        process.write(answer.headers["Location"].replace("%20", " ") + "\n")
        process.wait_for_output("(?i)declined")

    assert sandbox.presentations == []


# ── srproxy run, check, export and import ──


def test_run_gives_a_command_a_proxy_of_its_own(proxy: Proxy, person: Person) -> None:
    person.log_in()
    proxy.stop()
    script = (
        "import os, urllib.request as u; b = os.environ['SMARTRECRUITERS_BASE_URL']; "
        "print(u.urlopen(b + '/users/me').read().decode()); raise SystemExit(7)"
    )
    done = command(proxy, "run", "--", sys.executable, "-c", script)

    assert "Lindqvist" in done.stdout
    assert done.returncode == 7


def test_check_is_content_with_a_good_set_up(proxy: Proxy, person: Person) -> None:
    person.log_in()
    done = command(proxy, "check")

    assert done.returncode == 0, done.stdout + done.stderr


def test_grant_moves_to_another_machine(
    proxy: Proxy, person: Person, tmp_path: Path, sandbox: RunningSandbox
) -> None:
    person.log_in()
    proxy.stop()
    bundle, passphrase = tmp_path / "grant.bundle", tmp_path / "passphrase"
    passphrase.write_text("a long enough passphrase")
    options = ("--passphrase-file", str(passphrase))
    exported = command(proxy, "export", *options, str(bundle))
    assert exported.returncode == 0, exported.stderr
    assert command(proxy, "status").returncode == 3

    home = tmp_path / "other"
    home.mkdir()
    tokens = {"path": str(home / "tokens")}
    other = Proxy(home, free_port(), {**proxy.config, "tokens": tokens})
    other.write_config()
    imported = command(other, "import", *options, str(bundle))
    assert imported.returncode == 0, imported.stderr

    assert command(other, "status").returncode == 0
    assert {p.outcome for p in sandbox.presentations} == {"issued"}
    assert len(sandbox.refreshes) == 1
