"""Load on a running proxy: wrk for rates and latencies, curl for large transfers and one call.

Every run is bounded in time; a run with a failed request is an error, not a number.
"""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.processes import Process
from bench.upstream import LARGE

SCRIPT = Path(__file__).with_name("load.lua")


class LoadFailed(Exception):
    """Requests failed under load, so that the numbers would mean nothing."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What wrk saw, with the processor time that the proxy spent on a request (microseconds)."""

    per_second: float
    p50: float
    p99: float
    cpu: float


def rate(
    process: Process,
    base: str,
    path: str,
    *,
    connections: int,
    seconds: float,
    core: int,
    post: int = 0,
    unlike: bool = False,
) -> Rate:
    """Requests as fast as `connections` callers get their answers, for some seconds.

    `base` is the proxy's URL. With `unlike` no two of them have the same target, or body.
    """
    before = process.cpu_seconds()
    done = subprocess.run(
        [
            *("taskset", "-c", str(core), "wrk", "-t1", f"-c{connections}"),
            *(f"-d{max(1, round(seconds))}s", "--timeout", "10s", "-s", str(SCRIPT)),
            *(f"{base}{path}", "--", "POST" if post else "GET", str(post)),
            *(("unlike",) if unlike else ()),
        ],
        capture_output=True,
        text=True,
        timeout=seconds + 60,
        check=False,
    )
    spent = process.cpu_seconds() - before
    line = next((line for line in done.stdout.splitlines() if line.startswith("RESULT ")), None)
    if line is None:
        raise LoadFailed(f"wrk: {done.stdout[-300:]}{done.stderr[-300:]}")
    result: dict[str, float] = json.loads(line.removeprefix("RESULT "))
    if not result["requests"] or result["bad_status"] or result["broken"]:
        raise LoadFailed(f"{path} at {connections} connections: {line}")
    return Rate(
        per_second=result["requests"] * 1e6 / result["microseconds"],
        p50=result["p50"],
        p99=result["p99"],
        cpu=spent * 1e6 / result["requests"],
    )


def download(base: str, *, core: int) -> float:
    """MB/s of one 100 MiB answer."""
    seconds = _curl(core, "-o", "/dev/null", f"{base}/large", size="size_download")
    return LARGE / 1e6 / seconds


def upload(base: str, file: Path, *, core: int) -> float:
    """MB/s of one 100 MiB request body, by length and without asking first (no Expect)."""
    arguments = ("-o", "/dev/null", "-H", "Expect:", "-T", str(file))
    target = f"{base}/sink/large"
    return LARGE / 1e6 / _curl(core, *arguments, target, size="size_upload")


def one_call(url: str, *options: str, core: int) -> float:
    """Seconds of a single curl, from its own first step to the end of the answer."""
    return _curl(core, "-o", "/dev/null", *options, url, size="")


def _curl(core: int, *arguments: str, size: str) -> float:
    written = (
        f"%{{http_code}} %{{time_total}} %{{{size}}}" if size else "%{http_code} %{time_total} 0"
    )
    done = subprocess.run(
        [
            "taskset",
            "-c",
            str(core),
            "curl",
            "-sSk",
            "--max-time",
            "120",
            "-w",
            written,
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    status, seconds, moved = (done.stdout.split() + ["0"] * 3)[:3]
    if done.returncode or not status.startswith("2") or (size and int(moved) != LARGE):
        raise LoadFailed(f"curl: status {status}, {moved} bytes: {done.stderr.strip()}")
    return float(seconds)
