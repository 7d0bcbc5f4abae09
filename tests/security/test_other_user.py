"""Another user of this machine, with a user id of its own: what reaches us, and what does not.

The child begins as root, loads what it needs, and becomes nobody for good. Everything lies in
folders that all may enter, so that it is our own modes that are tried, not a test runner's.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.sandbox import SandboxSettings
from tests.cli.test_flow import Setup
from tests.support.processes import Process, free_port
from tests.support.sandboxes import running_sandbox

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="needs root, who alone can become another user"
)

NOBODY = 65534
KEY = "api-key-0123456789abcdef"
CHILD = f"""
import encodings.idna, errno, json, os, socket, sys, urllib.error, urllib.request

os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
assert os.getresuid() == ({NOBODY},) * 3

def unix(path):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)

def get(url, *header):
    request = urllib.request.Request(url, headers=dict([header] if header else []))
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code

def read(path):
    with open(path, "rb") as file:
        return file.read(4096).decode("latin-1")

ACTS = dict(unix=unix, get=get, read=read, list=os.listdir, kill=lambda pid: os.kill(pid, 0),
            write=lambda path: os.close(os.open(path, os.O_WRONLY | os.O_CREAT)))
said = []
for name, *arguments in json.load(sys.stdin):
    try:
        said.append(ACTS[name](*arguments))
    except OSError as error:
        said.append(errno.errorcode[error.errno])
json.dump(said, sys.stdout)
"""


def as_nobody(*acts: list[Any]) -> list[Any]:
    """Do things as nobody; each gives its result, or the name of its error."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        input=json.dumps(acts),
        capture_output=True,
        text=True,
        timeout=60,
        cwd="/",
        env={},
        check=True,
    )
    said = json.loads(done.stdout)
    assert isinstance(said, list)
    return said


@pytest.fixture
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="srproxy-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def setup(home: Path) -> Iterator[Setup]:
    """A proxy's home with a grant in it."""
    port = free_port()
    settings = SandboxSettings(
        redirect_uris=(f"http://localhost:{port}/-/callback",), auto_approve=True, throttle=False
    )
    with running_sandbox(settings) as sandbox:
        made = Setup(home, sandbox, port)
        made.log_in()
        yield made


def listening(process: Process) -> Process:
    process.wait_for_output("listening")
    return process


def test_files_and_process_are_closed_to_another_user(setup: Setup) -> None:
    with setup.serving() as server:
        pid = listening(server).pid
        record = setup.record
        ours = record.parent
        for folder in ours.parents:
            if folder.is_relative_to(setup.home):
                folder.chmod(0o755)

        closed = as_nobody(
            ["read", str(record)],
            ["list", str(ours)],
            ["write", str(ours / "default.next")],
            ["read", f"/proc/{pid}/environ"],
            ["read", f"/proc/{pid}/mem"],
            ["read", f"/proc/{pid}/maps"],
            ["read", f"/proc/{pid}/fd/2"],
            ["list", f"/proc/{pid}/fd"],
        )
        beside, killed, command_line = as_nobody(
            ["list", str(ours.parent)], ["kill", pid], ["read", f"/proc/{pid}/cmdline"]
        )

    assert set(closed) == {"EACCES"}
    assert beside == [ours.name]  # up to our own folder the way is open
    assert killed == "EPERM"
    assert setup.sandbox.settings.client_secret not in command_line


def test_the_unix_socket_is_closed_to_another_user(setup: Setup) -> None:
    path = setup.home / "socket"
    setup.config["listen"] = {"host": None, "unix_socket": str(path)}
    setup.save()
    with setup.serving() as server:
        listening(server)
        (closed,) = as_nobody(["unix", str(path)])
        path.chmod(0o666)  # it is the mode that closed it, not the way there
        (opened,) = as_nobody(["unix", str(path)])

    assert (closed, opened) == ("EACCES", None)


def test_a_port_is_open_to_another_user_unless_there_are_keys(setup: Setup) -> None:
    url = f"{setup.url}/users/me"
    with setup.serving() as server:
        listening(server)
        without_keys = as_nobody(["get", url])
    setup.config["access"] = {"api_keys": [{"name": "app", "key": KEY}]}
    setup.save()
    with setup.serving() as server:
        listening(server)
        with_keys = as_nobody(
            ["get", url],
            ["get", f"{setup.url}/-/"],
            ["get", url, "X-API-Key", "wrong"],
            ["get", url, "X-API-Key", KEY],
        )

    # As docs/security.md says: on a port, keys are the answer.
    assert without_keys == [200]
    assert with_keys == [401, 401, 401, 200]
