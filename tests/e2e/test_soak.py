"""The proxy over a long time, against a world that misbehaves.

Half a minute in every test run; `--soak [MINUTES]` (30 by default) for the real thing, whose
figures the README carries: `pytest tests/e2e/test_soak.py --soak -s`.
"""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from tests.e2e.soak.measures import early_and_late
from tests.e2e.soak.story import Plan, World

SHORT = Plan(
    duration=25,
    rate=500,
    callers=48,
    access_token_lifetime=4,
    trouble_interval=1.5,
    outage=2.5,
    restart=0.5,
    rotation_interval=3,
    sample_interval=0.5,
)


try:
    from uvloop import new_event_loop as loop_factory
except ImportError:
    from asyncio import new_event_loop as loop_factory  # type: ignore[assignment]


def long(minutes: float, rate: float) -> Plan:
    return Plan(
        duration=minutes * 60,
        rate=rate,
        callers=64,
        access_token_lifetime=20,
        trouble_interval=15,
        outage=12,
        restart=2,
        rotation_interval=30,
        sample_interval=2,
    )


def test_nothing_grows_nothing_is_lost_nothing_is_mixed_up(
    pytestconfig: pytest.Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    minutes = pytestconfig.getoption("--soak")
    rate = pytestconfig.getoption("--soak-rate")
    world = World(SHORT if minutes is None else long(minutes, rate), tmp_path)
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(world.run())
    with capsys.disabled():
        print(figures(world))

    assert world.tally.mixed_up == []
    assert world.upstream.seen.overlooked == []
    # What crosses on the wire nobody can tell apart; that it is rare shows that little time passes
    # between the look and the write. On a machine that is fully loaded it is less rare.
    sent = world.upstream.seen.faults.get("unasked_for_sent", 0)
    assert len(world.upstream.seen.windows) <= 1 + sent / 10
    assert world.tally.failures == []
    assert_every_refresh_is_accounted_for(world)
    assert_nothing_grew(world)
    assert_log_is_whole(world)
    assert world.exit_code == 0


def assert_every_refresh_is_accounted_for(world: World) -> None:
    """One login, then a chain in which each refresh token is presented once."""
    presentations = list(world.sandbox.presentations)
    issued = [p.issued_refresh_token for p in presentations]
    assert [p.value for p in presentations[1:]] == issued[:-1]
    assert {p.outcome for p in presentations} == {"issued"}
    refreshes = refreshes_by_outcome(world)
    assert refreshes["ok"] == len(presentations) - 1
    assert refreshes["not_spent"] + refreshes["unknown"] == world.swallowed
    assert world.final_status["accounts"][0]["state"] == "authorized"


def refreshes_by_outcome(world: World) -> Counter[str]:
    counted: Counter[str] = Counter()
    for (name, labels), value in world.final_metrics.items():
        if name == "srproxy_token_refreshes_total":
            counted[dict(labels)["outcome"]] += int(value)
    return counted


def assert_nothing_grew(world: World) -> None:
    """Compare early with late, and what is open after the load with what was before."""
    memory = early_and_late([s.memory for s in world.samples])
    threads = early_and_late([float(s.threads) for s in world.samples])
    pooled = sum(
        int(value)
        for (name, _), value in world.final_metrics.items()
        if name == "srproxy_upstream_connections"
    )
    assert memory[1] < memory[0] * 1.15 + 4
    assert threads[1] <= threads[0] + 2
    assert world.after.descriptors <= world.before.descriptors + pooled + 3


def assert_log_is_whole(world: World) -> None:
    """Rotation loses at most what is written while it happens, and breaks at most that line."""
    assert world.log.rotations > 0
    assert len(world.log.broken) <= world.log.rotations
    assert world.log.errors == []
    assert world.log.lines >= world.tally.requests * 0.98


def figures(world: World) -> str:
    tally, seen = world.tally, world.upstream.seen
    memory = early_and_late([s.memory for s in world.samples])
    descriptors = early_and_late([float(s.descriptors) for s in world.samples])
    threads = early_and_late([float(s.threads) for s in world.samples])
    troubles = Counter(trouble.kind for trouble in world.troubles)
    rows = {
        "duration": f"{world.plan.duration:.0f} s, access tokens of "
        f"{world.plan.access_token_lifetime} s",
        "requests": f"{tally.requests:,} ({tally.requests / world.plan.duration:.0f}/s), "
        f"{tally.hung_up:,} hung up on",
        "outcomes": dict(tally.outcomes.most_common()),
        "faults": dict(seen.faults),
        "troubles": dict(troubles),
        "excused": dict(tally.excused),
        "failed though the upstream would have answered": len(tally.failures),
        "mixed up": f"{len(tally.mixed_up)}, and {len(tally.crossed)} by a crossing on the wire",
        "unasked answers that came after the last look (µs after it)": ", ".join(
            f"{window:.0f}" for window in sorted(seen.windows)
        ),
        "unasked answers overlooked": len(seen.overlooked),
        "refreshes": dict(refreshes_by_outcome(world)),
        "memory (MiB, early → late → after)": f"{memory[0]:.1f} → {memory[1]:.1f} → "
        f"{world.after.memory:.1f}",
        "descriptors (before; early → late; after)": f"{world.before.descriptors}; "
        f"{descriptors[0]:.0f} → {descriptors[1]:.0f}; {world.after.descriptors}",
        "threads (early → late)": f"{threads[0]:.0f} → {threads[1]:.0f}",
        "log": f"{world.log.lines:,} lines, {world.log.rotations} rotations, "
        f"{len(world.log.broken)} broken; {dict(world.log.events.most_common(8))}",
    }
    lines = [f"  {name}: {value}" for name, value in rows.items()]
    lines += [
        f"  ! {failure}" for failure in (tally.mixed_up + tally.crossed + tally.failures)[:20]
    ]
    return "\nSoak\n" + "\n".join(lines)
