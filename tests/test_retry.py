"""When something is sent again: rule 7 of forwarding, and the back-off of the grant's rule 5."""

import pytest

from proxy.retry import backoff, is_idempotent, may_resend


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"])
def test_idempotent_methods(method: bytes) -> None:
    assert is_idempotent(method)


@pytest.mark.parametrize("method", [b"POST", b"PATCH", b"get", b"PURGE", b""])
def test_methods_that_may_do_something_twice(method: bytes) -> None:
    assert not is_idempotent(method)


@pytest.mark.parametrize("method", [b"GET", b"POST"])
@pytest.mark.parametrize("replayable", [True, False])
@pytest.mark.parametrize("reused", [True, False])
@pytest.mark.parametrize("answered", [True, False])
def test_only_a_reused_connection_without_an_answer_is_tried_again(
    method: bytes, replayable: bool, reused: bool, answered: bool
) -> None:
    expected = method == b"GET" and replayable and reused and not answered

    assert may_resend(method, replayable=replayable, reused=reused, answered=answered) is expected


@pytest.mark.parametrize("attempt", range(1, 50))
@pytest.mark.parametrize("jitter", [0.0, 0.5, 1.0])
def test_backoff_is_between_one_and_thirty_seconds(attempt: int, jitter: float) -> None:
    assert 1 <= backoff(attempt, jitter) <= 30


def test_backoff_doubles_and_half_of_it_is_chance() -> None:
    assert [backoff(n, 0.0) for n in range(1, 7)] == [1, 2, 4, 8, 15, 15]
    assert [backoff(n, 1.0) for n in range(1, 7)] == [2, 4, 8, 16, 30, 30]


def test_retry_after_lengthens_the_wait_and_never_beyond_the_longest() -> None:
    assert backoff(1, 0.0, 12.0) == 12
    assert backoff(5, 0.0, 12.0) == 15
    assert backoff(1, 0.0, 86400.0) == 30
