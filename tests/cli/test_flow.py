"""The commands as processes, against the real proxy and the sandbox."""

import json
import re
import signal
import socket
import stat
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import requests
import yaml

from proxy.sandbox import SandboxSettings
from proxy.sandbox.data import ME
from tests.support.processes import (
    PYTHONPATH,
    Process,
    free_port,
    running,
    srproxy,
    wait_until_answers,
)
from tests.support.redis_server import redis_server
from tests.support.sandboxes import running_sandbox

URL = re.compile(r"http://localhost:\d+/\S+")


class Setup:
    """A home with a configuration for a sandbox that approves at once."""

    def __init__(self, home: Path, sandbox, port: int) -> None:
        self.home = home
        self.sandbox = sandbox
        self.port = port
        self.url = f"http://localhost:{port}"
        self.config = {
            "listen": {"port": port},
            "oauth": {
                "client_id": sandbox.settings.client_id,
                "client_secret": sandbox.settings.client_secret,
                "redirect_uri": f"{self.url}/-/callback",
                "authorization_endpoint": sandbox.authorization_endpoint,
                "token_endpoint": sandbox.token_endpoint,
            },
            "upstream": {"url": sandbox.origin},
        }
        self.save()

    def save(self) -> None:
        file = self.home / "config.yaml"
        file.write_text(yaml.safe_dump(self.config))
        file.chmod(0o600)

    def run(self, *arguments, **options):
        return srproxy(*arguments, home=self.home, **options)

    def running(self, *arguments, **options):
        return running(*arguments, home=self.home, **options)

    def serving(self):
        return self.running("serve")

    def log_in(self) -> None:
        """Log in as a person in a browser does, while the server is down."""
        with self.running("login", "--no-browser") as process:
            open_printed(process)
            assert process.wait() == 0, process.stderr

    @property
    def record(self) -> Path:
        return self.home / ".local/state/smartrecruiters-proxy/grants/default.json"


def open_printed(process: Process) -> requests.Response:
    url = process.wait_for_output(r"(http://localhost:\d+/-/login)\s")[1]
    answer = requests.Session().get(url, timeout=10)
    assert answer.status_code == 200, answer.text
    return answer


def decline(process: Process) -> requests.Response:
    """Decline at the printed address, as a person in a browser does."""
    url = process.wait_for_output(r"(http://localhost:\d+/-/login)\s")[1]
    browser = requests.Session()
    consent = browser.get(url, allow_redirects=False, timeout=10).headers["Location"]
    return browser.post(consent, data={"decision": "decline"}, timeout=10)


def final_address(process: Process) -> str:
    """Authorize at the printed address, on "another machine": where does the browser end up?"""
    url = process.wait_for_output(r"(http://localhost:\d+/identity/\S+)\s")[1]
    return requests.get(url, allow_redirects=False, timeout=10).headers["Location"]


@pytest.fixture
def setup(tmp_path):
    port = free_port()
    settings = SandboxSettings(
        redirect_uris=(f"http://localhost:{port}/-/callback",), auto_approve=True, throttle=False
    )
    with running_sandbox(settings) as sandbox:
        yield Setup(tmp_path, sandbox, port)


@pytest.fixture
def server(setup):
    with setup.serving() as process:
        process.wait_for_output("listening")
        yield process
        assert process.stop() == 0, process.stderr


def state(setup):
    done = setup.run("status", "--json")
    return done.returncode, json.loads(done.stdout)["accounts"][0]["state"]


def test_from_nothing_to_a_token_without_a_server(setup):
    assert state(setup) == (3, "login_required")
    assert setup.run("token").returncode == 3
    setup.log_in()
    token = setup.run("token")

    assert state(setup) == (0, "authorized")
    assert token.returncode == 0
    assert token.stderr == ""
    assert re.fullmatch(r"\S+\n", token.stdout)
    imports = setup.run("token", environ={"PYTHONPROFILEIMPORTTIME": "1"}).stderr
    assert "proxy.grant.stored" in imports
    assert "asyncio" not in imports, "a token that is good needs no event loop"
    assert setup.run("token", "--header").stdout == f"Authorization: Bearer {token.stdout}"
    answer = requests.get(
        f"{setup.sandbox.origin}/users/me",
        headers={"Authorization": f"Bearer {token.stdout.strip()}"},
        timeout=10,
    )
    assert answer.status_code == 200

    assert setup.run("logout").returncode == 0
    assert state(setup) == (3, "login_required")
    assert list(setup.record.parent.glob("default*")) != [setup.record], "nothing was set aside"


@pytest.mark.parametrize("is_serving", [True, False])
@pytest.mark.parametrize("with_state", [True, False])
def test_a_decline_ends_the_login_at_once_and_the_browser_is_told(setup, is_serving, with_state):
    object.__setattr__(setup.sandbox.settings, "decline_carries_state", with_state)
    with setup.serving() if is_serving else nullcontext() as server:
        if server is not None:
            server.wait_for_output("listening")
        with setup.running("login", "--no-browser") as login:
            page = decline(login)

            assert login.wait(timeout=5) == 1
            assert "the login did not succeed: The request for access was declined" in login.stderr
    assert page.status_code == 400
    assert page.text.endswith("</html>\n")
    assert state(setup) == (3, "login_required")


@pytest.mark.parametrize(("answer", "code"), [("yes", 0), ("no", 1)])
def test_another_users_login_replaces_nothing_before_it_is_confirmed(
    setup, server, monkeypatch, answer, code
):
    def owner():
        return json.loads(setup.record.read_text())["grant"]["subject"]

    with setup.running("login", "--no-browser") as login:
        open_printed(login)
        assert login.wait() == 0, login.stderr
    monkeypatch.setitem(ME, "firstName", "Mallory")
    with setup.running("login", "--paste", stdin=True) as login:
        login.write(final_address(login) + "\n")
        login.wait_for_output("Type yes to replace it")
        assert "Mallory" not in owner()
        login.write(answer + "\n")

        assert login.wait() == code, login.stderr
    assert ("Mallory" in owner()) == (answer == "yes")
    assert requests.get(f"{setup.url}/users/me", timeout=10).status_code == 200


def test_a_redis_without_append_only_file_is_warned_of_without_a_server(setup, tmp_path):
    with redis_server(tmp_path, appendonly=False) as redis:
        setup.config["tokens"] = {"store": "redis", "redis": {"url": redis.url}}
        setup.save()
        shown = setup.run("status")
        told = json.loads(setup.run("status", "--json").stdout)["accounts"][0]

    assert shown.returncode == 3
    assert re.search(r"Warning +The Redis at \S+ has no append-only file", shown.stdout)
    assert "append-only" in told["warning"]


def test_a_redis_without_its_client_is_said_in_one_line(setup, tmp_path):
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden/redis.py").write_text("raise ImportError('not installed')\n")
    setup.config["tokens"] = {"store": "redis", "redis": {"url": "redis://localhost:1"}}
    setup.save()

    for command in ("serve", "status"):
        done = setup.run(command, environ={"PYTHONPATH": f"{tmp_path / 'hidden'}:{PYTHONPATH}"})

        assert done.returncode == 1
        assert done.stdout == ""
        (line,) = done.stderr.splitlines()
        assert "pip install 'smartrecruiters-proxy[redis]'" in line


def test_through_the_running_server(setup, server):
    assert state(setup) == (3, "login_required")
    assert setup.run("wait", "--timeout", "0").returncode == 1
    with setup.running("login", "--no-browser") as login:
        open_printed(login)
        assert login.wait() == 0, login.stderr

    assert setup.run("wait", "--timeout", "10").returncode == 0
    assert requests.get(f"{setup.url}/users/me", timeout=10).status_code == 200
    assert state(setup) == (0, "authorized")
    shown = setup.run("status")
    assert "running at http://" in shown.stdout
    assert "renews by itself" in shown.stdout
    assert "\x1b" not in shown.stdout
    assert setup.run("token").stdout.strip()

    assert setup.run("logout").returncode == 0
    assert requests.get(f"{setup.url}/users/me", timeout=10).status_code == 503


@pytest.mark.parametrize("up", [True, False], ids=["server up", "server down"])
def test_a_login_by_pasting_the_final_address(setup, up, request):
    if up:
        request.getfixturevalue("server")
    with setup.running("login", "--paste", stdin=True) as login:
        login.write(f"{final_address(login)}\n")
        assert login.wait() == 0, login.stderr

    assert state(setup) == (0, "authorized")


def test_a_pasted_decline_with_raw_spaces_says_what_happened(setup):
    decline = f"{setup.url}/-/callback?error=access_denied&error_description=User said no&code=500"

    done = setup.run("login", "--paste", stdin=f"{decline}\n")

    assert done.returncode == 1
    assert "declined" in done.stderr.lower()
    assert "Traceback" not in done.stderr


def test_a_bare_code_is_refused(setup):
    done = setup.run("login", "--paste", stdin="abcdef\n")

    assert done.returncode == 1
    assert "a code alone is not enough" in done.stderr


def test_the_browser_is_opened(setup):
    script = setup.home / "browser"
    script.write_text(
        f"#!{sys.executable}\nimport requests, sys\nrequests.Session().get(sys.argv[1])\n"
    )
    script.chmod(0o700)

    done = setup.run("login", environ={"BROWSER": f"{script} %s"})

    assert done.returncode == 0, done.stderr
    assert state(setup) == (0, "authorized")


def test_a_new_login_replaces_the_grant_and_is_noticed(setup, server):
    setup_login = [setup.running("login", "--no-browser") for _ in range(2)]
    for one in setup_login:
        with one as login:
            open_printed(login)
            assert login.wait() == 0, login.stderr

    grants = {p.grant for p in setup.sandbox.presentations}
    assert len(grants) == 2


def test_beside_the_service_neither_its_secret_nor_its_store_is_needed(setup, server, tmp_path):
    """A root shell beside the systemd unit, which has its secret by LoadCredential."""
    shell = tmp_path / "shell"
    shell.mkdir()
    setup.config["oauth"].pop("client_secret", None)
    setup.config["oauth"]["client_secret_file"] = "/run/credentials/nothing-here"
    setup.save()
    config = ("-c", str(setup.home / "config.yaml"))

    with running("login", "--no-browser", *config, home=shell) as login:
        open_printed(login)
        assert login.wait() == 0, login.stderr
    assert srproxy("wait", "--timeout", "10", *config, home=shell).returncode == 0
    status = srproxy("status", *config, home=shell)
    assert status.returncode == 0, status.stderr
    assert "Store" not in status.stdout
    assert srproxy("run", *config, "--", "true", home=shell).returncode == 0
    assert srproxy("logout", *config, home=shell).returncode == 0
    assert srproxy("status", *config, home=shell).returncode == 3
    token = srproxy("token", *config, home=shell)
    assert token.returncode == 2
    assert "oauth.client_secret_file: the file cannot be read" in token.stderr
    assert not (shell / ".local").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_login_ends_with_130(setup, number):
    with setup.running("login", "--no-browser") as login:
        login.wait_for_output("/-/login")
        login.signal(number)

        assert login.wait() == 130


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_ends_with_0_after_a_signal(setup, number):
    with setup.serving() as server:
        server.wait_for_output("listening")
        server.signal(number)

        assert server.wait() == 0


def test_a_port_taken_by_another_program_is_said(setup):
    with socket.socket() as other:
        other.bind(("127.0.0.1", setup.port))
        other.listen()
        serve = setup.run("serve")

    assert serve.returncode == 1
    assert f"127.0.0.1:{setup.port} is taken by another program" in serve.stderr
    assert "Traceback" not in serve.stderr


def test_port_0_is_printed(setup):
    setup.config["listen"]["port"] = 0
    setup.save()
    with setup.serving() as server:
        url = server.wait_for_output(r"\A(http://localhost:\d+)\n")[1]

        assert wait_until_answers(f"{url}/-/live") == 200
        assert url in server.stdout


def test_flags_of_serve_are_settings_for_one_run(setup):
    with setup.running("serve", "--port", "0", "--dry-run") as server:
        url = server.wait_for_output(r"\A(http://localhost:\d+)\n")[1]

        assert wait_until_answers(f"{url}/-/live") == 200
        assert str(setup.port) not in url
    assert setup.run("serve", "--port", "x").returncode == 2


def test_open_opens_the_status_page_of_the_running_server(setup, server):
    script = setup.home / "browser"
    script.write_text(f'#!/bin/sh\necho "$1" > {setup.home}/opened\n')
    script.chmod(0o700)

    opened = setup.run("open", environ={"BROWSER": f"{script} %s"})
    printed = setup.run("open")

    assert (opened.returncode, opened.stdout) == (0, "")
    assert (setup.home / "opened").read_text() == f"{setup.url}/-/\n"
    assert (printed.returncode, printed.stdout) == (0, f"{setup.url}/-/\n")


def test_over_a_unix_socket_with_keys(setup):
    path = setup.home / "s"
    setup.config["listen"] = {"host": None, "unix_socket": str(path)}
    setup.config["access"] = {"api_keys": [{"name": "tool", "key": "k-1"}]}
    setup.save()
    with setup.serving() as server:
        server.wait_for_output("listening")
        assert stat.S_ISSOCK(path.stat().st_mode)
        with setup.running("login", stdin=True) as login:
            login.write(f"{final_address(login)}\n")
            assert login.wait() == 0, login.stderr

        assert setup.run("wait", "--timeout", "10").returncode == 0
        assert state(setup) == (0, "authorized")
        assert f"running at {path}\n" in setup.run("status").stdout
        assert setup.run("logout").returncode == 0
        assert state(setup) == (3, "login_required")
        assert server.stop() == 0


def test_a_record_that_cannot_be_read_is_an_error_with_its_path(setup):
    setup.log_in()
    setup.record.write_text("torn")

    for command in (["status"], ["status", "--json"], ["token"], ["logout"]):
        done = setup.run(*command)
        assert done.returncode == 1, command
        assert str(setup.record) in done.stderr
        assert done.stdout == ""
    assert setup.record.read_text() == "torn"

    with setup.serving() as server:
        server.wait_for_output("listening")
        assert requests.get(f"{setup.url}/x", timeout=10).json()["code"] == "store_unavailable"
        up = setup.run("status")
        assert up.returncode == 1
        assert str(setup.record) in up.stderr


def test_a_person_is_told_that_a_login_is_needed_and_done(setup):
    told = setup.home / "told"
    setup.config["notify"] = {
        "command": ["sh", "-c", f'echo "$SRPROXY_EVENT $SRPROXY_LOGIN_URL" >> {told}']
    }
    setup.save()
    with setup.serving() as server:
        server.wait_for_output("notify_done event=login_required")
        with setup.running("login", "--no-browser") as login:
            open_printed(login)
            assert login.wait() == 0, login.stderr
        server.wait_for_output("notify_done event=recovered")

    assert told.read_text().splitlines() == [
        f"login_required {setup.url}/-/login",
        "recovered ",
    ]


def test_run_gives_a_command_a_proxy_of_its_own(setup):
    setup.log_in()
    script = (
        "import os, requests, sys; "
        "sys.exit(requests.get(os.environ['SMARTRECRUITERS_BASE_URL'] + '/users/me').status_code"
        " != 200 and 1 or 9)"
    )

    done = setup.run("run", "--", sys.executable, "-c", script)

    assert done.returncode == 9, done.stderr
    assert done.stdout == ""


def test_run_without_a_grant_ends_with_3(setup):
    assert setup.run("run", "--", "true").returncode == 3


@pytest.mark.parametrize("secret", ["right", "wrong"])
@pytest.mark.parametrize("kind", ["client_credentials", "smart_token"])
def test_check_of_what_needs_no_login_speaks_of_none(setup, kind, secret):
    if kind == "smart_token":
        key = setup.sandbox.settings.api_key if secret == "right" else "another-key"
        # The token endpoint stays SmartRecruiters' own, which is out of reach here.
        del setup.config["oauth"]
        setup.config["smart_token"] = key
    else:
        setup.config["oauth"]["grant_type"] = kind
        if secret == "wrong":
            setup.config["oauth"]["client_secret"] = "another-secret"
    setup.save()

    done = setup.run("check")

    assert done.returncode == (0 if secret == "right" else 1), done.stdout
    faults = re.findall(r"^  (?:✗|FAIL) (.*)", done.stdout, re.MULTILINE)
    assert len(faults) == (secret == "wrong"), faults
    assert all("refuses" in fault for fault in faults)
    assert "log in" not in done.stdout
    assert "login" not in done.stdout.lower()
    assert "the grant" not in done.stdout.lower()
    assert ("token_endpoint" in done.stdout) == (kind == "client_credentials")
    assert done.stderr == ""


def test_check_with_a_grant_is_all_ticks(setup):
    setup.log_in()

    done = setup.run("check")

    assert done.returncode == 0, done.stdout
    assert "GET /users/me with the grant: 200" in done.stdout
    assert "✗" not in done.stdout
    assert "FAIL" not in done.stdout


def test_check_says_every_fault_of_the_configuration(setup):
    setup.config["listen"]["prot"] = 1
    setup.config["oauth"]["scopes"] = "a"
    setup.save()

    done = setup.run("check")

    assert done.returncode == 2
    assert done.stdout.count("config.yaml:") == 2


def test_check_without_a_grant_ends_with_3_and_an_unreachable_host_with_1(setup):
    assert setup.run("check").returncode == 3
    setup.config["upstream"]["url"] = f"http://127.0.0.1:{free_port()}"
    setup.save()
    assert setup.run("check").returncode == 1


def test_no_command_prints_a_secret(setup):
    setup.log_in()
    token = setup.run("token").stdout.strip()
    secrets = {token, setup.config["oauth"]["client_secret"]}
    record = json.loads(setup.record.read_text())
    secrets |= {
        value
        for text in re.findall(r'"(?:access|refresh)_token": ?"([^"]+)"', json.dumps(record))
        for value in [text]
    }
    assert len(secrets) >= 3

    for command in (["status"], ["status", "--json"], ["check"], ["wait", "--timeout", "0"]):
        done = setup.run(*command)
        for secret in secrets:
            assert secret not in done.stdout + done.stderr, command


# ── the sandbox ──


def test_the_sandbox_is_the_whole_product(tmp_path):
    ports = ["--port", "0", "--sandbox-port", "0"]
    with running("sandbox", *ports, "--auto-approve", home=tmp_path) as sandbox:
        url = sandbox.wait_for_output(r"curl (http://localhost:\d+)/users/me")[1]
        assert requests.get(f"{url}/users/me", timeout=10).status_code == 200
        assert sandbox.stop() == 0

    assert not (tmp_path / ".local").exists()


def test_the_sandbox_waits_for_the_person_and_tells_what_to_do(tmp_path):
    with running("sandbox", "--port", "0", "--sandbox-port", "0", home=tmp_path) as sandbox:
        url = sandbox.wait_for_output(r"Open (http://localhost:\d+/-/login)")[1]
        page = requests.get(url, timeout=10)
        assert "Authorize" in page.text


@pytest.mark.parametrize("taken", ["--port", "--sandbox-port"])
def test_a_taken_port_of_the_sandbox_is_said(tmp_path, taken):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        ports = {"--port": "0", "--sandbox-port": "0", taken: str(port)}
        flat = [part for pair in ports.items() for part in pair]
        done = srproxy("sandbox", *flat, home=tmp_path)

    assert done.returncode == 1
    assert str(port) in done.stderr
    assert taken in done.stderr
    assert "Traceback" not in done.stderr


def test_the_sandbox_takes_access_and_log_from_a_file_that_is_named(tmp_path):
    (tmp_path / "config.yaml").write_text("broken: [")
    (tmp_path / "c.yaml").write_text("access: {allow: ['GET /jobs']}\n")
    arguments = ["--port", "0", "--sandbox-port", "0", "--auto-approve", "-c", "c.yaml"]
    with running("sandbox", *arguments, home=tmp_path) as sandbox:
        url = sandbox.wait_for_output(r"curl (http://localhost:\d+)/users/me")[1]

        assert requests.get(f"{url}/jobs", timeout=10).status_code == 200
        assert requests.get(f"{url}/users/me", timeout=10).status_code == 403
