"""How cost grows: one row a proxy, with rates by connections and memory around large bodies."""

from bench.load import Rate
from bench.scale import CONNECTIONS, page


def test_a_row_has_each_number_of_connections_and_memory_before_and_after() -> None:
    rates = [Rate(1000.0 * number, 100.0, 200.0, 30.0) for number in (1, 2, 3, 4)]

    head, _, row = page({"nginx": (rates, 20.0, 21.4)})

    assert [f"{number} conn." in head for number in CONNECTIONS] == [True] * 4
    assert row == "| nginx | 1,000 (30) | 2,000 (30) | 3,000 (30) | 4,000 (30) | 20 → 21 |"
