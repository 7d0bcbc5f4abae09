"""How long work takes under SmartRecruiters' limits, and what callers see of them.

python3 -m bench.limits [--calls 50,500] [--operations 1,20] [--output FILE]

The embedded sandbox with its real limits, reached through our proxy as it comes, through nginx,
and straight. All calls are made at once; a caller that is refused does not come again. "Least" is
what the limits allow: ten of an operation at once, then ten a second.
"""

import argparse
import asyncio
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from pathlib import Path

from proxy.smartrecruiters.operations import operations

PATIENCE = 30
ANSWER = re.compile(rb"HTTP/1\.1 (\d{3}) .*?\r\n\r\n", re.DOTALL)
NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log /dev/null;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://127.0.0.1:{upstream};
      proxy_set_header Authorization "Bearer {token}";
    }}
  }}
}}
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def wait_for(port: int) -> None:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
        else:
            return


@contextmanager
def program(*command: str, **environ: str) -> Iterator[None]:
    """Run a program for a while."""
    running = subprocess.Popen(
        command,
        env={**os.environ, **environ},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        running.terminate()
        running.wait(PATIENCE)


def log_in(port: int, folder: Path) -> str:
    """Log in once, as a browser would, and return an access token of the sandbox."""
    environ = {**os.environ, "TMPDIR": str(folder)}  # where a sandbox leaves its configuration
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    opener.open(f"http://localhost:{port}/-/login", timeout=PATIENCE).read()
    done = subprocess.run(
        [sys.executable, "-m", "proxy", "token", "--sandbox"],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def paths(count: int) -> list[str]:
    """Choose operations to call; what they answer does not matter, each is counted."""
    chosen = [
        re.sub(r"\{[^/]*\}", "x", operation.path)
        for operation in operations()
        if operation.method == "GET" and operation.path != "/candidates"
    ]
    return chosen[:count]


async def call(port: int, path: str, token: str) -> int:
    """Make one call on a connection of its own; return the status, 0 where none came."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return 0
    try:
        head = f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n"
        credential = f"Authorization: Bearer {token}\r\n" if token else ""
        writer.write(f"{head}{credential}\r\n".encode())
        answer = ANSWER.match(await reader.read())
        return int(answer[1]) if answer else 0
    except OSError:
        return 0
    finally:
        writer.close()


async def load(port: int, calls: int, names: list[str], token: str) -> tuple[float, Counter[int]]:
    """Make all calls at once; return the seconds it took, and how many had which status."""
    began = time.monotonic()
    statuses = await asyncio.gather(
        *(call(port, names[number % len(names)], token) for number in range(calls))
    )
    return time.monotonic() - began, Counter(statuses)


def rows(calls: list[int], counts: list[int]) -> Iterator[str]:
    """Measure, and yield the rows of the table."""
    yield "| calls | operations | way | took | least | refused (429) | failed |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    ours, upstream, front = free_port(), free_port(), free_port()
    folder = Path(tempfile.mkdtemp())
    sandbox = [
        *(sys.executable, "-m", "proxy", "sandbox", "--auto-approve", "--port", str(ours)),
        *("--sandbox-port", str(upstream)),
    ]
    environ = {"SRPROXY_LISTEN__MAX_CONNECTIONS": "10000", "TMPDIR": str(folder)}
    with program(*sandbox, **environ):
        wait_for(ours)
        token = log_in(ours, folder)
        (folder / "nginx.conf").write_text(
            NGINX.format(folder=folder, port=front, upstream=upstream, token=token)
        )
        nginx = shutil.which("nginx")
        ways = [("srproxy", ours, ""), ("straight", upstream, token)]
        with program(nginx or "true", "-c", str(folder / "nginx.conf"), "-e", "/dev/null"):
            if nginx is not None:
                wait_for(front)
                ways.insert(1, ("nginx", front, ""))
            for count in counts:
                names = paths(count)
                for number in calls:
                    least = max(0, ceil(number / count / 10) - 1)
                    for way, port, credential in ways:
                        time.sleep(2)  # what was sent before no longer counts
                        took, statuses = asyncio.run(load(port, number, names, credential))
                        failed = sum(n for status, n in statuses.items() if not 100 < status < 500)
                        yield (
                            f"| {number} | {count} | {way} | {took:.2f} s | {least} s "
                            f"| {statuses[429]} | {failed} |"
                        )
    shutil.rmtree(folder)


def main() -> None:
    """Print the table as it grows."""
    parser = argparse.ArgumentParser(prog="python3 -m bench.limits")
    parser.add_argument("--calls", default="50,500")
    parser.add_argument("--operations", default="1,20")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    table = []
    for row in rows(
        [int(number) for number in options.calls.split(",")],
        [int(number) for number in options.operations.split(",")],
    ):
        table.append(row)
        print(row, flush=True)
    if options.output is not None:
        options.output.write_text("\n".join(table) + "\n")


if __name__ == "__main__":
    main()
