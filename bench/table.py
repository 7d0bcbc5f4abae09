"""What was measured, as a Markdown page that can be copied into a README."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from bench.load import Rate

# The aims for requests a second, over TLS: the load, the peer, and our rate divided by its.
RATES = (  # the last two: the least ratio aimed at, of the pure build and of the compiled one
    ("no head twice", "unlike", "nginx", 0.5, 0.7),
    ("no head twice", "unlike", "Go ReverseProxy", 1.6, 1.6),
    ("same head", "same", "nginx", 0.7, 0.85),
    ("POST of 1 KiB, no two alike", "post", "nginx", 0.6, 0.6),
)
COMPILED = " compiled"  # within a row's name
P50, P99, TRANSFER, HTTPS = 1.2, 2.0, 1.0, 0.7
AFTER, AT_REST, START = 60.0, 40.0, 0.25  # MiB, MiB, seconds
OVER_HTTPS = ", https"  # at the end of a row's name


@dataclass(slots=True)
class Round:
    """One peer's numbers of one round."""

    first_answer: float
    rates: dict[str, Rate]
    download: float = 0.0
    upload: float = 0.0
    rss: float = 0.0
    pss: float = 0.0


@dataclass(slots=True)
class Row:
    """One peer over one kind of upstream."""

    name: str
    version: str
    rounds: list[Round] = field(default_factory=list)
    failure: str | None = None

    def middle(self, value: Callable[[Round], float]) -> float:
        """The median over the rounds."""
        return median(value(one) for one in self.rounds)

    def rate(self, load: str) -> float:
        return self.middle(lambda one: one.rates[load].per_second)


@dataclass(frozen=True, slots=True)
class OneShot:
    """A single curl, median milliseconds: straight to the upstream, and through a proxy."""

    away: float
    direct: float
    through: Mapping[str, float]


def results(title: str, rows: Sequence[Row]) -> list[str]:
    """The table of one kind of upstream."""
    heads = (
        "proxy",
        "no head twice: req/s",
        "CPU µs/req",
        "same head: req/s",
        "CPU µs/req",
        "64 KiB: req/s",
        "POST 1 KiB: req/s",
        "p50/p99 at 1: ms",
        "p50/p99 at 16: ms",
        "down MB/s",
        "up MB/s",
        "RSS/PSS MiB",
        "first answer s",
    )
    lines = [f"### {title}", "", _line(heads), _line(["---", *["---:"] * (len(heads) - 1)])]
    for row in rows:
        if not row.rounds:
            lines.append(_line([row.name, f"failed: {row.failure}", *[""] * (len(heads) - 2)]))
            continue
        cells = [
            row.name,
            f"{row.rate('unlike'):,.0f}",
            f"{row.middle(lambda one: one.rates['unlike'].cpu):.0f}",
            f"{row.rate('same'):,.0f}",
            f"{row.middle(lambda one: one.rates['same'].cpu):.0f}",
            f"{row.rate('64k'):,.0f}",
            f"{row.rate('post'):,.0f}",
            _latency(row, "one"),
            _latency(row, "sixteen"),
            f"{row.middle(lambda one: one.download):,.0f}",
            f"{row.middle(lambda one: one.upload):,.0f}",
            f"{row.middle(lambda one: one.rss):.0f}/{row.middle(lambda one: one.pss):.0f}",
            f"{row.middle(lambda one: one.first_answer):.2f}",
        ]
        lines.append(_line(cells))
    return [*lines, ""]


def ratios(rows: Sequence[Row], ours: Sequence[Row], at_rest: Mapping[str, float]) -> list[str]:
    """Each of our rows beside what the project set itself; `at_rest` has MiB by row."""
    measured = {row.name: row for row in rows if row.rounds}
    mine = [row for row in ours if row.rounds and not row.name.endswith(OVER_HTTPS)]
    if not mine:
        return []
    heads = ["over TLS", "aim", *(row.name for row in mine)]
    lines = ["### Against the aims", "", _line(heads), _line(["---"] + ["---:"] * (len(heads) - 1))]

    def add(
        what: str, aim: float, most: bool, values: Sequence[float], compiled: float | None = None
    ) -> None:
        sign = "≤" if most else "≥"
        compiled = aim if compiled is None else compiled
        aims = [compiled if COMPILED in row.name else aim for row in mine]
        met = [
            value <= own if most else value >= own for value, own in zip(values, aims, strict=True)
        ]
        told = f"{sign} {aim:g}" + (f", compiled {compiled:g}" if compiled != aim else "")
        cells = [
            "–" if math.isnan(value) else f"{value:.2f} {'✓' if ok else '✗'}"
            for value, ok in zip(values, met, strict=True)
        ]
        lines.append(_line([what, told, *cells]))

    for what, load, name, aim, compiled in RATES:
        if peer := measured.get(name):
            beside_peer = [row.rate(load) / peer.rate(load) for row in mine]
            add(f"{what}, req/s ÷ {name}", aim, False, beside_peer, compiled)
    if nginx := measured.get("nginx"):

        def beside(value: Callable[[Round], float]) -> list[float]:
            return [row.middle(value) / nginx.middle(value) for row in mine]

        p50 = beside(lambda one: one.rates["one"].p50)
        add("p50 at one connection ÷ nginx", P50, True, p50)
        add("p99 at one connection ÷ nginx", P99, True, beside(lambda one: one.rates["one"].p99))
        add("100 MiB down ÷ nginx", TRANSFER, False, beside(lambda one: one.download))
        add("100 MiB up ÷ nginx", TRANSFER, False, beside(lambda one: one.upload))
    https = [measured.get(row.name + OVER_HTTPS) for row in mine]
    if (peer := measured.get("nginx" + OVER_HTTPS)) and any(https):
        rates = [row.rate("unlike") / peer.rate("unlike") if row else math.nan for row in https]
        add("https towards callers, no head twice ÷ nginx's", HTTPS, False, rates)
    add("resident after all of it, MiB", AFTER, True, [row.middle(lambda r: r.rss) for row in mine])
    resting = [at_rest.get(row.name, math.nan) for row in mine]
    add("resident at rest, after 20 s, MiB", AT_REST, True, resting)
    started = [row.middle(lambda one: one.first_answer) for row in mine]
    add("first forwarded answer after, s", START, True, started)
    return [*lines, ""]


def one_shot(measured: OneShot) -> list[str]:
    """The single call to an upstream some milliseconds away."""
    lines = [
        f"### One `curl`, the TLS upstream {measured.away:g} ms away (each way)",
        "",
        _line(["", "median ms", "saved"]),
        _line(["---", "---:", "---:"]),
        _line(["straight to the upstream", f"{measured.direct:.0f}", ""]),
    ]
    for name, value in measured.through.items():
        saved = f"{1 - value / measured.direct:.0%} {'✓' if value <= measured.direct / 2 else '✗'}"
        lines.append(_line([f"through {name}", f"{value:.0f}", saved]))
    return [*lines, ""]


def _latency(row: Row, load: str) -> str:
    p50 = row.middle(lambda one: one.rates[load].p50)
    p99 = row.middle(lambda one: one.rates[load].p99)
    return f"{p50 / 1000:.3f}/{p99 / 1000:.3f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
