"""The sockets: both families on one port, and no other program's socket is taken."""

import os
import socket
import stat
from pathlib import Path

import pytest

from proxy.errors import StartError
from proxy.system.listeners import open_listeners


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")


@needs_ipv6
def test_port_zero_gives_one_number_on_both_families() -> None:
    listeners = open_listeners("localhost", 0)
    try:
        ports = {listener.getsockname()[1] for listener in listeners.tcp}

        assert len(listeners.tcp) == 2
        assert ports == {listeners.port}
    finally:
        listeners.close()


@needs_ipv6
@pytest.mark.parametrize(
    ("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
)
def test_port_taken_on_either_family_is_said(family: int, address: str) -> None:
    with socket.socket(family) as thief:
        thief.bind((address, 0))
        thief.listen()
        port = thief.getsockname()[1]

        with pytest.raises(StartError, match="taken by another program"):
            open_listeners("localhost", port)


def test_absent_ipv6_serves_ipv4_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.socket

    def without_ipv6(family: int = socket.AF_INET, *args: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(97, "Address family not supported by protocol")
        return real(family, *args)

    monkeypatch.setattr("proxy.system.listeners.socket.socket", without_ipv6)
    listeners = open_listeners("localhost", 0)
    try:
        assert [item.getsockname()[0] for item in listeners.tcp] == ["127.0.0.1"]
        assert "::1 is not available here" in listeners.notes[0]
    finally:
        listeners.close()


def test_unknown_host_is_said() -> None:
    with pytest.raises(StartError, match="not an address of this machine"):
        open_listeners("no-such-host.invalid", 0)


@pytest.mark.parametrize("mode", [0o600, 0o660])
def test_unix_socket_has_its_mode_whatever_the_umask(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "proxy.sock"
    previous = os.umask(0)
    try:
        listeners = open_listeners(None, 0, path, mode)
    finally:
        os.umask(previous)
    try:
        assert stat.S_IMODE(path.stat().st_mode) == mode
    finally:
        listeners.close()
    assert not path.exists()


def test_live_unix_socket_is_not_stolen(tmp_path: Path) -> None:
    path = tmp_path / "proxy.sock"
    listeners = open_listeners(None, 0, path)
    try:
        with pytest.raises(StartError, match="another instance"):
            open_listeners(None, 0, path)
        assert path.exists()
    finally:
        listeners.close()


def test_socket_of_another_program_is_not_stolen(tmp_path: Path) -> None:
    path = tmp_path / "proxy.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()

        with pytest.raises(StartError, match="another program"):
            open_listeners(None, 0, path)


def test_stale_unix_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "proxy.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))

    listeners = open_listeners(None, 0, path)
    try:
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(path))
    finally:
        listeners.close()


def test_file_at_the_socket_path_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "proxy.sock"
    path.write_text("precious")

    with pytest.raises(StartError, match="not a socket"):
        open_listeners(None, 0, path)
    assert path.read_text() == "precious"
