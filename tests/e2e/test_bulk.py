"""Large bodies through a real process, whose memory must not follow their size.

64 MB each way in every test run; `--bulk` for 2 GB: `pytest tests/e2e/test_bulk.py --bulk -s`.
The slow side has a small receive buffer and pauses; what it reads in between sets the pace.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.conftest import Person, Proxy
from tests.e2e.soak.measures import sample

PIECE = b"\xa5" * 1_000_000
SMALL_BUFFER = 65536
# The slow side rests so often within a body, each time long enough for all on the way to be full.
PAUSES = 20
PAUSE = 0.1
# What may lie within the process on the way.
ROOM = 12.0  # MiB


@pytest.fixture
def size(pytestconfig: pytest.Config) -> int:
    return 2_000_000_000 if pytestconfig.getoption("--bulk") else 64_000_000


def read_slowly(end: socket.socket, size: int, got: int) -> None:
    """Read a body to its end, `got` bytes of which are here already."""
    buffer = bytearray(SMALL_BUFFER)
    stretch = size // PAUSES
    while got < size:
        count = end.recv_into(buffer)
        assert count, f"it ended after {got} bytes"
        assert buffer[:count] == PIECE[:count], "other bytes than were sent"
        if got // stretch != (got + count) // stretch:
            time.sleep(PAUSE)  # nothing is awaited: this is how slow it is
        got += count
    assert got == size, "more bytes than were sent"


def send_all(end: socket.socket, size: int) -> None:
    for _ in range(size // len(PIECE)):
        end.sendall(PIECE)


def read_head(end: socket.socket) -> tuple[bytes, int]:
    """Read to the blank line; return the head, and how much of the body came with it."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = end.recv(4096)
        if not piece:
            return b"", 0
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, len(rest)


@contextmanager
def upstream(serve: Callable[[socket.socket, int], None]) -> Iterator[str]:
    """Serve one request a connection, each by a call with how much of its body is here already."""

    def accept() -> None:
        while True:
            try:
                end, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(end,), daemon=True).start()

    def answer(end: socket.socket) -> None:
        with end:
            # The connection that the proxy opens at start may never be used.
            head, got = read_head(end)
            if b" /bulk " in head:
                serve(end, got)
            elif head:  # whose grant it is
                end.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    with socket.socket() as listener:
        # What is accepted inherits it: the kernel must not hold a large part of the body.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@contextmanager
def caller(proxy: Proxy) -> Iterator[socket.socket]:
    with socket.socket() as end:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        end.settimeout(60)
        end.connect(("127.0.0.1", int(proxy.url.rpartition(":")[2])))
        yield end


@contextmanager
def constant_memory(
    proxy: Proxy, size: int, what: str, capsys: pytest.CaptureFixture[str]
) -> Iterator[None]:
    """Watch the process's resident memory meanwhile, and hold it to what it was."""
    pid = proxy.process.pid
    before = most = sample(pid, 0).memory
    done = threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.02):
            most = max(most, sample(pid, 0).memory)

    watcher = threading.Thread(target=watch)
    begun_at = time.monotonic()
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
    took = time.monotonic() - begun_at
    with capsys.disabled():
        print(
            f"\n  {size / 1e6:,.0f} MB {what} in {took:.1f} s: "
            f"{before:.1f} MiB resident before, {most:.1f} at most"
        )
    assert most < before + ROOM


def serve_from(proxy: Proxy, person: Person, url: str) -> None:
    """Forward to another upstream, authorized for it by the sandbox."""
    proxy.config["upstream"]["url"] = url
    proxy.restart()
    person.log_in()
    # What is loaded late, is loaded now: it is no part of what a body costs.
    proxy.account()


def test_a_download_to_a_caller_that_reads_slowly(
    proxy: Proxy, person: Person, size: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def serve(end: socket.socket, _: int) -> None:
        end.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        send_all(end, size)

    with upstream(serve) as url:
        serve_from(proxy, person, url)
        with caller(proxy) as end, constant_memory(proxy, size, "down", capsys):
            end.sendall(b"GET /bulk HTTP/1.1\r\nHost: localhost\r\n\r\n")
            head, got = read_head(end)
            assert head.startswith(b"HTTP/1.1 200 ")
            read_slowly(end, size, got)


def test_an_upload_to_an_upstream_that_reads_slowly(
    proxy: Proxy, person: Person, size: int, capsys: pytest.CaptureFixture[str]
) -> None:
    arrived = threading.Event()

    def serve(end: socket.socket, got: int) -> None:
        read_slowly(end, size, got)
        arrived.set()
        end.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")

    with upstream(serve) as url:
        serve_from(proxy, person, url)
        with caller(proxy) as end, constant_memory(proxy, size, "up", capsys):
            end.sendall(
                b"POST /bulk HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % size
            )
            send_all(end, size)
            head, _ = read_head(end)

    assert head.startswith(b"HTTP/1.1 201 ")
    assert arrived.is_set()
