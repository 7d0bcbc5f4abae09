"""Processes under test: started on a core, watched through /proc, ended by their id.

Never leaves one behind: `Processes` is a context manager that ends whatever is still running.
"""

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


class StartFailed(Exception):
    """A process that was to answer ended, or did not answer in time."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes held by a process and its children."""

    rss: int
    pss: int


@dataclass(slots=True)
class Process:
    """One started program, with the children it made."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path
    started_at: float
    files: list[IO[bytes]] = field(default_factory=list)

    def pids(self) -> list[int]:
        """The process and its descendants."""
        found = [self.popen.pid]
        for pid in found:
            for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
                with contextlib.suppress(OSError):
                    found.extend(int(child) for child in tasks.read_text().split())
        return found

    def cpu_seconds(self) -> float:
        """Processor time used so far, user and system."""
        ticks = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks += int(stat[11]) + int(stat[12])
        return ticks / TICKS

    def memory(self) -> Memory:
        """What is resident now (the sum over the process tree).

        PSS is 0 where it may not be read: our proxy hides its memory from other users' eyes, so
        that takes root.
        """
        rss = pss = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                rss += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
                for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    name, _, value = line.partition(":")
                    if name == "Pss":
                        pss += int(value.split()[0]) * 1024
        return Memory(rss, pss)

    def stop(self) -> None:
        """SIGTERM, five seconds, SIGKILL; children that outlive their parent are ended too."""
        pids = self.pids()
        if self.popen.poll() is None:
            self.popen.terminate()
            try:
                self.popen.wait(5)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait(5)
            for pid in pids[1:]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for file in self.files:
            file.close()


class Processes:
    """Starts processes and ends all of them at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: list[Process] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for process in reversed(self.running):
            process.stop()

    def start(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        core: int,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Process:
        """Start a program on one core; what it prints goes to a file, as a service's log does."""
        log = self.folder / f"{name}.log"
        output = log.open("wb")
        started_at = time.perf_counter()
        popen = subprocess.Popen(
            ["taskset", "-c", str(core), *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **(env or {})},
            cwd=cwd,
        )
        process = Process(name, popen, log, started_at, [output])
        self.running.append(process)
        return process

    def stop(self, process: Process) -> None:
        process.stop()
        self.running.remove(process)


def unverified() -> ssl.SSLContext:
    """A context that takes any certificate: what is measured is on this machine."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _connected(port: int, context: ssl.SSLContext | None) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), 5)
    return sock if context is None else context.wrap_socket(sock, server_hostname="localhost")


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def first_answer(
    process: Process, port: int, path: str, *, https: bool = False, timeout: float = 30
) -> float:
    """Seconds from the start of the process to its first 200, asking every two milliseconds."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n".encode()
    deadline = time.perf_counter() + timeout
    status = b"no answer"
    context = unverified() if https else None
    while time.perf_counter() < deadline:
        if process.popen.poll() is not None:
            break
        with contextlib.suppress(OSError), _connected(port, context) as sock:
            sock.sendall(request)
            head = b""
            while b"\r\n" not in head:
                data = sock.recv(4096)
                if not data:
                    break
                head += data
            status = head.partition(b"\r\n")[0] or status
            if head.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200")):
                return time.perf_counter() - process.started_at
        time.sleep(0.002)
    last = process.log.read_bytes()[-1000:].decode("utf-8", "replace")
    raise StartFailed(f"{process.name} did not answer ({status.decode('latin-1')}): {last}")
