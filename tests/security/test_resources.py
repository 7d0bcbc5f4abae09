"""Table I of the attacks: what it may cost to be talked to slowly, a lot, or without end."""

import asyncio
import json
import os
import re
import resource
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.security.attacks import HOST, attack, canary_credentials, refused, talk
from tests.support.processes import Process, free_port, running, wait_until_answers
from tests.support.proxying import GET, proxying
from tests.support.recorder import OK, RecordedConnection, Recorder

HALF = b"GET /x HTTP/1.1\r\n" + HOST + b"X: "
MEBIBYTE = 1024 * 1024


async def ended(reader: asyncio.StreamReader, within: float) -> tuple[float, bytes]:
    """Wait for the end of a connection; return after how long it came, and what came before."""
    start = time.monotonic()
    async with asyncio.timeout(within):
        data = b""
        try:
            while piece := await reader.read(65536):
                data += piece
        except ConnectionError:
            pass
    return time.monotonic() - start, data


async def test_500_half_open_connections_do_not_stop_a_working_caller():
    """I01: slow heads are cut by their time-out, and meanwhile others are served."""
    async with (
        Recorder() as upstream,
        proxying(upstream, listen={"header_timeout": 3}) as proxy,
    ):
        slow = [await asyncio.open_connection("127.0.0.1", proxy.port) for _ in range(500)]
        for _, writer in slow:
            writer.write(HALF)
        worst = 0.0
        for _ in range(20):
            start = time.monotonic()
            head, _ = await proxy.ask(GET)
            worst = max(worst, time.monotonic() - start)
            assert head.startswith(b"HTTP/1.1 200")
        took = [await ended(reader, 10) for reader, _ in slow]
        for _, writer in slow:
            writer.transport.abort()
        head, _ = await proxy.ask(GET)

    assert worst < 3  # less than the time-out: it waited for none of them
    assert head.startswith(b"HTTP/1.1 200")
    assert all(data.startswith(b"HTTP/1.1 408") for _, data in took)


async def test_a_head_that_trickles_is_cut_by_the_same_time_out():
    """A byte now and then does not prolong it."""
    async with Recorder() as upstream, proxying(upstream, listen={"header_timeout": 1}) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)

        async def trickle() -> None:
            writer.write(HALF)
            while not writer.is_closing():
                writer.write(b"x")
                await asyncio.sleep(0.05)

        task = asyncio.ensure_future(trickle())
        seconds, data = await ended(reader, 6)
        task.cancel()
        writer.transport.abort()

    assert 0.8 < seconds < 4
    assert data.startswith(b"HTTP/1.1 408")


async def test_a_body_that_stalls_is_cut_and_its_upstream_request_with_it():
    """I02: stock aiohttp waits for ever."""
    gone = asyncio.Event()

    async def script(connection: RecordedConnection) -> None:
        await connection.head()
        while await connection.read():
            pass
        gone.set()

    async with (
        Recorder(script=script) as upstream,
        proxying(upstream, listen={"stall_timeout": 1}) as proxy,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: 100\r\n\r\nonly this")
        seconds, _ = await ended(reader, 8)
        async with asyncio.timeout(5):
            await gone.wait()
        writer.transport.abort()

    assert 0.8 < seconds < 5
    assert not any(len(request.body) == 100 for request in upstream.requests)


async def test_an_answer_that_is_not_read_is_cut_and_its_upstream_request_with_it():
    """I03, I07: and what waits in the meantime is bounded."""
    sent = 0
    gone = asyncio.Event()

    async def script(connection: RecordedConnection) -> None:
        nonlocal sent
        await connection.request()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
        try:
            while True:
                connection.send(b"x" * 65536)
                await connection.writer.drain()
                sent += 65536
        except ConnectionError:
            gone.set()

    async with (
        Recorder(script=script) as upstream,
        proxying(upstream, listen={"stall_timeout": 1}) as proxy,
    ):
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(("127.0.0.1", proxy.port))
        raw.sendall(GET)
        async with asyncio.timeout(15):
            await gone.wait()
        raw.close()

    # Kernel buffers of two loopback connections, and a few writes of ours.
    assert sent < 32 * MEBIBYTE


async def test_more_callers_at_work_than_the_limit_are_told_so_and_those_served_go_on():
    """I04."""
    release = asyncio.Event()

    async def script(connection: RecordedConnection) -> None:
        while await connection.request() is not None:
            await release.wait()
            connection.send(OK)

    async with (
        Recorder(script=script) as upstream,
        proxying(upstream, listen={"max_connections": 5}) as proxy,
    ):
        async with AsyncExitStack() as stack:
            served = [await stack.enter_async_context(proxy.caller()) for _ in range(5)]
            for caller in served:
                await caller.send(GET)
            async with asyncio.timeout(5):
                while proxy.front.in_flight < 5:
                    await asyncio.sleep(0.01)
            answer = await talk(proxy.port, GET)
            release.set()
            answers = [await caller.answer() for caller in served]
        async with asyncio.timeout(5):
            while proxy.front.connections:
                await asyncio.sleep(0.01)
        after, _ = await proxy.ask(GET)

    assert answer.startswith(b"HTTP/1.1 503")
    assert b'"connection_limit_reached"' in answer
    assert all(head.startswith(b"HTTP/1.1 200") for head, _ in answers)
    assert after.startswith(b"HTTP/1.1 200")


async def test_pipelined_requests_without_end_are_answered_in_turn():
    """I05, CVE-2026-54273: what is ahead waits in the socket, not in our memory."""
    count = 2000
    async with (
        Recorder() as upstream,
        proxying(upstream, credentials=canary_credentials()) as proxy,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(GET * count)
        got = 0
        async with asyncio.timeout(60):
            while got < count:
                got += (await reader.read(65536)).count(b"HTTP/1.1 200")
        writer.transport.abort()

    assert got == count == len(upstream.requests)


@pytest.mark.parametrize(
    ("payload", "statuses"),
    [
        (b"GET /" + b"x" * 2**20 + b" HTTP/1.1\r\n" + HOST + b"\r\n", (414,)),
        (b"GET /x HTTP/1.1\r\n" + HOST + b"X: " + b"y" * 2**20 + b"\r\n\r\n", (431,)),
        (b"GET /x HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 10**5 + b"\r\n", (431,)),
        (b"G" * 2**20, (400, 414, 431)),
    ],
    ids=["target", "value", "count", "method"],
)
async def test_a_head_without_end_is_refused_at_the_limit(payload, statuses):
    """I06."""
    refused(await attack(payload, canary=False), *statuses)


# ── a process of its own: descriptors and memory ──


@dataclass
class Served:
    process: Process
    port: int

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))  # noqa: PTH208 - a count

    def resident(self) -> int:
        """Return the resident memory in bytes."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        match = re.search(r"VmRSS:\s+(\d+) kB", text)
        assert match
        return int(match[1]) * 1024

    def answers(self) -> bool:
        with urllib.request.urlopen(f"{self.url}/users/me", timeout=20) as answer:
            return bool(answer.status == 200)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    port = free_port()
    with running(
        "sandbox", "--port", str(port), "--sandbox-port", str(free_port()), "--auto-approve",
        # Requests that wait their turn at the vendor's limits are another matter.
        home=tmp_path, environ={"SRPROXY_LIMITS__MODE": "pass"},
    ) as process:  # fmt: skip
        wait_until_answers(f"http://localhost:{port}/-/ready")
        yield Served(process, port)


def test_used_up_descriptors_are_survived_and_hardly_logged(served):
    """I04: with 200 descriptors aiohttp logged 1079 lines, and served nobody until they left."""
    for route in ("/-/", "/-/metrics"):
        wait_until_answers(served.url + route)  # all that is loaded late has been opened
    limit = served.descriptors() + 20
    resource.prlimit(served.process.pid, resource.RLIMIT_NOFILE, (limit, limit))
    lines_before = len(served.process.stderr.splitlines())
    start = time.monotonic()
    with ExitStack() as stack:
        for _ in range(120):
            raw = stack.enter_context(socket.socket())
            raw.settimeout(5)
            raw.connect(("127.0.0.1", served.port))
        time.sleep(3)  # the complaint is repeated for as long as it lasts: that is looked at
    # The first calls may still meet it: that the others are gone has to be noticed first.
    wait_until_answers(f"{served.url}/-/live")
    assert served.answers()
    seconds = time.monotonic() - start
    lines = [
        json.loads(line)
        for line in served.process.stderr.splitlines()[lines_before:]
        if '"message": "request"' not in line
    ]
    # Each family's listener may complain once a second.
    assert len(lines) <= 2 * (seconds + 1), lines
    assert served.process.returncode is None


def test_bombs_cost_no_memory(served):
    """I06-I08: heads, chunks and bodies without end."""
    assert served.answers()
    before = served.resident()
    address = ("127.0.0.1", served.port)
    for _ in range(20):
        with socket.create_connection(address) as raw:
            try:
                for _ in range(64):
                    raw.sendall(b"GET /x HTTP/1.1\r\nX: " + b"y" * 65536)
            except OSError:
                pass
    with socket.create_connection(address) as raw:
        raw.sendall(b"POST /nowhere HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n")
        raw.settimeout(5)
        try:
            for _ in range(2000):
                raw.sendall(b"1\r\nx\r\n" * 100 + b"1;a=b\r\nx\r\n" * 100)
        except OSError:
            pass
    assert served.answers()
    grown = served.resident() - before

    assert grown < 16 * MEBIBYTE, grown


@pytest.mark.skipif(shutil.which("slowhttptest") is None, reason="slowhttptest is not installed")
@pytest.mark.parametrize(
    "mode",
    [
        ["-H", "-i", "1"],
        ["-B", "-i", "1", "-s", "8192"],
        ["-X", "-r", "100", "-w", "16", "-y", "64", "-n", "2", "-z", "16", "-k", "3"],
    ],
    ids=["slow heads", "slow bodies", "slow reading"],
)
def test_slowhttptest_does_not_stop_the_service(served, mode, tmp_path):
    report = tmp_path / "report"
    result = subprocess.run(
        ["slowhttptest", *mode, "-c", "300", "-r", "150", "-l", "8", "-p", "3", "-x", "24",
         "-u", f"{served.url}/users/me", "-g", "-o", str(report)],
        capture_output=True, text=True, check=False, timeout=90,
    )  # fmt: skip
    rows = report.with_suffix(".csv").read_text().splitlines()[1:]

    # The last column is 0 in a second in which its own probe got no answer.
    assert len(rows) > 1, result.stdout[-800:]
    assert all(row.rpartition(",")[2] != "0" for row in rows), rows
    assert served.answers()
