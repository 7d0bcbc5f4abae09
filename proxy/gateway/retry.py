"""May a request be sent again? Pure functions: rules 8 and 9 of requests in docs/behaviour.md."""

from typing import Final

# RFC 9110 section 9.2.2. TRACE never gets this far; other methods may do anything twice.
IDEMPOTENT: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"})


def is_idempotent(method: bytes) -> bool:
    """Return whether sending a request twice means what sending it once does."""
    return method == b"GET" or method in IDEMPOTENT


def may_resend(method: bytes, *, replayable: bool, reused: bool, answered: bool) -> bool:
    """Decide after a connection was lost with a request on it.

    Only where losing it is what idle connections do: a reused one, before any byte of the answer.
    A POST or PATCH may have been acted on, and nobody can know.
    """
    return reused and not answered and replayable and is_idempotent(method)
