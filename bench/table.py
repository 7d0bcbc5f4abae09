"""What was measured, as a Markdown page that can be copied into a README."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from bench.load import Rate

TARGETS = {
    "nginx": 0.5,
    "Go ReverseProxy": 1.5,
    "Caddy": 1.8,
    "Node http-proxy": 2.2,
    "Node undici": 1.2,
    "mitmproxy": 20.0,
}
LATENCY_TARGET, TRANSFER_TARGET, MEMORY_TARGET, START_TARGET = 1.3, 0.8, 75.0, 0.6


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
        "1 KiB, 64 conn.: req/s",
        "CPU µs/req",
        "no head twice: req/s",
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
            f"{row.rate('1k'):,.0f}",
            f"{row.middle(lambda one: one.rates['1k'].cpu):.0f}",
            f"{row.rate('unlike'):,.0f}",
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


def ratios(rows: Sequence[Row], ours: Sequence[Row]) -> list[str]:
    """Each of our rows against each peer, beside what the project set itself."""
    measured = {row.name: row for row in rows if row.rounds}
    mine = [row for row in ours if row.rounds]
    if not mine:
        return []
    heads = ["over TLS", "aim", *(row.name for row in mine)]
    lines = ["### Against the aims", "", _line(heads), _line(["---"] + ["---:"] * (len(heads) - 1))]

    def add(what: str, aim: float, most: bool, values: Sequence[float]) -> None:
        sign = "≤" if most else "≥"
        met = [value <= aim if most else value >= aim for value in values]
        cells = [f"{v:.2f} {'✓' if ok else '✗'}" for v, ok in zip(values, met, strict=True)]
        lines.append(_line([what, f"{sign} {aim:g}", *cells]))

    for name, aim in TARGETS.items():
        if peer := measured.get(name):
            add(
                f"req/s at 1 KiB ÷ {name}",
                aim,
                False,
                [row.rate("1k") / peer.rate("1k") for row in mine],
            )
    if nginx := measured.get("nginx"):

        def beside(value: Callable[[Round], float]) -> list[float]:
            return [row.middle(value) / nginx.middle(value) for row in mine]

        p50 = beside(lambda one: one.rates["one"].p50)
        add("p50 at one connection ÷ nginx", LATENCY_TARGET, True, p50)
        add("download ÷ nginx", TRANSFER_TARGET, False, beside(lambda one: one.download))
        add("upload ÷ nginx", TRANSFER_TARGET, False, beside(lambda one: one.upload))
    memory = [row.middle(lambda one: one.rss) for row in mine]
    add("resident after all of it, MiB", MEMORY_TARGET, True, memory)
    start = [row.middle(lambda one: one.first_answer) for row in mine]
    add("first answer after, s", START_TARGET, True, start)
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
