"""The server as the unit in deploy/ runs it: what systemd does for it, done by hand."""

import ctypes
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.support.processes import ROOT, clean_environment, free_port

PR_SET_MDWE = 65  # linux/prctl.h: what MemoryDenyWriteExecute= does on newer kernels
PATIENCE = 60


def deny_write_execute() -> None:
    """Refuse memory that is both written and executed, where the kernel can; kept across exec."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_MDWE, 1, 0, 0, 0)


def unit_environment(tmp_path: Path, port: int) -> dict[str, str]:
    """What the unit sets, with the folders that systemd would make."""
    credentials, state = tmp_path / "credentials", tmp_path / "state"
    credentials.mkdir(mode=0o500)
    state.mkdir(mode=0o700)
    secret = credentials / "client-secret"
    secret.write_text("a-secret-of-the-app\n")
    secret.chmod(0o400)
    unit = (ROOT / "deploy/systemd/smartrecruiters-proxy.service").read_text()
    environ = dict(re.findall(r"^Environment=(\w+)=(.*)$", unit, re.MULTILINE))
    environ = {name: value.replace("%d", str(credentials)) for name, value in environ.items()}
    assert environ["XDG_STATE_HOME"] == "/var/lib/smartrecruiters-proxy"
    return clean_environment(tmp_path) | environ | {
        "CREDENTIALS_DIRECTORY": str(credentials),
        "XDG_STATE_HOME": str(state),
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
        "SRPROXY_OAUTH__CLIENT_ID": "app",
        "SRPROXY_LISTEN__PORT": str(port),
    }  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")
def test_the_manager_is_told_when_calls_are_served_and_when_no_longer(tmp_path: Path) -> None:
    port = free_port()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE)
        server = subprocess.Popen(
            [sys.executable, "-m", "proxy", "serve"],
            env=unit_environment(tmp_path, port),
            cwd=tmp_path,
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
