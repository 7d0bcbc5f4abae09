"""May a request be sent again? Pure functions: rules 8 and 9 of requests in docs/behaviour.md."""

from typing import Final

# Methods by which sending a request twice means what sending it once does (RFC 9110 section 9.2.2).
# TRACE never gets this far; other methods may do anything twice.
IDEMPOTENT: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"})


def may_resend(method: bytes, *, replayable: bool, reused: bool, answered: bool) -> bool:
    """Decide after a connection was lost with a request on it.

    Only where losing it is what idle connections do: a reused one, before any byte of the answer.
    A POST or PATCH may have been acted on, and nobody can know.
    """
    return reused and not answered and replayable and method in IDEMPOTENT
