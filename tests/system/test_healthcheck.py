import contextlib
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import proxy.system.healthcheck
from tests.support.certificates import make_authority

SCRIPT = proxy.system.healthcheck.__file__


def run(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the probe as a container does: a file, isolated, without site-packages."""
    return subprocess.run(
        [sys.executable, "-I", "-S", SCRIPT, *arguments],
        env=environ,
        capture_output=True,
        text=True,
        timeout=30,
    )


@contextlib.contextmanager
def server(listener: socket.socket, answer: bytes, tls: ssl.SSLContext | None = None):
    """Answer one connection with `answer`; the list holds what it sent."""
    seen: list[bytes] = []

    def serve() -> None:
        connection, _ = listener.accept()
        if tls is not None:
            connection = tls.wrap_socket(connection, server_side=True)
        with connection:
            seen.append(connection.recv(4096))
            connection.sendall(answer)

    listener.listen()
    thread = threading.Thread(target=serve)
    thread.start()
    with listener:
        yield seen
        thread.join(10)


def tcp() -> tuple[socket.socket, dict[str, str]]:
    listener = socket.create_server(("127.0.0.1", 0))
    return listener, {"SRPROXY_LISTEN__PORT": str(listener.getsockname()[1])}


def test_a_live_server_is_healthy():
    listener, environ = tcp()
    with server(listener, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as seen:
        result = run(environ)

    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert seen[0].startswith(b"GET /-/live HTTP/1.1\r\nHost: localhost\r\n")


def test_another_status_is_unhealthy_and_said():
    listener, environ = tcp()
    with server(listener, b"HTTP/1.1 503 Service Unavailable\r\n\r\n") as seen:
        result = run(environ, "/-/ready")

    assert (result.returncode, result.stderr) == (1, "/-/ready: 503\n")
    assert seen[0].startswith(b"GET /-/ready ")


@pytest.mark.parametrize("host", ["0.0.0.0", "localhost", "127.0.0.1"])
def test_a_wildcard_is_asked_on_loopback(host):
    listener, environ = tcp()
    with server(listener, b"HTTP/1.1 200 OK\r\n\r\n"):
        assert run({**environ, "SRPROXY_LISTEN__HOST": host}).returncode == 0


def test_a_unix_socket_is_asked(tmp_path: Path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    with server(listener, b"HTTP/1.1 200 OK\r\n\r\n"):
        assert run({"SRPROXY_LISTEN__UNIX_SOCKET": str(tmp_path / "s")}).returncode == 0


@pytest.mark.parametrize("answer", [b"", b"garbage", b"HTTP/1.1\r\n\r\n"])
def test_anything_else_than_http_is_unhealthy(answer):
    listener, environ = tcp()
    with server(listener, answer):
        result = run(environ)

    assert result.returncode == 1
    assert result.stderr.startswith("/-/live: no answer")


def test_nobody_listening_is_unhealthy():
    listener, environ = tcp()
    listener.close()

    assert run(environ).returncode == 1


def test_a_place_that_only_the_config_file_names_is_hinted_at(tmp_path: Path):
    assert "set SRPROXY_LISTEN__PORT" in run({"SRPROXY_LISTEN__HOST": "127.0.0.99"}).stderr
    assert "config file" not in run({"SRPROXY_LISTEN__PORT": "1"}).stderr
    assert "config file" not in run({"SRPROXY_LISTEN__UNIX_SOCKET": str(tmp_path / "s")}).stderr


def test_a_port_that_is_no_number_is_unhealthy():
    assert run({"SRPROXY_LISTEN__PORT": "http"}).returncode == 1


def test_it_loads_next_to_nothing():
    """It runs every few seconds beside the proxy: no ssl, no email, no socket wrapper."""
    listener, environ = tcp()
    program = f"""
import runpy, sys
try:
    runpy.run_path({SCRIPT!r}, run_name="__main__")
except SystemExit:
    pass
print(*({{"ssl", "email", "socket", "asyncio", "proxy"}} & set(sys.modules)))
"""
    with server(listener, b"HTTP/1.1 200 OK\r\n\r\n"):
        result = subprocess.run(
            [sys.executable, "-I", "-S", "-c", program],
            env=environ,
            capture_output=True,
            text=True,
            timeout=30,
        )

    assert result.stdout.strip() == ""


def test_a_server_that_speaks_tls_is_asked_so(tmp_path: Path):
    listener, environ = tcp()
    context = make_authority(tmp_path).context()
    environ["SRPROXY_LISTEN__TLS__CERT_FILE"] = "/some/where.pem"
    with server(listener, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", context) as seen:
        result = run(environ)

    assert (result.returncode, result.stderr) == (0, "")
    assert seen[0].startswith(b"GET /-/live")


def test_the_listener_for_probes_is_asked_first_and_plainly():
    listener, _ = tcp()
    environ = {
        "SRPROXY_LISTEN__PROBES__HOST": "0.0.0.0",
        "SRPROXY_LISTEN__PROBES__PORT": str(listener.getsockname()[1]),
        "SRPROXY_LISTEN__TLS__CERT_FILE": "/some/where.pem",
    }
    with server(listener, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"):
        assert run(environ).returncode == 0
