"""How cost grows: with connections, with requests, with the size of bodies.

python3 -m bench.scale [--python PATH] [--seconds S] [--output FILE]

Ours, nginx and Go's ReverseProxy over a TLS upstream. At each number of connections: requests a
second with no head twice, and processor time a request. Then one answer of each size: resident
memory before and after, which must not grow with the body.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import load
from bench.machine import Cores, describe
from bench.peers import Peer
from bench.peers.debian import Nginx
from bench.peers.go import GoReverseProxy
from bench.peers.ours import Ours
from bench.processes import first_answer, free_port
from bench.stage import WORK, Places, stage
from bench.upstream import Origin

CONNECTIONS = (1, 10, 100, 500)
DOWNLOADS = 3


def measure(
    peer: Peer, places: Places, origin: Origin, cores: Cores, seconds: float
) -> tuple[list[load.Rate], float, float]:
    """The rates by CONNECTIONS, and MiB resident before and after three answers of 100 MiB."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    process = peer.start(places.of(peer.name), origin, port)
    try:
        first_answer(process, port, "/1k")
        load.rate(process, base, "/1k", connections=64, seconds=2, core=cores.others)
        rates = [
            load.rate(
                process,
                base,
                "/unlike",
                connections=number,
                seconds=seconds,
                core=cores.others,
                unlike=True,
            )
            for number in CONNECTIONS
        ]
        before = process.memory().rss / 2**20
        for _ in range(DOWNLOADS):
            load.download(base, core=cores.others)
        return rates, before, process.memory().rss / 2**20
    finally:
        places.processes.stop(process)


def page(measured: dict[str, tuple[list[load.Rate], float, float]]) -> list[str]:
    """One row a proxy: requests a second, and µs of processor time a request."""
    heads = [f"{number} conn.: req/s (µs)" for number in CONNECTIONS]
    lines = [
        f"| proxy | {' | '.join(heads)} | MiB, before and after 300 MiB of bodies |",
        f"| --- | {' | '.join(['---:'] * (len(heads) + 1))} |",
    ]
    for name, (rates, before, after) in measured.items():
        cells = [f"{rate.per_second:,.0f} ({rate.cpu:.0f})" for rate in rates]
        lines.append(f"| {name} | {' | '.join(cells)} | {before:.0f} → {after:.0f} |")
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--python", type=Path, default=Path(sys.executable))
    parser.add_argument("--seconds", type=float, default=3, help="of each run of wrk")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args(arguments)
    measured = {}
    with stage("scale") as here:
        peers: list[Peer] = [Ours(options.python, here.endpoint), Nginx(), GoReverseProxy()]
        for peer in peers:
            peer.install(WORK)
            measured[peer.name] = measure(
                peer, here.places, here.upstream.tls, here.cores, options.seconds
            )
    text = "\n".join([describe(), "", *page(measured), ""])
    print(text)
    if options.output:
        options.output.write_text(text)


if __name__ == "__main__":
    main()
