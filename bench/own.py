"""``python -m bench.own``: our own code for a request, without sockets, compiled and interpreted.

The callers' and the upstream's protocol on transports in memory. Instructions are counted by
valgrind's callgrind, which no load on the machine changes; microseconds are the least of fifteen.
"""

import argparse
import asyncio
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.peers.ours import ROOT, Ours
from bench.stage import WORK

KINDS = {"unlike": "no head twice", "same": "same head", "post": "POST of 1 KiB"}
REQUESTS = 200
HEAD = b"Host: 127.0.0.1:8080\r\n"
ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Fri, 27 Nov 2026 10:00:00 GMT\r\n"
    b"Content-Type: application/json\r\nContent-Length: 1024\r\nConnection: keep-alive\r\n"
)


class Memory(asyncio.Transport):
    """A transport that keeps the last thing written."""

    def __init__(self, connection: socket.socket) -> None:
        ends = {"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 8080)}
        super().__init__({"socket": connection, **ends})
        self.written = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written = bytes(data)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is buffered."""

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False


def exchange(kind: str, number: int) -> tuple[bytes, bytes]:
    """One request and its answer."""
    unlike = b"" if kind == "same" else b"?number=%d" % number
    head = b"%b /1k%b HTTP/1.1\r\n%b" % (b"POST" if kind == "post" else b"GET", unlike, HEAD)
    body = b"Content-Length: 1024\r\n\r\n" + b"%01024d" % number if kind == "post" else b"\r\n"
    request_id = b"X-Request-Id: %032x\r\n" % number if unlike else b""
    return head + body, ANSWER + request_id + b"\r\n" + b"x" * 1024


def connected() -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection within this process; the second has to be kept open."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        return ours, server.accept()[0]


class Clock:
    now, monotonic = staticmethod(time.time), staticmethod(time.monotonic)


class Silent:
    """An upstream that takes no further connection."""

    async def dial(self, _make_protocol: Any) -> Any:
        await asyncio.Event().wait()


class Credential:
    lines, generation = b"Authorization: Bearer bench\r\n", 1

    def current(self) -> Any:
        return self


@contextmanager
def data_path(settings: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    """The callers' side, to be called for a connection each, and a connection to an upstream."""
    from proxy.config import Config
    from proxy.gateway.forward import Forwarder
    from proxy.gateway.front import Front
    from proxy.gateway.guards import Guards, InForce
    from proxy.gateway.limits import Limits
    from proxy.gateway.upstream import Upstream, UpstreamConnection
    from proxy.system.origin import CallerOrigins
    from proxy.telemetry.logs import Output
    from proxy.telemetry.metrics import Metrics
    from proxy.telemetry.traffic import Traffic

    clock: Any = Clock()
    login = {"client_id": "bench", "client_secret": "bench" * 4}
    config = Config.build({"oauth": login, **settings})
    with Path(os.devnull).open("w") as nowhere:
        dialer: Any = Silent()
        upstream = Upstream(config.upstream, dialer, clock)
        credentials: Any = {"default": Credential()}
        gate = Limits(config.limits, clock, asyncio.get_running_loop().call_later)
        forwarder = Forwarder(config.upstream, upstream, credentials, clock, gate=gate)
        traffic = Traffic(Metrics("bench"), Output(nowhere, as_json=True))
        origins, control = CallerOrigins(config.oauth.redirect_uri), Any
        front = Front(
            config.listen,
            InForce(Guards(config)),
            forwarder,
            traffic,
            clock,
            origins,
            control=control,
        )
        connection = UpstreamConnection(upstream, clock, 60.0)
        up, _other = connected()
        connection.connection_made(Memory(up))
        upstream.released(connection)
        try:
            yield front, connection
        finally:
            gate.close()


async def run(kind: str, rounds: int) -> float:
    """Send REQUESTS requests in each round; the least time of a round for each, in µs."""
    with data_path({"limits": {"mode": "pass"}}) as (front, connection):
        down, _other = connected()
        caller, answers = front(), Memory(down)
        caller.connection_made(answers)
        exchanges = [exchange(kind, number) for number in range(REQUESTS)]
        times = []
        for _ in range(rounds):
            started = time.process_time()
            for request, answer in exchanges:
                caller.data_received(request)
                connection.data_received(answer)
            times.append((time.process_time() - started) / REQUESTS * 1e6)
            assert answers.written.startswith(b"HTTP/1.1 200 ")
            await asyncio.sleep(0)
    return min(times)


def run_in(python: Path, tree: Path, call: str, *wrapper: str) -> str:
    """Run a coroutine of this folder in a process of its own, on one tree's code; what it says."""
    code = f"import sys; sys.path[:0] = [{str(tree)!r}, {str(ROOT)!r}]; import asyncio; "
    code += f"from bench import {call.partition('.')[0]}; print(asyncio.run({call}))"
    done = subprocess.run(
        [*wrapper, python, "-P", "-c", code], capture_output=True, text=True, timeout=600,
        env={**os.environ, "PYTHONHASHSEED": "0"}, check=True,
    )  # fmt: skip
    return done.stdout + done.stderr


def instructions(python: Path, tree: Path, kind: str) -> int:
    """Instructions for each request: of six rounds, less those of one."""
    counted = []
    for rounds in (1, 6):
        count = ("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null")
        said = run_in(python, tree, f"own.run({kind!r}, {rounds})", *count)
        told = re.search(r"Collected : (\d+)", said)
        assert told is not None
        counted.append(int(told[1]))
    return (counted[1] - counted[0]) // (5 * REQUESTS)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.own", description=__doc__)
    parser.add_argument("--python", type=Path, default=Path(sys.executable))
    python = parser.parse_args().python.absolute()
    WORK.mkdir(exist_ok=True)
    print("| our own code | build | instructions | µs |\n| --- | --- | ---: | ---: |")
    for build in ("compiled", "interpreted"):
        ours = Ours(python, "", compiled=build == "compiled")
        ours.install(WORK)
        for kind, name in KINDS.items():
            count = instructions(ours.python, ours.tree, kind)
            least = float(run_in(ours.python, ours.tree, f"own.run({kind!r}, 15)"))
            print(f"| {name} | {build} | {count:,} | {least:.1f} |", flush=True)


if __name__ == "__main__":
    main()
