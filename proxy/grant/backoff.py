"""How long to wait after a failed refresh: rule 5 of the grant."""

# Seconds; a passing failure backs off from 1 s to this.
LONGEST_BACKOFF = 30.0


def backoff(attempt: int, jitter: float, retry_after: float | None = None) -> float:
    """Return the seconds to wait after the failed attempt number `attempt`, counted from 1.

    The wait doubles each time, and its upper half is random (`jitter`, 0 to 1), so that processes
    that failed together do not try again together. A server's Retry-After (seconds) may lengthen it
    up to LONGEST_BACKOFF: a mistaken header must not keep a grant idle for a day.
    """
    ceiling = min(LONGEST_BACKOFF, 2.0 ** min(max(attempt, 1), 10))
    delay = ceiling / 2 * (1 + jitter)
    return min(LONGEST_BACKOFF, max(delay, retry_after or 0.0))
