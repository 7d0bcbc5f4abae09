"""Real `python -m proxy …` processes for tests: a clean environment, free ports, ends by pid.

Waiting is reading what the process says, or asking its probes; never a sleep of a guessed length.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import proxy

ROOT = Path(__file__).parent.parent.parent
# A child runs the proxy that the tests import: the clone's, or that of an installed wheel.
PYTHONPATH = f"{Path(proxy.__file__).parents[1]}{os.pathsep}{ROOT}"
PATIENCE = 20.0
# What a child needs of our own environment, and nothing that configures it.
KEPT = ("PATH", "LANG", "LC_ALL", "COVERAGE_PROCESS_START", "PYTHONHASHSEED", "TMPDIR")


def free_port() -> int:
    """Find a port that is free in both loopback families."""
    for _ in range(50):
        with socket.socket(socket.AF_INET) as first:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                with socket.socket(socket.AF_INET6) as second:
                    second.bind(("::1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")


def clean_environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Build an environment in which nothing of the machine's own is found by accident."""
    environ = {name: os.environ[name] for name in KEPT if name in os.environ}
    environ |= {
        "HOME": str(home),
        "PYTHONPATH": PYTHONPATH,
        "PYTHONUNBUFFERED": "1",
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_STATE_HOME": str(home / ".local/state"),
    }
    return environ | dict(extra or {})


class Process:
    """A running command; its output is collected as it comes."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._popen = popen
        self._changed = threading.Condition()
        self._chunks: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        self._readers = [
            threading.Thread(target=self._read, args=(name,), daemon=True) for name in self._chunks
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, name: str) -> None:
        stream = getattr(self._popen, name)
        while data := stream.read1(65536):
            with self._changed:
                self._chunks[name] += data
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        return self._popen.poll()

    @property
    def stdout(self) -> str:
        return self._chunks["stdout"].decode(errors="replace")

    @property
    def stderr(self) -> str:
        return self._chunks["stderr"].decode(errors="replace")

    def write(self, text: str) -> None:
        """Type into the command's standard input."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(text.encode())
        self._popen.stdin.flush()

    def close_stdin(self) -> None:
        assert self._popen.stdin is not None
        self._popen.stdin.close()

    def wait_for_output(self, pattern: str, timeout: float = PATIENCE) -> re.Match[str]:
        """Wait until either stream shows `pattern`."""
        until = time.monotonic() + timeout
        with self._changed:
            while True:
                for text in (self.stdout, self.stderr):
                    if match := re.search(pattern, text):
                        return match
                left = until - time.monotonic()
                ended = self._popen.poll() is not None and not any(
                    reader.is_alive() for reader in self._readers
                )
                if left <= 0 or ended:
                    raise AssertionError(
                        f"no {pattern!r} in what {self._popen.args!r} said (exit "
                        f"{self._popen.poll()}):\n{self.stdout}\n{self.stderr}"
                    )
                self._changed.wait(min(left, 0.2))

    def signal(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    def wait(self, timeout: float = PATIENCE) -> int:
        """Wait for its end and return its exit code, with all output read."""
        code = self._popen.wait(timeout)
        for reader in self._readers:
            reader.join(timeout)
        for stream in (self._popen.stdin, self._popen.stdout, self._popen.stderr):
            if stream is not None:
                stream.close()
        return code

    def stop(self, timeout: float = PATIENCE) -> int:
        """End it as an operator would, by SIGTERM, and by SIGKILL if it does not."""
        if self._popen.poll() is None:
            self._popen.terminate()
        try:
            return self.wait(timeout)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            return self.wait(timeout)


def start(
    *arguments: str,
    home: Path,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: bool = False,
) -> Process:
    """Start `srproxy` with these arguments; the caller stops it."""
    return Process(
        subprocess.Popen(
            [sys.executable, "-m", "proxy", *arguments],
            cwd=cwd or home,
            env=clean_environment(home, environ),
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    )


@contextmanager
def running(
    *arguments: str,
    home: Path,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: bool = False,
) -> Iterator[Process]:
    """Run `srproxy` for a while; it is stopped at the end, whatever happens."""
    process = start(*arguments, home=home, environ=environ, cwd=cwd, stdin=stdin)
    try:
        yield process
    finally:
        process.stop()


def srproxy(
    *arguments: str,
    home: Path,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str = "",
    timeout: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "proxy", *arguments],
        cwd=cwd or home,
        env=clean_environment(home, environ),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def wait_until_answers(url: str, status: Sequence[int] = (200,), timeout: float = PATIENCE) -> int:
    """Ask until one of the statuses comes; for servers whose output is not at hand."""
    until = time.monotonic() + timeout
    last: object = None
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                last = answer.status
        except urllib.error.HTTPError as error:
            last = error.code
        except OSError as error:
            last = error
        if last in status:
            assert isinstance(last, int)
            return last
        time.sleep(0.05)
    raise AssertionError(f"{url} did not answer {status} within {timeout} s: {last}")
