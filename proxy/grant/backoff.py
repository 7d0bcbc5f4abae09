"""How long to wait after a failed refresh: rule 5 of the grant (docs/behaviour.md), on values."""

# A passing failure backs off from 1 s to 30 s.
LONGEST_BACKOFF = 30.0


def backoff(attempt: int, jitter: float, retry_after: float | None = None) -> float:
    """Return the seconds to wait after the failed attempt number `attempt`, counted from 1.

    Twice as long each time, the upper half of it by chance (`jitter`, 0 to 1), so that processes
    that failed together do not come back together. A server's Retry-After may lengthen the wait,
    to the longest: a mistaken header must not keep a grant idle for a day.
    """
    ceiling = min(LONGEST_BACKOFF, 2.0 ** min(max(attempt, 1), 10))
    delay = ceiling / 2 * (1 + jitter)
    return min(LONGEST_BACKOFF, max(delay, retry_after or 0.0))
