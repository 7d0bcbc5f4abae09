"""May a request be sent again, and when? Rules 6 and 7 of forwarding, 5 of the grant, on values.

Nothing here knows a connection, a clock or chance; whoever asks says what happened.
"""

# Rules of the grant, 5: a passing failure backs off from 1 s to 30 s.
LONGEST_BACKOFF = 30.0

# RFC 9110 section 9.2.2. TRACE never gets this far; other methods may do anything twice.
IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"})


def is_idempotent(method: bytes) -> bool:
    """Tell whether sending a request twice means what sending it once does."""
    return method in IDEMPOTENT


def may_resend(method: bytes, *, replayable: bool, reused: bool, answered: bool) -> bool:
    """Decide after a connection was lost with a request on it (rule 7).

    Only where losing it is what idle connections do: a reused one, before any byte of the answer.
    A POST or PATCH may have been acted on, and nobody can know.
    """
    return reused and not answered and replayable and is_idempotent(method)


def backoff(attempt: int, jitter: float, retry_after: float | None = None) -> float:
    """Return the seconds to wait after the failed attempt number `attempt`, counted from 1.

    Twice as long each time, the upper half of it by chance (`jitter`, 0 to 1), so that processes
    that failed together do not come back together. A server's Retry-After may lengthen the wait,
    to the longest: a mistaken header must not keep a grant idle for a day.
    """
    ceiling = min(LONGEST_BACKOFF, 2.0 ** min(max(attempt, 1), 10))
    delay = ceiling / 2 * (1 + jitter)
    return min(LONGEST_BACKOFF, max(delay, retry_after or 0.0))
