"""Every shell line of README.md and docs/ is run, or a table says where, or why it cannot be.

In an empty home, beside a sandbox that `srproxy sandbox` serves; its port stands in for 8080.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from proxy.cli import cli
from tests.support.processes import (
    ROOT,
    clean_environment,
    free_port,
    running,
    wait_until_answers,
)

PATIENCE = 60
DOCUMENTS = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]

# By the beginning of a line: which test runs it.
RUN_ELSEWHERE = {
    "python3 -m venv .venv-test && ": ".ci/run",
    ".venv/bin/srproxy init": "tests/cli/test_init.py",
    "sudo ": "tests/deploy/verify_systemd.sh",
    "docker build ": "tests/deploy/verify_image.sh",
    "curl --unix-socket ": "tests/deploy/verify_systemd.sh",
}
# By the beginning of a command: what it needs that is not here.
NOT_HERE = {
    "sudo systemctl ": "systemd as the first process",
    "ssh ": "another machine",
    "docker run ": "a Docker daemon",
    "docker exec ": "a Docker daemon",
    "kubectl ": "a cluster",
}
# Parts of a line: the rest of it is run.
# From a package index.
INSTALLING = re.compile(r"python3 -m venv \.venv|(SRPROXY_PURE=1 )?\.venv/bin/pip install .*")
# These run until they are stopped.
SERVING = re.compile(r"srproxy (serve|sandbox --auto-approve|replay)\b")


@dataclass(frozen=True)
class Line:
    """One command line as it stands in a document, with its continuations."""

    document: str
    text: str

    @property
    def command(self) -> str:
        return re.sub(r"\s+#.*$", "", self.text, flags=re.MULTILINE)

    def begins(self, table: dict[str, str]) -> str | None:
        return next((value for key, value in table.items() if self.command.startswith(key)), None)


def lines() -> Iterator[Line]:
    for path in DOCUMENTS:
        for block in re.findall(r"^```sh\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL):
            for text in block.replace("\\\n", "").splitlines():
                if text.strip() and not text.startswith("#"):
                    yield Line(path.name, text)


LINES = list(lines())
OFFLINE = [line for line in LINES if not line.begins(RUN_ELSEWHERE) and not line.begins(NOT_HERE)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    """A clone with an installed program, a home with a first configuration, and a sandbox."""
    home = tmp_path_factory.mktemp("home")
    clone = home / "clone"
    (clone / ".venv/bin").mkdir(parents=True)
    shutil.copy(ROOT / "config.example.yaml", clone)
    program = clone / ".venv/bin/srproxy"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m proxy "$@"\n')
    program.chmod(0o755)
    tool = clone / "your-sync"
    tool.write_text('#!/bin/sh\nexec curl -fsS "$SMARTRECRUITERS_BASE_URL/users/me"\n')
    tool.chmod(0o755)
    port, upstream, other = free_port(), free_port(), free_port()
    settings = home / ".config/smartrecruiters-proxy/config.yaml"
    settings.parent.mkdir(parents=True)
    settings.write_text(
        f"""
oauth:
  grant_type: client_credentials
  client_id: sandbox-client
  client_secret: sandbox-secret
  token_endpoint: http://localhost:{upstream}/identity/oauth/token
upstream: {{url: 'http://localhost:{upstream}'}}
listen: {{port: {other}}}
"""
    )
    settings.chmod(0o600)
    # --sandbox means the newest one in the folder for temporary files: of these tests, then.
    temporary = home / "tmp"
    temporary.mkdir()
    path = f"{program.parent}:{os.environ['PATH']}"
    environ = clean_environment(home, {"PATH": path, "TMPDIR": str(temporary)})
    ports = ("--port", str(port), "--sandbox-port", str(upstream))
    with running("sandbox", "--auto-approve", *ports, home=home, environ=environ) as sandbox:
        sandbox.wait_for_output("Ctrl-C stops it")
        wait_until_answers(f"http://localhost:{port}/-/ready")  # the login is done
        yield clone, environ | {"SANDBOX_PORT": str(port)}


@pytest.mark.parametrize("line", OFFLINE, ids=lambda line: f"{line.document}: {line.command}")
def test_a_line_of_the_documents_runs(line: Line, place: tuple[Path, dict[str, str]]) -> None:
    clone, environ = place
    for command in line.command.split(" && "):
        if INSTALLING.fullmatch(command):
            continue
        command = command.replace("localhost:8080", f"localhost:{environ['SANDBOX_PORT']}")
        if SERVING.search(command):
            serve(command, clone, environ)
        else:
            said(command, clone, environ)


def said(command: str, clone: Path, environ: dict[str, str]) -> str:
    """Run a command to its end, as a person would type it; return what it printed."""
    done = subprocess.run(
        ["bash", "-euc", command.replace("curl ", "curl -fsS ")],
        cwd=clone, env=environ, capture_output=True, text=True, timeout=PATIENCE,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def serve(command: str, clone: Path, environ: dict[str, str]) -> None:
    """Start a server, wait until it serves, stop it as Ctrl-C does."""
    if "sandbox" in command:
        command += f" --port {free_port()} --sandbox-port {free_port()}"
    with subprocess.Popen(
        ["bash", "-euc", f"exec {command}"],
        cwd=clone, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as server:  # fmt: skip
        assert server.stdout is not None
        try:
            begun = any(re.search("Ctrl-C stops it|started ", line) for line in server.stdout)
        finally:
            server.send_signal(signal.SIGINT)
        rest = server.stdout.read()
        assert server.wait(PATIENCE) == 0, rest
        assert begun


def test_the_deployment_page_says_which_lines_were_not_run() -> None:
    for line in LINES:
        if line.document == "deployment.md":
            untried = line.begins(NOT_HERE) is not None
            assert ("# untried" in line.text) is untried, line.text


@pytest.mark.parametrize("script", sorted(set(RUN_ELSEWHERE.values())))
def test_what_is_run_elsewhere_is_run_by_a_script_that_exists(script: str) -> None:
    assert (ROOT / script).exists()


def named_commands() -> Iterator[tuple[str, str]]:
    """Give each `srproxy …` in the running text of a document, and in its lines."""
    for path in DOCUMENTS:
        for span in re.findall(r"`((?:\.venv/bin/)?srproxy [^`\n]+)`", path.read_text()):
            yield path.name, span
    for line in LINES:
        # After `docker exec` the first is the container's name.
        for command in re.findall(
            r"(?<!-it )(?<![\w/-])(?:\.venv/bin/)?srproxy [a-z][^&|]*", line.command
        ):
            yield line.document, command


@pytest.mark.parametrize(("document", "text"), sorted(set(named_commands())))
def test_a_command_that_a_document_names_exists(document: str, text: str) -> None:
    words = text.split(" -- ")[0].split()[1:]
    name = next((word for word in words if re.fullmatch("[a-z]+", word)), None)
    if name is None:
        return
    context = click.Context(cli)
    command = cli.get_command(context, name)
    assert command is not None, f"{document}: {text}"
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    for option in re.findall(r"(?<!\S)--[a-z-]+", " ".join(words)):
        assert option in known, f"{document}: {text}"
