"""Who may go and who comes next: arithmetic alone."""

import random
import tracemalloc
from math import ceil
from time import perf_counter

import pytest

from proxy.config.limit_rules import limit_rule
from proxy.gateway.limits.lanes import Lanes, Rules
from proxy.gateway.limits.row import Call, Row
from proxy.gateway.limits.window import AtOnce, Window

LATENCY = 0.004


class Bench:
    """A row whose calls are answered after LATENCY, on a clock that jumps from event to event."""

    def __init__(self, rules=(), latency=LATENCY):
        known = Rules([limit_rule(rule) for rule in rules])
        self.together = AtOnce("", known.together, corrects=not known.sets_together)
        self.row = Row(self.together)
        self.lanes = Lanes(known)
        self.now = 1000.0
        self.latency = latency
        self.sent: list[tuple[float, Call]] = []
        self.under_way: list[tuple[float, Call]] = []

    def lane(self, name):
        method, _, path = name.partition(" ")
        return self.lanes.of(name, method.encode(), path.encode())

    def ask(self, name, caller=None, max_wait=1e9):
        call = Call(self.lane(name), caller, self.now, self.now + max_wait)
        if self.row.enter(call, self.now):
            self.send(call)
        return call

    def send(self, call):
        assert call.place is not None
        call.place.sent(self.now)
        self.sent.append((self.now, call))
        self.under_way.append((self.now + self.latency, call))

    def run(self):
        """Let time pass until nothing waits and nothing is under way."""
        while self.under_way or self.row.waiting:
            ends_at = self.under_way[0][0] if self.under_way else float("inf")
            self.now = max(self.now, min(ends_at, self.row.wakes_at(self.now)))
            if ends_at <= self.now:
                call = self.under_way.pop(0)[1]
                if call.place is not None:
                    call.place.answered(self.now)
                self.row.leave(call)
            for call in self.row.due(self.now):
                self.send(call)


def most_within_a_second(times):
    return max(sum(t <= u < t + 1 for u in times) for t in times)


@pytest.mark.parametrize("calls", [50, 500, 5000])
@pytest.mark.parametrize("operations", [1, 20])
def test_all_that_the_limits_allow_is_sent_and_never_more(calls, operations):
    bench = Bench()
    names = ["GET /jobs", *(f"GET /x{number}" for number in range(operations - 1))]
    for number in range(calls):
        bench.ask(names[number % operations])

    bench.run()

    assert len(bench.sent) == calls
    for name in names:
        times = [at for at, call in bench.sent if call.lane.name == name]
        assert most_within_a_second(times) <= 10
    by_rate = ceil(calls / operations / 10) - 1
    by_number = calls / 8 * LATENCY
    assert bench.now - 1000.0 <= 1.05 * max(by_rate, by_number) + 0.1


@pytest.mark.parametrize(
    ("name", "per_second"),
    [
        ("GET /jobs", 10),
        ("POST /jobs/{jobId}/publication", 2),
        ("DELETE /jobs/{jobId}/publication", 2),
        ("GET /offers/{offerId}/documents/{documentId}", 2),
        ("other", 10),
    ],
)
def test_the_built_in_limits_a_second(name, per_second):
    bench = Bench()
    for _ in range(40):
        bench.ask(name)
    bench.run()

    assert most_within_a_second([at for at, _ in bench.sent]) == per_second


def test_eight_at_once_and_one_of_get_candidates():
    bench = Bench(latency=5.0)
    for number in range(20):
        bench.ask(f"GET /x{number}")
    bench.ask("GET /candidates")
    bench.ask("GET /candidates")

    assert len(bench.sent) == 8

    alone = Bench(latency=5.0)
    alone.ask("GET /candidates")
    alone.ask("GET /candidates")
    alone.ask("GET /jobs")

    assert [call.lane.name for _, call in alone.sent] == ["GET /candidates", "GET /jobs"]


def test_callers_take_turns_and_each_of_them_in_order():
    bench = Bench(["1 at once * **"], latency=0.2)
    calls = [bench.ask("GET /jobs", "a") for _ in range(6)]
    calls += [bench.ask("GET /jobs", "b") for _ in range(2)]
    calls += [bench.ask("GET /users", "b")]
    bench.run()

    assert "".join(call.caller or "-" for _, call in bench.sent) == "ababab" + "aaa"
    for caller in "ab":
        order = [call for _, call in bench.sent if call.caller == caller]
        assert order == [call for call in calls if call.caller == caller]


def test_a_closed_operation_stands_in_nobodys_way():
    bench = Bench()
    for _ in range(100):
        bench.ask("POST /jobs/{jobId}/publication", "a")
    other = bench.ask("GET /jobs", "a")

    assert other.place is not None


def test_the_file_s_rules_come_first_and_the_first_that_fits_counts():
    bench = Bench(["3/s GET /jobs", "5/s GET /jobs", "2 at once GET /jobs/**"])

    lane = bench.lane("GET /jobs")
    assert lane.window.limit == 3
    assert lane.at_once is not None
    assert lane.at_once.limit == 2
    assert not lane.window.corrects
    assert bench.lane("GET /users").window.limit == 10


def test_a_rule_of_the_file_is_one_limit_for_all_that_matches():
    bench = Bench(["5/s GET /reporting-api/**"])

    one, other = bench.lane("GET /reporting-api/a"), bench.lane("GET /reporting-api/b")

    assert one.window is other.window
    assert bench.lane("POST /reporting-api/a").window is not one.window


def test_a_rule_for_everything_at_once_is_the_number_of_all_together():
    bench = Bench(["20 at once * **"])

    assert bench.together.limit == 20
    assert not bench.together.corrects
    assert bench.lane("GET /candidates").at_once.limit == 1


def test_a_place_counts_for_a_second_from_its_answer_or_a_little_after_its_sending():
    window = Window("x", 1, corrects=True)
    place = window.take()
    assert window.opens_at(10.0) == float("inf")

    place.sent(10.0)
    assert window.opens_at(10.0) == pytest.approx(11.025)
    place.answered(10.01)
    assert window.opens_at(10.0) == pytest.approx(11.011)
    assert window.opens_at(11.02) <= 11.02


def test_a_late_answer_does_not_hold_the_place_longer():
    window = Window("x", 1, corrects=True)
    place = window.take()
    place.sent(10.0)
    place.answered(10.9)

    assert window.opens_at(10.9) == pytest.approx(11.025)


def test_a_limit_is_corrected_up_and_down_within_reason():
    window = Window("x", 10, corrects=True)
    for told, limit in [(20, 20), (3, 3), (0, 3), (10**9, 3)]:
        window.correct(told)
        assert window.limit == limit
    fixed = Window("x", 10, corrects=False)
    fixed.correct(20)
    assert fixed.limit == 10


def test_a_lower_limit_counts_for_what_was_sent_already():
    window = Window("x", 3, corrects=True)
    for at in (10.0, 10.1, 10.2):
        window.take().sent(at)
    window.correct(1)

    assert window.opens_at(10.3) == pytest.approx(11.225)


def test_who_waits_too_long_is_taken_out_and_who_leaves_too():
    bench = Bench()
    for _ in range(10):
        bench.row.leave(bench.ask("GET /jobs"))
    late, gone, patient = (bench.ask("GET /jobs", max_wait=wait) for wait in (0.5, 9, 9))
    bench.row.leave(gone)

    assert bench.row.wakes_at(bench.now) == bench.now + 0.5
    assert bench.row.expired(bench.now + 0.5) == [late]
    assert bench.row.due(bench.now + 1.1) == [patient]  # not the one that is gone
    assert bench.row.waiting == 0


def test_what_was_not_sent_gives_its_place_back():
    bench = Bench(["1/s GET /x"])
    first = Call(bench.lane("GET /x"), None, 0.0, 99.0)
    assert bench.row.enter(first, bench.now)
    second = Call(bench.lane("GET /x"), None, 0.0, 99.0)
    assert not bench.row.enter(second, bench.now)
    bench.row.leave(first, sent=False)

    assert bench.row.due(bench.now) == [second]


def test_one_that_comes_again_keeps_its_place():
    bench = Bench(["1/s GET /x"])
    first, second = bench.ask("GET /x"), bench.ask("GET /x")
    bench.ask("GET /x")
    bench.now += 2
    (again,) = bench.row.due(bench.now)
    assert again is second
    bench.send(again)
    bench.row.leave(first)
    bench.row.leave(again)
    bench.row.enter(again, bench.now)

    assert bench.row.due(bench.now + 3) == [again]


@pytest.mark.parametrize("count", [5000, 10_000])
def test_ten_thousand_wait_in_little_memory_and_leave_in_any_order(count):
    bench = Bench()
    names = [f"GET /x{number}" for number in range(20)]
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    calls = [bench.ask(names[n % 20], f"key {n % 4}", max_wait=60) for n in range(count)]
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    random.Random(1).shuffle(calls)
    began = perf_counter()
    for call in calls:
        bench.row.leave(call)

    assert used / count < 1024
    assert perf_counter() - began < count * 200e-6
    assert bench.row.waiting == 0
    assert bench.row.wakes_at(bench.now) == float("inf")
