"""SmartRecruiters' documented limits: requests per second and at once, per credential.

Ten a second per endpoint, two for publishing a job and for an offer's document; eight at once; one
at once for `GET /candidates`. Every answer says how much is left. Neither the body of a 429 nor
Retry-After is documented, so no Retry-After is sent.
"""

import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

PER_SECOND = 10
PER_SECOND_BY_ENDPOINT = {
    "POST /jobs/{jobId}/publication": 2,
    "DELETE /jobs/{jobId}/publication": 2,
    "GET /offers/{offerId}/documents/{documentId}": 2,
}
AT_ONCE = 8
AT_ONCE_BY_ENDPOINT = {"GET /candidates": 1}


@dataclass(slots=True)
class Slot:
    """One request's place within the limits; `admitted` is false beyond them."""

    admitted: bool
    headers: dict[str, str]


@dataclass(slots=True)
class _Use:
    recent: dict[str, deque[float]] = field(default_factory=lambda: defaultdict(deque))
    at_once: int = 0
    at_once_by_endpoint: dict[str, int] = field(default_factory=lambda: defaultdict(int))


class Throttle:
    """Counts per credential; when not `enforced` it counts and refuses nothing."""

    def __init__(
        self, *, enforced: bool = True, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._enforced = enforced
        self._monotonic = monotonic
        self._uses: dict[object, _Use] = defaultdict(_Use)

    def enter(self, credential: object, endpoint: str) -> Slot:
        """Take a place; an admitted one must be given back by `leave`."""
        use = self._uses[credential]
        recent = use.recent[endpoint]
        now = self._monotonic()
        while recent and recent[0] <= now - 1:
            recent.popleft()
        rate = PER_SECOND_BY_ENDPOINT.get(endpoint, PER_SECOND)
        limit = AT_ONCE_BY_ENDPOINT.get(endpoint)
        busy = use.at_once if limit is None else use.at_once_by_endpoint[endpoint]
        within = len(recent) < rate and use.at_once < AT_ONCE and busy < (limit or AT_ONCE)
        admitted = within or not self._enforced
        if admitted:
            recent.append(now)
            use.at_once += 1
            use.at_once_by_endpoint[endpoint] += 1
            busy += 1
        return Slot(admitted, _headers(rate, len(recent), limit or AT_ONCE, busy))

    def leave(self, credential: object, endpoint: str) -> None:
        """Give the place back once the answer is made."""
        use = self._uses[credential]
        use.at_once -= 1
        use.at_once_by_endpoint[endpoint] -= 1


def unused_headers() -> dict[str, str]:
    """Return the headers of an answer that no credential's limits apply to."""
    return _headers(PER_SECOND, 0, AT_ONCE, 0)


def _headers(rate: int, used: int, at_once_limit: int, at_once: int) -> dict[str, str]:
    return {
        "X-RateLimit-Limit": str(rate),
        "X-RateLimit-Remaining": str(max(0, rate - used)),
        "X-RateLimit-Concurrent-Limit": str(at_once_limit),
        "X-RateLimit-Concurrent-Remaining": str(max(0, at_once_limit - at_once)),
    }
