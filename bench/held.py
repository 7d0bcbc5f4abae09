"""``python -m bench.held``: what a call costs that SmartRecruiters' limits hold back.

Each is on a caller's connection of its own, without sockets, in a process of its own; connections
are counted apart. Bytes are of the resident set, as the kernel counts it.
"""

import argparse
import asyncio
import gc
import os
import sys
import time
from pathlib import Path

from bench.own import Memory, connected, data_path, run_in
from bench.peers.ours import Ours
from bench.stage import WORK

PAGE = os.sysconf("SC_PAGE_SIZE")
WATCHED = 2.0  # seconds
HEAD = (
    b"GET /jobs?offset=%d HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n"
    b"User-Agent: python-requests/2.32.3\r\nAccept-Encoding: gzip, deflate\r\n"
    b"Accept: */*\r\nConnection: keep-alive\r\n\r\n"
)


def resident() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


async def hold(count: int) -> str:
    """Hold so many calls; bytes of a connection and of a call, µs to take one in, load at rest."""
    limits = {"mode": "pace", "max_wait": 3600}
    with data_path({"limits": limits, "listen": {"max_connections": 2 * count}}) as (front, _):
        (down, _other) = connected()
        empty = resident()
        callers = [front() for _ in range(count)]
        for caller in callers:
            caller.connection_made(Memory(down))
        opened = resident()
        started = time.process_time()
        for number, caller in enumerate(callers):
            caller.data_received(HEAD % number)
        took = time.process_time() - started
        held = resident()
        began = time.process_time()
        await asyncio.sleep(WATCHED)
        load = (time.process_time() - began) / WATCHED
    return (
        f"{count:,} | {(opened - empty) / count:,.0f} | {(held - opened) / count:,.0f} | "
        f"{took / count * 1e6:.0f} | {load:.1%}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.held", description=__doc__)
    parser.add_argument("--python", type=Path, default=Path(sys.executable))
    parser.add_argument("--calls", default="1000,5000,10000")
    options = parser.parse_args()
    WORK.mkdir(exist_ok=True)
    print(
        "| build | held | bytes a connection | bytes a call | µs to take in | of a core, at rest |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for build in ("compiled", "interpreted"):
        ours = Ours(options.python.absolute(), "", compiled=build == "compiled")
        ours.install(WORK)
        for count in options.calls.split(","):
            print(
                "|", build, "|", run_in(ours.python, ours.tree, f"held.hold({count})").strip(), "|"
            )


if __name__ == "__main__":
    main()
