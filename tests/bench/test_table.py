"""The benchmark's page: medians over the rounds, and our ratios beside the aims."""

from bench.load import Rate
from bench.table import OneShot, Round, Row, one_shot, ratios, results


def measured(name: str, *per_second: float, p50: float = 100.0) -> Row:
    row = Row(name, "1.0")
    for number in per_second:
        rate = Rate(number, p50, 4 * p50, 20.0)
        loads = dict.fromkeys(("unlike", "same", "64k", "post", "one", "sixteen"), rate)
        row.rounds.append(Round(0.25, loads, download=900.0, upload=800.0, rss=60.0, pss=50.0))
    return row


def test_a_row_has_the_medians_of_its_rounds() -> None:
    lines = results("TLS", [measured("nginx", 100.0, 9000.0, 5000.0)])

    assert lines[4] == (
        "| nginx | 5,000 | 20 | 5,000 | 20 | 5,000 | 5,000 | 0.100/0.400 | 0.100/0.400 | 900 | 800 "
        "| 60/50 | 0.25 |"
    )


def test_a_peer_that_failed_is_named_with_its_failure() -> None:
    lines = results("TLS", [Row("Caddy", "2", failure="did not answer")])

    assert "| Caddy | failed: did not answer |" in lines[4]


def test_each_aim_says_whether_it_is_met() -> None:
    ours = measured("ours", 6000.0, p50=140.0)
    nginx = measured("nginx", 10000.0)
    text = "\n".join(ratios([ours, nginx], [ours], {"ours": 40.5}))

    assert "| no head twice, req/s ÷ nginx | ≥ 0.5, compiled 0.7 | 0.60 ✓ |" in text
    assert "| same head, req/s ÷ nginx | ≥ 0.7, compiled 0.85 | 0.60 ✗ |" in text
    assert "| p50 at one connection ÷ nginx | ≤ 1.2 | 1.40 ✗ |" in text
    assert "| resident after all of it, MiB | ≤ 60 | 60.00 ✓ |" in text
    assert "| resident at rest, after 20 s, MiB | ≤ 40 | 40.50 ✗ |" in text
    assert "Go" not in text


def test_a_compiled_build_is_held_to_aims_of_its_own() -> None:
    ours, nginx = measured("ours compiled", 6000.0), measured("nginx", 10000.0)
    text = "\n".join(ratios([ours, nginx], [ours], {}))

    assert "| no head twice, req/s ÷ nginx | ≥ 0.5, compiled 0.7 | 0.60 ✗ |" in text
    assert "| POST of 1 KiB, no two alike, req/s ÷ nginx | ≥ 0.6 | 0.60 ✓ |" in text


def test_https_towards_callers_is_compared_with_https() -> None:
    ours = [measured("ours", 6000.0), measured("ours, https", 4000.0)]
    rows = [*ours, measured("nginx", 10000.0), measured("nginx, https", 5000.0)]
    text = "\n".join(ratios(rows, ours, {}))

    assert "| https towards callers, no head twice ÷ nginx's | ≥ 0.7 | 0.80 ✓ |" in text
    assert "| over TLS | aim | ours |" in text


def test_the_single_call_says_what_was_saved() -> None:
    lines = one_shot(OneShot(25.0, 156.0, {"ours": 52.0}))

    assert lines[-2] == "| through ours | 52 | 67% ✓ |"
