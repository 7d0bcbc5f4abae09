"""How cost grows: a row a proxy, with rates by connections, by size, and memory around them."""

from bench.load import Rate
from bench.scale import CONNECTIONS, SIZES, Growth, page


def test_a_row_has_each_number_of_connections_each_size_and_memory() -> None:
    growth = Growth(
        {number: [Rate(1000.0 * number, 100.0, 200.0, 30.0)] * 3 for number in CONNECTIONS},
        {size: [Rate(1e6 / size, 1.0, 2.0, size * 2.0)] * 3 for size in SIZES},
        [20.0, 30.0, 19.0],
        [21.4],
    )

    connections, _, row, _, sizes, _, weights = page({"nginx": growth})

    assert [f"{number:,} conn." in connections for number in CONNECTIONS] == [True] * 4
    assert row == "| nginx | 1,000 (30) | 10,000 (30) | 100,000 (30) | 1,000,000 (30) |"
    assert "1 KiB" in sizes
    assert "100 MiB" in sizes
    assert weights == f"| nginx |{' 1,024 (2.0) |' * 5} 20 → 21 |"
