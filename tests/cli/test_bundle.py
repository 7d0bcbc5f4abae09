"""A grant moves to another machine by export and import, and lives once."""

import json
import re
import subprocess
import sys

import pytest

from proxy.sandbox import SandboxSettings
from tests.cli.test_flow import Setup, state
from tests.support.processes import clean_environment, free_port, srproxy
from tests.support.sandboxes import running_sandbox

PHRASE = "correct horse battery"


@pytest.fixture
def machines(tmp_path):
    """Two machines with the same configuration, and a grant on the first."""
    port = free_port()
    settings = SandboxSettings(
        redirect_uris=(f"http://localhost:{port}/-/callback",), auto_approve=True, throttle=False
    )
    with running_sandbox(settings) as sandbox:
        both = []
        for name in ("one", "two"):
            home = tmp_path / name
            home.mkdir()
            (home / "phrase").write_text(f"{PHRASE}\n")
            both.append(Setup(home, sandbox, port))
        both[0].log_in()
        yield both


def test_a_grant_moves_and_is_retired_where_it_came_from(machines):
    one, two = machines
    token = one.run("token").stdout.strip()

    exported = one.run("export", "../bundle", "--passphrase-file", "phrase")
    assert exported.returncode == 0, exported.stderr
    bundle = one.home.parent / "bundle"
    assert bundle.stat().st_mode & 0o777 == 0o600
    assert token.encode() not in bundle.read_bytes()
    (aside,) = one.record.parent.glob("default.aside-*.json")
    assert str(aside) in exported.stderr
    assert state(one) == (3, "login_required")
    assert one.run("export", "x", "--passphrase-file", "phrase").returncode == 3

    imported = two.run("import", "../bundle", "--passphrase-file", "phrase")
    assert imported.returncode == 0, imported.stderr
    assert state(two) == (0, "authorized")
    assert len(two.sandbox.refreshes) == 1
    assert not any(p.reuse for p in two.sandbox.presentations)


def test_by_way_of_stdout_and_stdin(machines):
    one, two = machines
    exported = one.run("export", "--passphrase-file", "phrase")
    assert exported.returncode == 0

    imported = two.run("import", "--passphrase-file", "phrase", stdin=exported.stdout)

    assert imported.returncode == 0, imported.stderr
    assert state(two)[1] == "authorized"


def test_what_goes_wrong_leaves_the_grant_where_it_is(machines):
    one, two = machines
    before = one.record.read_bytes()
    (one.home / "there").write_text("mine")
    (one.home / "short").write_text("short")
    (two.home / "wrong").write_text("another passphrase")
    (two.home / "torn").write_text("torn")

    for arguments, code, said in (
        (["export", "there", "--passphrase-file", "phrase"], 1, "exists and is left alone"),
        (["export", "no/where", "--passphrase-file", "phrase"], 1, "cannot be written"),
        (["export", "x", "--passphrase-file", "short"], 2, "shorter than 12 characters"),
        (["export", "x", "--passphrase-file", "missing"], 2, "missing cannot be read"),
    ):
        done = one.run(*arguments)
        assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert one.record.read_bytes() == before
    assert (one.home / "there").read_text() == "mine"

    assert one.run("export", "../bundle", "--passphrase-file", "phrase").returncode == 0
    for arguments in (
        ["import", "../bundle", "--passphrase-file", "wrong"],
        ["import", "torn", "--passphrase-file", "phrase"],
        ["import", "missing", "--passphrase-file", "phrase"],
    ):
        done = two.run(*arguments)
        assert done.returncode == 1, done.stderr
        assert "Traceback" not in done.stderr
        assert not two.record.exists()
    assert two.run("import", "../bundle", "--passphrase-file", "phrase").returncode == 0


def test_a_grant_that_is_here_is_not_replaced(machines):
    one, two = machines
    assert one.run("export", "../bundle", "--passphrase-file", "phrase").returncode == 0
    two.log_in()

    done = two.run("import", "../bundle", "--passphrase-file", "phrase")

    assert done.returncode == 1
    assert "holds a grant already" in done.stderr
    assert json.loads(re.sub(r"^[^{]*", "", two.run("status", "--json").stdout))


def export_into(setup: Setup, reader: str) -> subprocess.CompletedProcess[str]:
    """Export into a pipe, as a shell does it; ends as the export ends."""
    line = f"{sys.executable} -m proxy export --passphrase-file phrase | {{ {reader}; }}"
    return subprocess.run(
        ["bash", "-c", f"{line}; exit ${{PIPESTATUS[0]}}"],
        cwd=setup.home, env=clean_environment(setup.home), capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("reader", ["false", "head -c 10 > part", "cat > /dev/full"])
def test_a_reader_that_fails_retires_nothing(machines, reader):
    one, _ = machines
    before = one.record.read_bytes()

    done = export_into(one, reader)

    assert (done.returncode, "still here" in done.stderr) == (1, True), done.stderr
    assert "Traceback" not in done.stderr
    assert one.record.read_bytes() == before
    assert list(one.record.parent.glob("default.aside-*.json")) == []


def test_a_slow_reader_is_waited_for(machines):
    one, two = machines
    assert export_into(one, "sleep 1; cat > ../bundle").returncode == 0

    assert two.run("import", "../bundle", "--passphrase-file", "phrase").returncode == 0


def test_what_keeps_nothing_takes_no_bundle(machines):
    one, _ = machines
    before = one.record.read_bytes()

    done = subprocess.run(
        [sys.executable, "-m", "proxy", "export", "--passphrase-file", "phrase"],
        cwd=one.home, env=clean_environment(one.home), stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert (done.returncode, "keeps nothing" in done.stderr) == (1, True)
    assert one.record.read_bytes() == before


@pytest.mark.parametrize("command", ["export", "import"])
def test_a_wrong_configuration_is_told_before_anything_is_asked(tmp_path, command):
    done = srproxy(command, home=tmp_path)

    assert done.returncode == 2
    assert "no configuration file is there" in done.stderr
    assert "assphrase" not in done.stderr


def test_what_is_done_to_a_grant_is_in_the_audit_file(machines):
    one, two = machines
    for machine in machines:
        machine.config["log"] = {"audit_file": str(machine.home / "audit.log")}
        machine.save()
    one.run("export", "../bundle", "--passphrase-file", "phrase")
    one.run("export", "../another", "--passphrase-file", "phrase")
    two.run("import", "../bundle", "--passphrase-file", "phrase")
    two.run("logout")

    told = [
        [
            (line["action"], line["outcome"], bool(line["who"]))
            for line in map(json.loads, (machine.home / "audit.log").read_text().splitlines())
        ]
        for machine in machines
    ]
    assert told == [
        [("export", "ok", True), ("export", "failed", True)],
        [("import", "ok", True), ("logout", "ok", True)],
    ]


def test_where_nobody_can_be_asked_the_option_for_the_passphrase_is_named(machines):
    one, _ = machines
    command = [sys.executable, "-m", "proxy", "export", "x"]
    # A session of its own: getpass would find the terminal that the tests run on.
    done = subprocess.run(
        command, cwd=one.home, env=clean_environment(one.home), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False, start_new_session=True,
    )  # fmt: skip

    assert done.returncode == 2
    assert "--passphrase-file FILE" in done.stderr
    assert not (one.home / "x").exists()
