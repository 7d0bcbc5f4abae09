"""How cost grows: with connections, with requests, with the size of bodies.

python3 -m bench.scale [--python PATH] [--seconds S] [--rounds N] [--output FILE] [--plot FILE.svg]

Ours, compiled and interpreted, nginx and Go's ReverseProxy over a TLS upstream, in turns. At each
number of connections: requests a second with no head twice, and processor time a request. At each
size of an answer, on four connections: MB a second, and processor time for each MiB. Resident
memory before and after the large ones, which must not grow with them. --plot needs matplotlib.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from bench import load
from bench.machine import Cores, describe
from bench.peers import Peer
from bench.peers.debian import Nginx
from bench.peers.go import GoReverseProxy
from bench.peers.ours import Ours
from bench.processes import first_answer, free_port
from bench.stage import WORK, Places, stage
from bench.upstream import Origin

CONNECTIONS = (1, 10, 100, 1000)
# KiB of an answer's body, and where the upstream has it.
SIZES = {1: "/1k", 64: "/64k", 1024: "/1m", 10240: "/10m", 102400: "/large"}
AT_ONCE = 4  # for the sizes
# More callers at work than this are refused; what a user with so many would set.
SETTINGS = {"SRPROXY_LISTEN__MAX_CONNECTIONS": "2000"}


@dataclass(slots=True)
class Growth:
    """One peer's rounds: by connections, by size, and MiB resident before and after the sizes."""

    connections: dict[int, list[load.Rate]] = field(default_factory=dict)
    sizes: dict[int, list[load.Rate]] = field(default_factory=dict)
    before: list[float] = field(default_factory=list)
    after: list[float] = field(default_factory=list)


def middle(rates: Sequence[load.Rate], value: Callable[[load.Rate], float]) -> float:
    """The median over the rounds."""
    return median(map(value, rates))


def megabytes(rates: Sequence[load.Rate], size: int) -> float:
    """MB a second of bodies of `size` KiB."""
    return middle(rates, lambda rate: rate.per_second) * size * 1024 / 1e6


def per_mebibyte(rates: Sequence[load.Rate], size: int) -> float:
    """Milliseconds of processor time for each MiB of such bodies."""
    return middle(rates, lambda rate: rate.cpu) / 1000 / (size / 1024)


def measure(
    growth: Growth, peer: Peer, places: Places, origin: Origin, cores: Cores, seconds: float
) -> None:
    """Add a round of one peer."""
    port = free_port()
    process = peer.start(places.of(peer.name), origin, port)

    def rate(path: str, connections: int, *, unlike: bool = False) -> load.Rate:
        return load.rate(
            process,
            f"http://127.0.0.1:{port}",
            path,
            connections=connections,
            seconds=seconds,
            core=cores.others,
            unlike=unlike,
        )

    try:
        first_answer(process, port, "/1k")
        rate("/1k", 64)
        for number in CONNECTIONS:
            growth.connections.setdefault(number, []).append(rate("/unlike", number, unlike=True))
        growth.before.append(process.memory().rss / 2**20)
        for size, path in SIZES.items():
            growth.sizes.setdefault(size, []).append(rate(path, AT_ONCE))
        growth.after.append(process.memory().rss / 2**20)
    finally:
        places.processes.stop(process)


def size_name(size: int) -> str:
    return f"{size} KiB" if size < 1024 else f"{size // 1024} MiB"


def page(measured: Mapping[str, Growth]) -> list[str]:
    """Two tables, one row a proxy in each."""
    by_connections = [f"{number:,} conn.: req/s (µs)" for number in CONNECTIONS]
    by_size = [f"{size_name(size)}: MB/s (ms a MiB)" for size in SIZES]
    lines = [
        f"| proxy | {' | '.join(by_connections)} |",
        f"| --- |{' ---: |' * len(by_connections)}",
    ]
    for name, growth in measured.items():
        cells = [
            f"{middle(rates, lambda rate: rate.per_second):,.0f} "
            f"({middle(rates, lambda rate: rate.cpu):.0f})"
            for rates in growth.connections.values()
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += [
        "",
        f"| proxy | {' | '.join(by_size)} | MiB resident, before → after |",
        f"| --- |{' ---: |' * (len(by_size) + 1)}",
    ]
    for name, growth in measured.items():
        cells = [
            f"{megabytes(rates, size):,.0f} ({per_mebibyte(rates, size):.1f})"
            for size, rates in growth.sizes.items()
        ]
        cells.append(f"{median(growth.before):.0f} → {median(growth.after):.0f}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def plot(measured: Mapping[str, Growth], file: Path) -> None:
    """Draw the four curves of every peer as an SVG."""
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "bench"  # the same file from the same numbers
    matplotlib.rcParams["svg.fonttype"] = "none"  # text stays text
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    figure, ((rate, cost), (transfer, weight)) = pyplot.subplots(2, 2, figsize=(10, 7.5))
    for name, growth in measured.items():
        numbers, sizes = list(growth.connections), list(growth.sizes)
        by_number, by_size = growth.connections.values(), growth.sizes.items()
        style = {"marker": "o", "label": name}
        rate.plot(numbers, [middle(r, lambda one: one.per_second) for r in by_number], **style)
        cost.plot(numbers, [middle(r, lambda one: one.cpu) for r in by_number], **style)
        transfer.plot(sizes, [megabytes(rates, size) for size, rates in by_size], **style)
        weight.plot(sizes, [per_mebibyte(rates, size) for size, rates in by_size], **style)
    for axes, title in (
        (rate, "requests a second, 1 KiB"),
        (cost, "processor time a request, µs, 1 KiB"),
        (transfer, f"MB a second, {AT_ONCE} connections"),
        (weight, "processor time a MiB, ms"),
    ):
        axes.set_title(title)
        axes.set_xscale("log")
        if axes is not weight:
            axes.set_ylim(bottom=0)
        axes.grid(visible=True, alpha=0.3)
    for axes in (rate, cost):
        axes.set_xticks(CONNECTIONS, [f"{number:,}" for number in CONNECTIONS])
        axes.set_xlabel("connections")
    for axes in (transfer, weight):
        axes.set_xticks(list(SIZES), [size_name(size) for size in SIZES])
        axes.set_xlabel("size of an answer")
    weight.set_yscale("log")
    cost.legend(fontsize="small", loc="upper left")
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None, "Creator": None})


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--python", type=Path, default=Path(sys.executable))
    parser.add_argument("--seconds", type=float, default=2, help="of each run of wrk")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args(arguments)
    if options.plot:
        importlib.import_module("matplotlib")  # to fail now, and not after ten minutes
    os.environ.update(SETTINGS)
    measured: dict[str, Growth] = {}
    with stage("scale") as here:
        ours = [Ours(options.python, here.endpoint, compiled=build) for build in (True, False)]
        peers: list[Peer] = [*ours, Nginx(), GoReverseProxy()]
        for peer in peers:
            peer.install(WORK)
        for _ in range(options.rounds):
            for peer in peers:
                growth = measured.setdefault(peer.name, Growth())
                measure(growth, peer, here.places, here.upstream.tls, here.cores, options.seconds)
    text = "\n".join([describe(), "", *page(measured), ""])
    print(text)
    if options.output:
        options.output.write_text(text)
    if options.plot:
        plot(measured, options.plot)


if __name__ == "__main__":
    main()
