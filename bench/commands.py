"""How long commands and the start take, and what the server holds at rest.

python3 -m bench.commands [--python PATH] [--rounds N] [--output FILE]

In each round the bare interpreter, each command with the server up and logged in, and a start of
the server to its first forwarded answer take turns; the table has medians. Memory is looked at
once, 20 s after a start without a request, beside an interpreter that does nothing.
"""

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from bench.__main__ import REST
from bench.machine import Cores, describe
from bench.peers.ours import Ours
from bench.processes import Memory, first_answer, free_port
from bench.stage import WORK, Places, stage
from bench.table import AT_REST, START
from bench.upstream import Origin

COMMANDS = {
    "srproxy status": ("status",),
    "srproxy token": ("token",),
    "srproxy wait": ("wait",),
    "srproxy run -- true": ("run", "--", "true"),
}
COMPLETION = {"_SRPROXY_COMPLETE": "bash_complete", "COMP_WORDS": "srproxy st", "COMP_CWORD": "1"}
BARE, COMPLETED = "the bare interpreter", "completion of a command's name"
AIM = 120.0  # ms, for each command


@dataclass(slots=True)
class Times:
    """Milliseconds of one command, a number a round: on the clock, and of processor time."""

    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def run(self, command: Sequence[str | Path], *, core: int, cwd: Path, **env: str) -> None:
        """Run once, on one core; CalledProcessError where it fails."""
        with _processor_time(self.processor):
            began = time.perf_counter()
            subprocess.run(
                ["taskset", "-c", str(core), *map(str, command)],
                cwd=cwd,
                env={**os.environ, **env},
                check=True,
                capture_output=True,
                timeout=60,
            )
            self.wall.append(1000 * (time.perf_counter() - began))


@contextmanager
def _processor_time(into: list[float]) -> Iterator[None]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    yield
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    into.append(1000 * spent)


def measure(
    peer: Ours, places: Places, origin: Origin, cores: Cores, rounds: int
) -> tuple[dict[str, Times], list[float], dict[str, Memory]]:
    """Times by command, seconds to the first forwarded answer, and memory at rest."""
    place, port = places.of("commands"), free_port()
    times = {name: Times() for name in (BARE, COMPLETED, *COMMANDS)}
    starts = []

    def run(name: str, command: Sequence[str | Path], **env: str) -> None:
        times[name].run(command, core=cores.others, cwd=peer.tree, **env)

    server = peer.start(place, origin, port)
    first_answer(server, port, "/1k")
    for _ in range(rounds):
        run(BARE, [peer.python, "-c", "pass"])
        run(COMPLETED, peer.command(), **COMPLETION)
        for name, (command, *rest) in COMMANDS.items():
            run(name, peer.command(command, "-c", peer.configuration(place), *rest))
        other = free_port()
        started = peer.start(places.of("start"), origin, other)
        starts.append(first_answer(started, other, "/1k"))
        places.processes.stop(started)
    places.processes.stop(server)

    resting = peer.start(places.of("rest"), origin, free_port())
    idle = [peer.python, "-c", f"import time; time.sleep({2 * REST})"]
    bare = places.processes.start("bare", idle, core=cores.proxy)
    time.sleep(REST)
    return times, starts, {"srproxy serve": resting.memory(), BARE: bare.memory()}


def page(
    times: Mapping[str, Times], starts: Sequence[float], memory: Mapping[str, Memory]
) -> list[str]:
    """The tables: a row for each command, one for the start, one for each process at rest."""
    lines = ["| command | ms | of processor time | aim |", "| --- | ---: | ---: | ---: |"]
    for name, one in times.items():
        wall, named = median(one.wall), f"`{name}`" if name in COMMANDS else name
        aim = "" if name == BARE else f"≤ {AIM:g} {_mark(wall <= AIM)}"
        lines.append(f"| {named} | {wall:.0f} | {median(one.processor):.0f} | {aim} |")
    start = median(starts)
    aim = f"≤ {1000 * START:g} {_mark(start <= START)}"
    lines.append(
        f"| `srproxy serve` to its first forwarded answer | {1000 * start:.0f} | | {aim} |"
    )
    lines += [
        "",
        "| at rest after 20 s | RSS MiB | PSS MiB | aim |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, held in memory.items():
        rss, pss = held.rss / 2**20, held.pss / 2**20
        aim = "" if name == BARE else f"≤ {AT_REST:g} {_mark(rss <= AT_REST)}"
        lines.append(f"| {name} | {rss:.1f} | {pss:.1f} | {aim} |")
    return lines


def _mark(met: bool) -> str:
    return "✓" if met else "✗"


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.commands", description=__doc__)
    parser.add_argument("--python", type=Path, default=Path(sys.executable))
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args(arguments)
    with stage("commands") as here:
        peer = Ours(options.python, here.endpoint)
        version = peer.install(WORK)
        load = os.getloadavg()[0]
        measured = measure(peer, here.places, here.upstream.tls, here.cores, options.rounds)
    head = (
        f"Measured on {datetime.now(UTC).date()}: {describe()}, load average {load:.1f}; "
        f"{peer.name} {version}, medians of {options.rounds}."
    )
    text = "\n".join([head, "", *page(*measured), ""])
    print(text)
    if options.output:
        options.output.write_text(text)


if __name__ == "__main__":
    main()
