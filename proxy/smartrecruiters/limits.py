"""SmartRecruiters' limits, as its documentation gives them, for each credential.

Ten requests a second for each operation, less for three of them; one at once for `GET /candidates`;
eight at once for everything together. How a second is counted (from when to when) is not
documented.
"""

from dataclasses import dataclass

PER_SECOND = 10
AT_ONCE_TOGETHER = 8

_PER_SECOND = {
    "POST /jobs/{jobId}/publication": 2,
    "DELETE /jobs/{jobId}/publication": 2,
    "GET /offers/{offerId}/documents/{documentId}": 2,
}
_AT_ONCE = {"GET /candidates": 1}


@dataclass(frozen=True, slots=True)
class OperationLimits:
    """The limits of one operation; `at_once` is None where only that of all together applies."""

    per_second: int
    at_once: int | None = None


def limits_of(name: str) -> OperationLimits:
    """Return the limits of an operation by its name; the general ones for `other`."""
    return OperationLimits(_PER_SECOND.get(name, PER_SECOND), _AT_ONCE.get(name))
