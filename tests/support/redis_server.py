"""A real redis-server for tests, ended by its pid; tests skip, with the reason, where it is not."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.support.certificates import Authority
from tests.support.processes import free_port


class RedisServer:
    """One server on loopback; stopped and started again as a test needs it."""

    def __init__(
        self,
        folder: Path,
        *,
        appendonly: bool = True,
        options: Sequence[str] = (),
        tls: Authority | None = None,
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.appendonly = appendonly
        self.options = options
        self.tls = tls
        self._popen: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        scheme, host = ("rediss", "localhost") if self.tls else ("redis", "127.0.0.1")
        return f"{scheme}://{host}:{self.port}/0"

    @property
    def pid(self) -> int:
        assert self._popen is not None
        return self._popen.pid

    def start(self) -> None:
        program = shutil.which("redis-server")
        if program is None:
            pytest.skip("redis-server is not installed")
        arguments = [
            program, "--port", "0" if self.tls else str(self.port), "--bind", "127.0.0.1",
            "--save", "", "--appendonly", "yes" if self.appendonly else "no",
            "--appendfsync", "always", "--dir", str(self.folder), "--daemonize", "no",
            "--logfile", "", *self._tls_options(), *self.options,
        ]  # fmt: skip
        self._popen = _started(arguments, "Ready to accept connections")

    def _tls_options(self) -> list[str]:
        if self.tls is None:
            return []
        pair = str(self.tls.pair("localhost"))
        return [
            "--tls-port", str(self.port), "--tls-cert-file", pair, "--tls-key-file", pair,
            "--tls-ca-cert-file", str(self.tls.path),
        ]  # fmt: skip

    def stop(self) -> None:
        _end(self._popen)
        self._popen = None

    def hang(self) -> None:
        """Take connections, and answer nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def client(self) -> redis.Redis:
        """Return a client for a test's own look at what is stored."""
        return redis.Redis(port=self.port)


def _started(arguments: Sequence[str], ready: str) -> subprocess.Popen[str]:
    popen = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    assert popen.stdout is not None
    said = []
    for line in popen.stdout:
        said.append(line)
        if ready in line:
            return popen
    popen.wait()
    popen.stdout.close()
    raise AssertionError(f"redis-server did not start: {''.join(said[-3:])}")


def _end(popen: subprocess.Popen[str] | None) -> None:
    if popen is not None:
        popen.kill()
        popen.wait()
        assert popen.stdout is not None
        popen.stdout.close()


@contextmanager
def redis_server(
    folder: Path,
    *,
    appendonly: bool = True,
    options: Sequence[str] = (),
    tls: Authority | None = None,
) -> Iterator[RedisServer]:
    server = RedisServer(folder, appendonly=appendonly, options=options, tls=tls)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@dataclass
class Watched:
    """A primary, its replica, and the Sentinel that watches both."""

    primary: RedisServer
    replica: RedisServer
    port: int

    @property
    def url(self) -> str:
        return f"redis+sentinel://127.0.0.1:1,127.0.0.1:{self.port}/mymaster/0"

    def fail_over(self) -> None:
        """Have the Sentinel make the replica the primary, and wait until all know."""
        sentinel = redis.Redis(port=self.port)

        def is_begun() -> bool:
            # Until it has heard of the replica's state the Sentinel declines.
            with suppress(redis.exceptions.ResponseError):
                sentinel.execute_command("SENTINEL", "FAILOVER", "mymaster")
                return True
            return False

        _wait_until(is_begun)
        self.wait_for_primary(self.replica)
        _wait_until(lambda: self.primary.client().info("replication")["role"] == "slave")

    def wait_for_primary(self, server: RedisServer) -> None:
        sentinel: Any = redis.Redis(port=self.port)
        _wait_until(
            lambda: (
                sentinel.sentinel_master("mymaster")["port"] == server.port
                and server.client().info("replication")["role"] == "master"
            )
        )


def replicate(replica: RedisServer, primary: RedisServer) -> None:
    """Make a replica, and wait until it has everything."""
    replica.client().replicaof("127.0.0.1", str(primary.port))
    _wait_until(lambda: replica.client().info("replication").get("master_link_status") == "up")


def _wait_until(is_so, seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, "it did not come to that in time"
        time.sleep(0.05)


@contextmanager
def sentinel(folder: Path) -> Iterator[Watched]:
    """Run a primary with a replica under a Sentinel of quorum one."""
    with ExitStack() as stack:
        for name in ("primary", "replica"):
            (folder / name).mkdir()
        primary = stack.enter_context(redis_server(folder / "primary"))
        replica = stack.enter_context(redis_server(folder / "replica"))
        replicate(replica, primary)
        port = free_port()
        file = folder / "sentinel.conf"
        file.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
            f"sentinel monitor mymaster 127.0.0.1 {primary.port} 1\n"
            "sentinel down-after-milliseconds mymaster 500\n"
            "sentinel failover-timeout mymaster 2000\n"
        )
        program = shutil.which("redis-server")
        assert program is not None
        popen = _started([program, str(file), "--sentinel"], "+monitor")
        stack.callback(_end, popen)
        client = redis.Redis(port=port)
        _wait_until(lambda: len(client.sentinel_slaves("mymaster")) == 1)
        yield Watched(primary, replica, port)
