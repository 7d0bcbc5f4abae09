import socket
from pathlib import Path

import pytest

from proxy.system.systemd import READY, STOPPING, notify


@pytest.fixture
def manager(tmp_path: Path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(5)
        yield receiver


def test_the_manager_hears_that_the_server_is_ready(manager, tmp_path):
    assert notify(str(tmp_path / "notify"), READY, "listening on http://localhost:8080")

    assert manager.recv(1024) == b"READY=1\nSTATUS=listening on http://localhost:8080"


def test_the_manager_hears_that_the_server_stops(manager, tmp_path):
    assert notify(str(tmp_path / "notify"), STOPPING)

    assert manager.recv(1024) == b"STOPPING=1"


def test_an_abstract_socket_is_reached():
    """A service manager may hand out a name in Linux's abstract namespace, written with an @."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind("")  # Linux picks a free abstract name
        name = receiver.getsockname()[1:].decode()
        receiver.settimeout(5)

        assert notify(f"@{name}", READY)
        assert receiver.recv(1024) == b"READY=1"


@pytest.mark.parametrize("notify_socket", [None, "", "vsock:2:1234", "/nowhere/notify"])
def test_without_a_manager_nothing_happens(notify_socket):
    assert not notify(notify_socket, READY)
