"""What answers say of the limits: numbers, Retry-After, and the wait where there is none."""

from collections.abc import Callable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

FIRST_WAIT = 1.0
LONGEST_WAIT = 30.0
DIGITS = 10


class Backoff:
    """The wait after a refusal that names none: 1 s, doubling to 30 s, with jitter."""

    def __init__(self, random: Callable[[], float]) -> None:
        """`random` returns 0 to 1, as random.random does."""
        self._random = random

    def after(self, refusals: int) -> float:
        """Return the seconds to wait after so many refusals before this one.

        Never shorter than the step itself: what is sent too early is refused again.
        """
        step = min(LONGEST_WAIT, FIRST_WAIT * float(1 << min(refusals, 10)))
        return step + self._random() * step / 4


def number(value: bytes | None) -> int | None:
    """Read a header that is a whole number; None where it is missing or something else."""
    if value is None or len(value) > DIGITS or not value.isdigit():
        return None
    return int(value)


def retry_after(fields: Mapping[bytes, bytes]) -> float | None:
    """Read Retry-After (RFC 9110 section 10.2.3) as seconds; a date is measured by Date."""
    value = fields.get(b"retry-after")
    if value is None:
        return None
    seconds = number(value.strip())
    if seconds is not None:
        return float(seconds)
    at, now = _date(value), _date(fields.get(b"date"))
    return max(0.0, at - now) if at is not None and now is not None else None


def _date(value: bytes | None) -> float | None:
    if value is None:
        return None
    try:
        parsed = parsedate_to_datetime(value.decode("latin-1"))
    except ValueError:
        return None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
