"""What is kept is bounded, whatever goes through."""

from proxy.recording.keep import MAX_BYTES, OVERHEAD, Keep
from tests.recording.support import exchange


def numbered(number: int, size: int = 0):
    made = exchange(answer=b"x" * size)
    made.id = str(number)
    return made


def test_the_oldest_go_first_beyond_the_number():
    keep = Keep(max_count=3)
    for number in range(5):
        keep.add(numbered(number))

    assert [one.id for one in keep.all()] == ["2", "3", "4"]
    assert keep.get("1") is None
    assert keep.get("4") is keep.all()[-1]


def test_a_thousand_bodies_of_a_mebibyte_stay_within_the_bytes():
    keep = Keep()
    for number in range(1000):
        keep.add(numbered(number, 1 << 20))

    kept = keep.all()
    assert sum(OVERHEAD + len(one.response.body.data) for one in kept) <= MAX_BYTES
    assert kept[-1].id == "999"


def test_an_id_stands_once_and_clearing_forgets_all():
    keep = Keep(max_bytes=3 * OVERHEAD)
    for _ in range(9):
        keep.add(numbered(1))
    keep.add(numbered(2))

    assert [one.id for one in keep.all()] == ["1", "2"]
    keep.clear()
    assert keep.all() == []
