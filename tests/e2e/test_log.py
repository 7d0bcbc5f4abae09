"""A log that cannot be written, and other readers and helpers that hang, never stop the proxy."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest
import requests

from tests.e2e.conftest import Person, Proxy, wait_until
from tests.support.processes import clean_environment, wait_until_answers

# More than a pipe and the queue hold: a line has some 400 bytes, and this much of a path.
LONG = "x" * 2000
ENOUGH = 1500


@contextmanager
def serving(proxy: Proxy, stderr: int | IO[bytes] | None) -> Iterator[subprocess.Popen[bytes]]:
    """Run the proxy again, its log going elsewhere; None: with stderr closed."""
    proxy.stop()
    close = "2>&-" if stderr is None else ""
    process = subprocess.Popen(
        ["sh", "-c", f'exec "$@" {close}', "sh", sys.executable, "-m", "proxy", "serve"],
        cwd=proxy.home,
        env=clean_environment(proxy.home),
        stderr=stderr,
    )
    try:
        wait_until_answers(f"{proxy.url}/-/live")
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        proxy.start()


def lost(proxy: Proxy) -> int:
    text = requests.get(f"{proxy.url}/-/metrics", timeout=10).text
    found = re.search(r"^srproxy_log_lines_lost_total (\S+)$", text, re.MULTILINE)
    assert found is not None
    return int(float(found[1]))


def told_lost(log: bytes) -> int:
    """Add up what the log itself says of lost lines."""
    *lines, _ = log.split(b"\n")
    messages = [json.loads(line)["message"] for line in lines]
    return sum(int(number) for number in re.findall(r"log_lines_lost lines=(\d+)", str(messages)))


def refused_calls(proxy: Proxy, number: int) -> float:
    """Make calls that are logged at length; return the longest that one took."""
    longest = 0.0
    with requests.Session() as session:
        session.trust_env = False
        for _ in range(number):
            began = time.monotonic()
            session.get(f"{proxy.url}/{LONG}", timeout=10)
            longest = max(longest, time.monotonic() - began)
    return longest


def end(process: subprocess.Popen[bytes]) -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(20)


def test_a_log_whose_reader_stops_stops_nobody(proxy: Proxy) -> None:
    reader, writer = os.pipe()
    with serving(proxy, writer) as process:
        os.close(writer)
        assert refused_calls(proxy, ENOUGH) < 2
        assert requests.get(f"{proxy.url}/-/live", timeout=2).status_code == 200
        missing = lost(proxy)
        assert missing > 0

        text = b""
        while told_lost(text) < missing:  # the reader goes on
            text += os.read(reader, 65536)
        assert told_lost(text) == missing
        assert end(process) == 0
    os.close(reader)


def test_a_stopped_reader_does_not_keep_the_proxy_from_ending(proxy: Proxy) -> None:
    reader, writer = os.pipe()
    with serving(proxy, writer) as process:
        os.close(writer)
        refused_calls(proxy, ENOUGH)

        began = time.monotonic()
        assert end(process) == 0
        assert time.monotonic() - began < 10
    os.close(reader)


def test_a_log_whose_reader_is_gone_stops_nobody(proxy: Proxy) -> None:
    reader, writer = os.pipe()
    with serving(proxy, writer) as process:
        os.close(writer)
        os.close(reader)
        refused_calls(proxy, 5)
        wait_until(lambda: lost(proxy) >= 5)
        assert end(process) == 0


def test_a_full_disk_stops_nobody(proxy: Proxy) -> None:
    with Path("/dev/full").open("wb") as full, serving(proxy, full) as process:
        refused_calls(proxy, 5)
        wait_until(lambda: lost(proxy) >= 5)
        assert end(process) == 0


def test_without_stderr_it_serves(proxy: Proxy) -> None:
    with serving(proxy, None) as process:
        refused_calls(proxy, 5)
        assert lost(proxy) == 0
        assert end(process) == 0


def has_members(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def overrides(request: pytest.FixtureRequest, tmp_path: Any) -> dict[str, Any]:
    if "notify" not in request.node.name:
        return {}
    return {"notify": {"command": ["sh", "-c", f"echo $$ >{tmp_path}/pid; sleep 60 & wait"]}}


def test_a_notify_command_that_hangs_holds_up_no_call_and_not_the_end(
    proxy: Proxy, tmp_path: Any
) -> None:
    wait_until((tmp_path / "pid").exists)
    assert refused_calls(proxy, 20) < 2

    began = time.monotonic()
    proxy.process.signal(signal.SIGTERM)
    assert proxy.process.wait() == 0
    assert time.monotonic() - began < 10
    wait_until(lambda: not has_members(int((tmp_path / "pid").read_text())))


def test_readers_of_events_that_stop_hold_up_no_call(proxy: Proxy, person: Person) -> None:
    person.log_in()
    port = int(proxy.url.rpartition(":")[2])
    readers = []
    for _ in range(20):
        reader = socket.create_connection(("127.0.0.1", port))
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.sendall(b"GET /-/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        readers.append(reader)
    for reader in readers:
        assert reader.recv(15) == b"HTTP/1.1 200 OK"

    assert refused_calls(proxy, ENOUGH) < 2
    for reader in readers:
        reader.close()
