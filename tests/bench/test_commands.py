"""Commands and the start: medians of rounds, beside what the project set itself."""

from bench.commands import BARE, Times, page
from bench.processes import Memory

MIB = 2**20


def test_each_command_start_and_process_has_its_row_and_whether_it_is_quick_enough() -> None:
    times = {
        BARE: Times([11.0, 99.0, 12.0], [10.0, 10.0, 10.0]),
        "srproxy status": Times([80.0, 90.0, 300.0], [75.0, 76.0, 77.0]),
        "srproxy token": Times([121.0, 121.0, 121.0], [100.0, 100.0, 100.0]),
    }
    memory = {"srproxy serve": Memory(54 * MIB, 42 * MIB), BARE: Memory(8 * MIB, 3 * MIB)}

    lines = page(times, [0.2, 0.23, 0.9], memory)

    assert f"| {BARE} | 12 | 10 |  |" in lines
    assert "| `srproxy status` | 90 | 76 | ≤ 120 ✓ |" in lines
    assert "| `srproxy token` | 121 | 100 | ≤ 120 ✗ |" in lines
    assert "| `srproxy serve` to its first forwarded answer | 230 | | ≤ 250 ✓ |" in lines
    assert "| srproxy serve | 54.0 | 42.0 | ≤ 40 ✗ |" in lines
    assert f"| {BARE} | 8.0 | 3.0 |  |" in lines
