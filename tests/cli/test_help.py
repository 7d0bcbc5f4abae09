"""Help, version and completion, from outside."""

import platform
import subprocess
import sys
from dataclasses import dataclass

import pytest

from proxy import __version__
from proxy.cli import COMMANDS, main
from proxy.system.build import build_kind


@dataclass
class Done:
    """A command that ran to its end."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def srproxy(tmp_path, monkeypatch, capsys):
    """Run a command in this process: nothing here needs one of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    # It sets the whole process, which the other tests share.
    monkeypatch.setattr("proxy.system.process.harden", lambda: None)

    def run(*arguments, **environ):
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        try:
            code = main(list(arguments))
        except SystemExit as ended:  # as click ends a completion
            code = int(ended.code or 0)
        told = capsys.readouterr()
        return Done(code, told.out, told.err)

    return run


def test_help_lists_the_commands_in_working_order(srproxy):
    done = srproxy("--help")

    assert done.returncode == 0
    lines = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")]
    assert [line for line in lines if line in COMMANDS] == list(COMMANDS)
    assert "SRPROXY_OAUTH__CLIENT_ID" in done.stdout
    assert "130 interrupted" in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_its_help_with_two_examples_and_takes_a_file(command, srproxy):
    done = srproxy(command, "--help")

    assert done.returncode == 0
    assert "-c, --config FILE" in done.stdout
    examples = done.stdout.partition("Examples:")[2].strip().splitlines()[:2]
    assert len(examples) == 2
    assert all("srproxy" in example for example in examples), examples
    assert done.stderr == ""


def test_version(srproxy):
    done = srproxy("--version")

    assert (done.returncode, done.stdout) == (0, f"srproxy, version {__version__}\n")


@pytest.mark.parametrize("arguments", [["--version", "-v"], ["-v", "--version"]])
def test_version_tells_how_it_was_built(arguments, srproxy):
    done = srproxy(*arguments)

    version, build = done.stdout.splitlines()
    assert done.returncode == 0
    assert version == f"srproxy, version {__version__}"
    assert build == f"build: {build_kind()}, cpython {platform.python_version()}"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_as_click_gives_it(shell, srproxy):
    done = srproxy(_SRPROXY_COMPLETE=f"{shell}_source")

    assert "_SRPROXY_COMPLETE" in done.stdout


def test_completion_of_a_command_s_name(srproxy):
    environ = {
        "_SRPROXY_COMPLETE": "bash_complete",
        "COMP_WORDS": "srproxy sta",
        "COMP_CWORD": "1",
    }

    assert srproxy(**environ).stdout == "plain,status\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["serve", "--nonsense"],
        ["serve", "extra"],
        ["status", "--account", "other"],
        ["token", "--account", "other"],
        ["wait", "--timeout", "soon"],
        ["run"],
        ["serve", "-c", "missing.yaml"],
        ["serve"],
        ["sandbox", "--port", "70000"],
    ],
)
def test_wrong_usage_and_configuration_end_with_2_on_stderr(arguments, srproxy):
    done = srproxy(*arguments)

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr
    assert "Traceback" not in done.stderr


def test_every_fault_of_the_configuration_is_told_and_no_secret(tmp_path, srproxy):
    (tmp_path / "config.yaml").write_text(
        "listen: {port: x}\noauth: {client_secret: [canary]}\nlog: {levl: info}\n"
    )

    done = srproxy("serve")

    assert done.returncode == 2
    assert [line.split(": ")[:2] for line in done.stderr.splitlines()] == [
        ["config.yaml:1:16", "listen.port"],
        ["config.yaml:2:1", "oauth.client_id"],
        ["config.yaml:2:24", "oauth.client_secret"],
        ["config.yaml:3:7", "log.levl"],
    ]
    assert "canary" not in done.stderr


def test_a_mistyped_command_is_told_which_one_may_be_meant(srproxy):
    done = srproxy("stauts")

    assert done.returncode == 2
    assert "Did you mean 'status'?" in done.stderr
    assert "Did you mean" not in srproxy("zzzzzz").stderr


def test_without_a_configuration_it_says_where_it_looked_and_what_to_do(srproxy, tmp_path):
    for command in ("serve", "export", "open"):
        done = srproxy(command)

        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert f"{tmp_path}/smartrecruiters-proxy/config.yaml, ./config.yaml" in line
        assert "srproxy init" in line
        assert "srproxy sandbox" in line
        assert "assphrase" not in done.stderr


def test_with_a_part_of_it_in_the_environment_what_is_missing_is_told_too(srproxy):
    first, second = srproxy("serve", SRPROXY_OAUTH__CLIENT_ID="app").stderr.splitlines()

    assert "no configuration file is there" in first
    assert second.startswith("SRPROXY_OAUTH__CLIENT_SECRET: oauth.client_secret: is missing")


def test_what_is_wrong_in_an_environment_that_is_enough_is_all_that_is_told(srproxy):
    done = srproxy("serve", SRPROXY_SMART_TOKEN="t", SRPROXY_LIMITS__MODE="none")

    (line,) = done.stderr.splitlines()
    assert line.startswith("SRPROXY_LIMITS__MODE: limits.mode: ")


def test_open_needs_a_running_server(srproxy):
    done = srproxy("open", SRPROXY_SMART_TOKEN="t", SRPROXY_LISTEN__PORT="1")

    assert done.returncode == 1
    assert "srproxy serve" in done.stderr


def test_commands_that_ask_the_server_import_neither_an_event_loop_nor_a_client_library():
    """asyncio alone would take 50 ms, each time."""
    modules = "grant, login, open, run, wait"
    heavy = "{'asyncio', 'ssl', 'logging', 'aiohttp', 'filelock', 'platformdirs'}"
    script = f"import sys; from proxy.cli import {modules}; print({heavy} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert done.stdout == "set()\n", done.stderr
