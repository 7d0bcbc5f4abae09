"""One account's limits at work: waking, refusing, learning from answers."""

import asyncio
import gc
import tracemalloc

import pytest

from proxy.config import Config
from proxy.errors import Problem
from proxy.gateway.limits import Limits
from proxy.gateway.limits.refusals import Backoff, retry_after
from tests.support.waiting import WaitingTicket


class Time:
    """A clock and its timers, moved by hand."""

    def __init__(self):
        self._now = 100.0
        self._timers = []

    def now(self):
        return self._now

    def monotonic(self):
        return self._now

    async def sleep(self, seconds):
        raise AssertionError("nothing here sleeps")

    def schedule(self, delay, callback):
        timer = _Timer(self._now + delay, callback)
        self._timers.append(timer)
        return timer

    async def advance(self, seconds):
        """Run what falls due, and let whoever was woken run."""
        until = self._now + seconds
        while True:
            self._timers = [timer for timer in self._timers if not timer.cancelled]
            due = min(self._timers, key=lambda timer: timer.at, default=None)
            if due is None or due.at > until:
                break
            self._timers.remove(due)
            self._now = max(self._now, due.at)
            due.callback()
            await asyncio.sleep(0)
        self._now = until
        await asyncio.sleep(0)


class _Timer:
    def __init__(self, at, callback):
        self.at, self.callback, self.cancelled = at, callback, False

    def cancel(self):
        self.cancelled = True


@pytest.fixture
def time():
    return Time()


def limits_config(values):
    return Config.build({"smart_token": "t", "limits": values}).limits


def limits(time, **values):
    return Limits(limits_config(values), time, time.schedule, jitter=lambda: 0.0)


def ticket(limits, name="GET /jobs", caller=None, account="default"):
    method, _, path = name.partition(" ")
    return WaitingTicket(limits.ticket(account, name, method.encode(), path.encode(), caller))


def answer(ticket, **fields):
    ticket.sent()
    ticket.answered({k.replace("_", "-").encode(): str(v).encode() for k, v in fields.items()})
    ticket.over()


def go(limits, count, **fields):
    """Send as many as go at once; each is answered at once."""
    sent = 0
    for _ in range(count):
        one = ticket(limits)
        if not one.enter():
            one.over()
            break
        answer(one, **fields)
        sent += 1
    return sent


async def test_what_the_limits_allow_goes_at_once_and_the_rest_is_woken_in_time(time):
    door = limits(time)
    assert go(door, 20) == 10
    held = ticket(door)

    assert not held.enter()
    assert door.held() == 1
    use = door.uses()[0]
    assert (use.operation, use.used, use.limit, use.unit, use.held) == (
        "GET /jobs", 10, 10, "a second", 1,
    )  # fmt: skip
    await time.advance(0.99)
    assert not held.has_its_turn
    await time.advance(0.05)
    assert held.has_its_turn
    assert held.held == pytest.approx(1.0, abs=0.04)
    assert door.held() == 0


async def test_each_account_has_limits_of_its_own(time):
    door = limits(time)
    assert go(door, 20) == 10

    assert ticket(door, account="acme").enter()


async def test_mode_pass_leaves_limits_to_the_upstream(time):
    door = limits(time, mode="pass")

    assert door.ticket("default", "other", b"GET", b"/", None) is None


async def test_held_for_max_wait_is_rate_limited_with_a_time_to_come_again(time):
    door = limits(time, max_wait=0.5)
    go(door, 10)
    held = ticket(door)
    held.enter()
    await time.advance(0.6)

    with pytest.raises(Problem) as raised:
        await held.turn()
    assert raised.value.code == "rate_limited"
    assert raised.value.status == 429
    assert ("Retry-After", "1") in list(raised.value.headers) or raised.value.retry_after == 1
    held.over()
    assert door.held() == 0


async def test_the_answers_correct_the_limit_up_and_down(time):
    door = limits(time)
    assert go(door, 100, x_ratelimit_limit=15) == 15
    await time.advance(1.1)
    assert go(door, 100, x_ratelimit_limit=4) == 4


async def test_the_answers_do_not_correct_the_file(time):
    door = limits(time, rules=["3/s GET /jobs", "2 at once * **"])

    assert go(door, 100, x_ratelimit_limit=15, x_ratelimit_concurrent_limit=9) == 3
    assert [ticket(door, f"GET /x{n}").enter() for n in range(3)] == [True, True, False]


async def test_the_concurrent_limit_is_that_of_all_together(time):
    door = limits(time)
    go(door, 1, x_ratelimit_concurrent_limit=2)

    assert [ticket(door, f"GET /x{n}").enter() for n in range(3)] == [True, True, False]


async def test_the_own_limit_of_get_candidates_is_not_taken_for_that_of_all_together(time):
    door = limits(time)
    one = ticket(door, "GET /candidates")
    one.enter()
    answer(one, x_ratelimit_concurrent_limit=1)

    assert [ticket(door, f"GET /x{n}").enter() for n in range(9)] == [True] * 8 + [False]


async def test_remaining_0_holds_the_operation_for_a_second_from_that_answer(time):
    door = limits(time)
    first = ticket(door)
    first.enter()
    first.sent()
    await time.advance(0.5)
    first.answered({b"x-ratelimit-remaining": b"0"})
    first.over()
    held, other = ticket(door), ticket(door, "GET /users")

    assert not held.enter()
    assert other.enter()
    await time.advance(0.98)
    assert not held.has_its_turn
    await time.advance(0.03)
    assert held.has_its_turn


async def test_a_refusal_is_waited_out_twice_as_long_each_time(time):
    door = limits(time, max_wait=60)
    one = ticket(door)
    one.enter()
    waits = []
    for _ in range(5):
        one.sent()
        one.answered({})
        wait = one.resend_in(429, {})
        assert wait is not None
        waits.append(wait)
        one.again(wait)
        await time.advance(wait - 0.01)
        assert not one.has_its_turn
        await time.advance(0.02)
        assert one.has_its_turn

    assert waits == [1, 2, 4, 8, 16]
    one.sent()
    # 31 s have gone, the next wait is 30 s long, and max_wait is 60 s.
    assert one.resend_in(429, {}) is None
    assert one.held == pytest.approx(31, abs=0.2)


async def test_a_refusal_that_names_a_time_is_waited_out_by_it(time):
    door = limits(time, max_wait=10)
    one = ticket(door)
    one.enter()
    one.sent()

    assert one.resend_in(429, {b"retry-after": b"7"}) == 7
    assert one.resend_in(429, {b"retry-after": b"11"}) is None
    assert one.resend_in(200, {}) is None
    assert one.resend_in(429, {b"retry-after": b"0"}) >= 1


async def test_a_refusal_that_says_at_once_is_believed_once(time):
    door = limits(time)
    one = ticket(door)
    one.enter()
    one.sent()

    assert [one.resend_in(429, {b"retry-after": b"0"}) for _ in range(2)] == [0, 2]


async def test_one_that_is_sent_again_at_once_is_not_held(time):
    """After a 401 whose token was renewed, and after a connection that was lost."""
    door = limits(time)
    one = ticket(door)
    one.enter()
    one.sent()
    one.again(0.0)
    await asyncio.sleep(0)

    assert one.has_its_turn
    assert one.held == 0


async def test_a_hang_up_leaves_the_row_and_gives_back_what_it_had(time):
    door = limits(time, rules=["1/s GET /jobs"])
    first, second, third = (ticket(door) for _ in range(3))
    assert first.enter()
    assert not second.enter()
    assert not third.enter()

    second.over()  # held
    first.over()  # admitted, and nothing was sent
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert third.has_its_turn
    third.over()
    third.over()
    assert door.held() == 0


async def test_the_wait_of_a_caller_that_gives_up_is_counted(time):
    door = limits(time, rules=["1/s GET /jobs"])
    first, second = ticket(door), ticket(door)
    first.enter()
    first.sent()
    assert not second.enter()
    await time.advance(0.7)

    second.over()
    second.over()

    assert second.held == pytest.approx(0.7)


async def test_a_reload_counts_for_the_next_request(time):
    door = limits(time)
    ticket(door).enter()
    door.configure(limits_config({"rules": ["1 at once * **"]}))

    assert not ticket(door, "GET /users").enter()
    door.configure(limits_config({"mode": "pass"}))
    assert door.ticket("default", "other", b"GET", b"/", None) is None


async def test_a_held_call_takes_less_than_three_quarters_of_a_kibibyte(time):
    door = limits(time)
    go(door, 10)
    nobody = ticket(door)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    waiting = []
    for n in range(5000):
        held = door.ticket("default", "GET /jobs", b"GET", b"/jobs", f"key {n % 4}")
        assert not held.enter(nobody)
        waiting.append(held)
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    for one in waiting:
        one.over()
    door.close()

    assert used / 5000 < 768


def test_backoff_has_jitter_and_an_end():
    assert [Backoff(lambda: 0.0).after(n) for n in (0, 1, 4, 5, 99)] == [1, 2, 16, 30, 30]
    assert Backoff(lambda: 1.0).after(1) == 2.5


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({b"retry-after": b"3"}, 3),
        ({b"retry-after": b"0"}, 0),
        ({b"retry-after": b"soon"}, None),
        ({b"retry-after": b"99999999999"}, None),
        (
            {
                b"retry-after": b"Thu, 26 Nov 2026 22:00:05 GMT",
                b"date": b"Thu, 26 Nov 2026 22:00:00 GMT",
            },
            5,
        ),
        ({b"retry-after": b"Thu, 26 Nov 2026 22:00:05 GMT"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date(fields, seconds):
    assert retry_after(fields) == seconds
