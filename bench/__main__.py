"""``python -m bench``: install the peers, measure them in turns, print the table."""

import argparse
import datetime
import json
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from bench import load, table
from bench.machine import Cores, describe
from bench.peers import Peer, Place, Unavailable
from bench.peers.debian import Caddy, HAProxy, Nginx
from bench.peers.go import GoReverseProxy
from bench.peers.mitm import Mitmproxy
from bench.peers.node import node_peers
from bench.peers.ours import ROOT, Ours
from bench.processes import StartFailed, first_answer, free_port
from bench.stage import WORK, Places, stage
from bench.upstream import BEARER, Origin, Upstream

AWAY = 25.0  # milliseconds, each way, of the one-shot case
CALLS = 15
REST = 20.0  # seconds, after which memory at rest is looked at
NEEDED = ("nginx", "wrk", "curl", "openssl", "taskset")


@dataclass(frozen=True, slots=True)
class Loads:
    """How long and how often."""

    seconds: float
    rounds: int

    def measure(
        self, place: Place, peer: Peer, origin: Origin, upload: Path, core: int
    ) -> table.Round:
        """Everything that is measured of one peer in one round, from its start to its end."""
        port = free_port()
        base = f"{'https' if peer.https else 'http'}://127.0.0.1:{port}"
        process = peer.start(place, origin, port)
        try:
            started = first_answer(process, port, "/1k", https=peer.https)

            def rate(
                path: str, connections: int, post: int = 0, *, unlike: bool = False
            ) -> load.Rate:
                return load.rate(
                    process,
                    base,
                    path,
                    connections=connections,
                    seconds=self.seconds,
                    core=core,
                    post=post,
                    unlike=unlike,
                )

            # Two seconds: just-in-time compilers and what a proxy puts off to after its start.
            load.rate(process, base, "/1k", connections=64, seconds=2, core=core)
            result = table.Round(
                first_answer=started,
                rates={
                    "unlike": rate("/unlike", 64, unlike=True),
                    "same": rate("/1k", 64),
                    "64k": rate("/64k", 64),
                    "post": rate("/unlike", 64, post=1024, unlike=True),
                    "one": rate("/1k", 1),
                    "sixteen": rate("/1k", 16),
                },
            )
            result.download = median(load.download(base, core=core) for _ in range(3))
            result.upload = median(load.upload(base, upload, core=core) for _ in range(3))
            memory = process.memory()
            result.rss, result.pss = memory.rss / 2**20, memory.pss / 2**20
            return result
        finally:
            place.processes.stop(process)


def main() -> None:
    """Parse the command line and run."""
    options = _options()
    for program in NEEDED:
        if shutil.which(program) is None and not Path("/usr/sbin", program).exists():
            packages = "nginx wrk curl openssl util-linux"
            raise SystemExit(f"bench: {program} is missing: apt-get install {packages}")
    loads = Loads(seconds=1, rounds=1) if options.quick else Loads(options.seconds, options.rounds)
    with stage("run") as here:
        peers, absent = _install(_peers(options, here.endpoint))
        page = _measure(options, loads, here.cores, here.upstream, peers, absent, here.places)
    print(page)
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(page)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of short runs")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4, help="of each run of wrk")
    parser.add_argument(
        "--python",
        action="append",
        type=Path,
        metavar="PATH",
        help="interpreter for our proxy, may be repeated (default: this one, and Debian's)",
    )
    parser.add_argument(
        "--tree",
        action="append",
        type=Path,
        default=[],
        metavar="FOLDER",
        help="another checkout of this project, measured beside: an older version",
    )
    parser.add_argument("--only", metavar="NAMES", help="peers whose names begin so, by commas")
    parser.add_argument("--upstream", choices=("tls", "plain", "both"), default="both")
    parser.add_argument("--no-one-shot", action="store_true")
    parser.add_argument("--output", type=Path, help="write the page to this file too")
    parser.add_argument("--json", type=Path, help="write every number of every round")
    options = parser.parse_args()
    if options.python is None:
        debian = Path("/usr/bin/python3")
        options.python = [Path(sys.executable), *([debian] if debian.exists() else [])]
    return options


def _peers(options: argparse.Namespace, endpoint: str) -> list[Peer]:
    """All peers, ours first; `--only` chooses by the beginnings of names."""
    peers: list[Peer] = []
    for python in options.python:
        peers.append(Ours(python, endpoint, compiled=True))
        peers += [Ours(python, endpoint, tree=tree) for tree in [ROOT, *options.tree]]
    peers += [Nginx(), HAProxy(), Caddy(), GoReverseProxy(), *node_peers(), Mitmproxy()]
    for python in options.python:
        peers.append(Ours(python, endpoint, compiled=True, https=True))
        peers.append(Ours(python, endpoint, https=True))
    peers.append(Nginx(https=True))
    if options.only:
        wanted = tuple(name.strip().lower() for name in options.only.split(","))
        peers = [
            peer
            for peer in peers
            if peer.name.lower().startswith(wanted) or ("ours" in wanted and isinstance(peer, Ours))
        ]
    return peers


def _install(peers: Sequence[Peer]) -> tuple[dict[str, tuple[Peer, str]], dict[str, str]]:
    """The peers that can be had, with their versions, and the others with the reason."""
    WORK.mkdir(exist_ok=True)
    present: dict[str, tuple[Peer, str]] = {}
    absent: dict[str, str] = {}
    for peer in peers:
        _say(f"installing {peer.name}")
        try:
            present.setdefault(peer.name, (peer, peer.install(WORK)))
        except Unavailable as error:
            absent[peer.name] = str(error)
            _say(f"left out: {peer.name}: {error}")
    return present, absent


def _measure(
    options: argparse.Namespace,
    loads: Loads,
    cores: Cores,
    upstream: Upstream,
    peers: dict[str, tuple[Peer, str]],
    absent: dict[str, str],
    places: Places,
) -> str:
    """All rounds, then the page."""
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    page = [
        f"Measured on {date}: {describe()}. Proxy on one core, upstream (nginx) and load (wrk) on",
        f"another; medians of {loads.rounds} round(s) in turns, {loads.seconds:g} s a run.",
        "Versions: " + "; ".join(f"{name} {version}" for name, (_, version) in peers.items()) + ".",
    ]
    page += [f"Left out: {name} ({reason})." for name, reason in absent.items()]
    page.append("")
    numbers: dict[str, list[dict[str, object]]] = {}
    for kind, origin in (("tls", upstream.tls), ("plain", upstream.plain)):
        if options.upstream not in (kind, "both"):
            continue
        rows = {name: table.Row(name, version) for name, (_, version) in peers.items()}
        for number in range(loads.rounds):
            for index, (name, row) in enumerate(rows.items()):
                if row.failure:
                    continue
                _say(f"{kind}, round {number + 1} of {loads.rounds}: {name}")
                place = places.of(f"{kind}-{index}")
                try:
                    row.rounds.append(
                        loads.measure(place, peers[name][0], origin, upstream.upload, cores.others)
                    )
                except (StartFailed, load.LoadFailed) as error:
                    row.failure = " ".join(str(error).split())
                    _say(f"failed: {name}: {row.failure}")
        title = "TLS to the upstream" if kind == "tls" else "Plain HTTP to the upstream"
        page += table.results(title, list(rows.values()))
        page += [f"{row.name}: {row.failure}" for row in rows.values() if row.failure]
        if kind == "tls":
            mine = [row for name, row in rows.items() if isinstance(peers[name][0], Ours)]
            page += table.ratios(list(rows.values()), mine, _at_rest(places, upstream, peers))
        numbers[kind] = [asdict(row) for row in rows.values()]
    if not options.no_one_shot:
        page += table.one_shot(_one_shot(cores, upstream, peers, places))
    if options.json:
        options.json.write_text(json.dumps(numbers, indent=1))
    return "\n".join(page)


def _one_shot(
    cores: Cores,
    upstream: Upstream,
    peers: dict[str, tuple[Peer, str]],
    places: Places,
) -> table.OneShot:
    """Single curls to an upstream behind the delaying relay: straight, and through our proxy."""
    port = free_port()
    processes = places.processes
    command = (sys.executable, "-m", "bench.relay", str(port), str(upstream.tls.port), str(AWAY))
    relay = processes.start("relay", command, core=cores.others, cwd=WORK.parents[1])
    origin = Origin(tls=True, port=port, authority=upstream.tls.authority)
    through: dict[str, float] = {}
    try:
        options = ("--retry-connrefused", "--retry", "3", "--cacert", str(origin.authority))
        direct = (*options, "-H", f"Authorization: {BEARER}")
        load.one_call(f"{origin.url}/1k", *direct, core=cores.others)
        straight = median(
            load.one_call(f"{origin.url}/1k", *direct, core=cores.others) for _ in range(CALLS)
        )
        for index, (name, (peer, _)) in enumerate(peers.items()):
            if not isinstance(peer, Ours) or peer.https:
                continue
            _say(f"one call: {name}")
            place = places.of(f"one-{index}")
            listening = free_port()
            process = peer.start(place, origin, listening)
            try:
                first_answer(process, listening, "/1k")
                url = f"http://127.0.0.1:{listening}/1k"
                calls = [load.one_call(url, core=cores.others) for _ in range(CALLS)]
                through[name] = 1000 * median(calls)
            finally:
                processes.stop(process)
    finally:
        processes.stop(relay)
    return table.OneShot(AWAY, 1000 * straight, through)


def _at_rest(
    places: Places, upstream: Upstream, peers: dict[str, tuple[Peer, str]]
) -> dict[str, float]:
    """MiB resident after a while without a request, of our own."""
    resident: dict[str, float] = {}
    for index, (name, (peer, _)) in enumerate(peers.items()):
        if not isinstance(peer, Ours) or peer.https:
            continue
        _say(f"at rest: {name}")
        process = peer.start(places.of(f"rest-{index}"), upstream.tls, free_port())
        try:
            time.sleep(REST)
            resident[name] = process.memory().rss / 2**20
        finally:
            places.processes.stop(process)
    return resident


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
