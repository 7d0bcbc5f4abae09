"""The server as the unit in deploy/ runs it: what systemd does for it, done by hand."""

import ctypes
import os
import pwd
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.support.activation import activated
from tests.support.processes import PYTHONPATH, ROOT, free_port

PR_SET_MDWE = 65  # linux/prctl.h: what MemoryDenyWriteExecute= does on newer kernels
PATIENCE = 60


def deny_write_execute() -> None:
    """Refuse memory that is both written and executed, where the kernel can; kept across exec."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_MDWE, 1, 0, 0, 0)


def unit_environment(tmp_path: Path) -> dict[str, str]:
    """What the unit sets and nothing else: no home folder, state where systemd would make it."""
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    unit = (ROOT / "deploy/systemd/smartrecruiters-proxy.service").read_text()
    environ = dict(re.findall(r"^Environment=(\w+)=(.*)$", unit, re.MULTILINE))
    assert environ == {"XDG_STATE_HOME": "/var/lib/smartrecruiters-proxy"}
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": PYTHONPATH,
        "XDG_STATE_HOME": str(state),
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
    }


def configuration(tmp_path: Path, port: int) -> Path:
    """A configuration as the recipe has it: the secret in a file beside it."""
    secret = tmp_path / "client-secret"
    secret.write_text("a-secret-of-the-app\n")
    secret.chmod(0o400)
    file = tmp_path / "config.yaml"
    file.write_text(
        f"oauth: {{client_id: app, client_secret_file: {secret}}}\nlisten: {{port: {port}}}\n"
    )
    return file


@pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")
def test_the_manager_is_told_when_calls_are_served_and_when_no_longer(tmp_path: Path) -> None:
    port = free_port()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE)
        server = subprocess.Popen(
            [sys.executable, "-m", "proxy", "serve", "-c", configuration(tmp_path, port)],
            env=unit_environment(tmp_path),
            cwd="/",
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=deny_write_execute,
        )
        try:
            ready = manager.recv(4096).decode()
            # At this very moment, without a second try.
            with urllib.request.urlopen(
                f"http://localhost:{port}/-/live", timeout=PATIENCE
            ) as live:
                status = live.status
            server.send_signal(signal.SIGTERM)
            stopping = manager.recv(4096).decode()
            _, said = server.communicate(timeout=PATIENCE)
        finally:
            server.kill()

    assert ready.startswith("READY=1\nSTATUS=")
    assert str(port) in ready
    assert status == 200
    assert stopping.startswith("STOPPING=1")
    assert server.returncode == 0, said
    assert "a-secret-of-the-app" not in said
    assert os.listdir(tmp_path / "state")  # noqa: PTH208


@pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")
def test_a_unix_socket_that_systemd_holds_is_served(tmp_path: Path) -> None:
    """Its group and mode are the socket unit's; no port is opened then."""
    port = free_port()
    path = tmp_path / "socket"
    file = configuration(tmp_path, port)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        server = activated(tmp_path, file, [listener])
        try:
            server.wait_for_output("started ")
            with socket.socket(socket.AF_UNIX) as caller:
                caller.settimeout(PATIENCE)
                caller.connect(str(path))
                caller.sendall(b"GET /-/live HTTP/1.0\r\n\r\n")
                answer = caller.recv(4096)
            with pytest.raises(ConnectionRefusedError), socket.socket() as other:
                other.connect(("127.0.0.1", port))
        finally:
            server.stop()

    # The version is the server's own (RFC 9110 section 2.5).
    assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")
def test_commands_run_beside_the_unit_as_its_user(tmp_path: Path) -> None:
    """The helper for root, with the places of this test in place of the system's."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    helper = (ROOT / "deploy/systemd/srproxy").read_text()
    tried = tmp_path / "srproxy"
    for place, stand_in in {
        "-u smartrecruiters-proxy": f"-u {pwd.getpwuid(0).pw_name}",
        "/opt/smartrecruiters-proxy/.venv/bin/srproxy": f"{sys.executable} -m proxy",
        "SRPROXY_CONFIG=/etc/smartrecruiters-proxy/config.yaml": (
            f"SRPROXY_CONFIG={configuration(tmp_path, free_port())} PYTHONPATH={PYTHONPATH}"
        ),
        "/var/lib/smartrecruiters-proxy": str(tmp_path / "state"),
    }.items():
        assert place in helper
        helper = helper.replace(place, stand_in)
    tried.write_text(helper)
    done = subprocess.run(
        ["sh", str(tried), "status", "--json"], capture_output=True, text=True, timeout=PATIENCE
    )

    assert done.returncode == 3, done.stderr
    assert "login_required" in done.stdout
