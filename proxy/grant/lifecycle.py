"""The rules of the grant, without I/O: whether to spend the refresh token, and why a grant ended.

    lease → reload → [next_step] → "about to spend generation N", durably → spend → new pair,
    durably → only then use it → release

`next_step` is asked under the lease, about the record as it was just reloaded. An intent found
there was left by a process that is gone, so it is unknown whether the token was spent: it is
presented again only when the access token has ended (rule 4 of the grant).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from proxy.grant.backoff import backoff
from proxy.grant.oauth import TokenSet
from proxy.grant.stores.record import Intent, LastRefresh, Record

DAY = 86400.0
WARN_DAYS = (1, 3, 7)
# At most one forced refresh in this time: a path that always answers 401 must not spend tokens.
FORCED_INTERVAL = 60.0
# After so many complete refusals, once the access token has ended, a person is needed (rule 10
# of the grant).
MOST_REFUSALS = 3


class Why(StrEnum):
    """What a refresh is for."""

    AHEAD = "ahead"  # traffic, and little is left
    EXPIRED = "expired"  # a request waits, or an earlier failure is to be made good
    IDLE = "idle"  # the refresh token is growing old
    FORCED = "forced"  # the upstream answered 401
    RESOLVE = "resolve"  # a refresh was cut off by the end of its process
    # Somebody asks for a token that lives longer: nothing but the last rule is about it.
    WANTED = "wanted"


class Step(StrEnum):
    """What to do with the record as reloaded; USE and ENDED say why nothing is to be done."""

    USE = "use"  # its access token will do
    SPEND = "spend"
    WAIT = "wait"
    ENDED = "ended"  # there is no refresh token to spend


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rules look at, beside the record."""

    why: Why
    usable: bool  # the access token is valid
    newer: bool  # than the one that the refresh was asked for
    ahead: bool = False  # little of it is left
    idle: bool = False  # the refresh token is older than tokens.idle_refresh
    forced_lately: bool = False
    backing_off: bool = False


# The first rule that applies decides.
RULES: tuple[tuple[Callable[[Record, Facts], bool], Step], ...] = (
    (lambda record, _: record.tokens is None or record.ended is not None, Step.ENDED),
    (lambda _, facts: facts.newer and facts.usable and facts.why is not Why.IDLE, Step.USE),
    (lambda record, facts: record.intent is not None and facts.usable, Step.WAIT),
    (lambda _, facts: facts.backing_off, Step.WAIT),
    (lambda _, facts: facts.why is Why.FORCED and facts.forced_lately, Step.USE),
    (lambda _, facts: facts.why is Why.FORCED, Step.SPEND),
    (lambda _, facts: facts.why is Why.AHEAD and facts.usable and not facts.ahead, Step.USE),
    (lambda _, facts: facts.why is Why.IDLE and not facts.idle, Step.USE),
    (lambda _, facts: facts.why in (Why.EXPIRED, Why.RESOLVE) and facts.usable, Step.USE),
    (lambda _, __: True, Step.SPEND),
)  # fmt: skip


def next_step(record: Record, facts: Facts) -> Step:
    """Decide about the record as reloaded under the lease."""
    return next(step for applies, step in RULES if applies(record, facts))


def has_failed(record: Record) -> bool:
    """Tell whether the last attempt to refresh did not succeed."""
    return record.last_refresh is not None and record.last_refresh.outcome != "ok"


def is_refused(record: Record) -> bool:
    """Tell whether complete answers have refused the refresh so often that a person is needed."""
    last = record.last_refresh
    return last is not None and last.outcome != "ok" and last.refusals >= MOST_REFUSALS


def counts(last: LastRefresh | None, mark: str | None) -> bool:
    """Tell whether a failed attempt counts for the next one: not if the settings have changed."""
    if last is None or last.outcome == "ok" or not last.attempts:
        return False
    return last.tried_with is None or last.tried_with == mark


def is_backing_off(last: LastRefresh | None, mark: str | None, now: float) -> bool:
    """Tell whether any process failed so recently that it is too early for another attempt.

    A failure in the future does not count: the clock was set back.
    """
    if last is None or not counts(last, mark):
        return False
    # The shortest wait (no jitter), less 10 % for differences between clocks.
    return 0 <= now - last.at < 0.9 * backoff(last.attempts, 0.0)


def was_forced_lately(record: Record, now: float) -> bool:
    """Tell whether any process forced a refresh within the interval."""
    return record.forced_at is not None and 0 <= now - record.forced_at < FORCED_INTERVAL


def warning_days(expires_at: float, now: float) -> int | None:
    """Return the nearest warning that a refresh token's end has come to: 1, 3, 7 days, or None."""
    return next((days for days in WARN_DAYS if expires_at - now <= days * DAY), None)


def instant(seconds: float) -> str:
    """Format seconds since the epoch as the status does; the last second of 9999 beyond it."""
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        moment = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def ended_reason(refresh_expires_at: float, now: float) -> str:
    """Name the reason of an `invalid_grant`."""
    return "grant_expired" if now >= refresh_expires_at else "grant_revoked"


def ended_detail(tokens: TokenSet, earlier: Intent | None, now: float, code: str) -> str:
    """Say why a grant is dead, as far as it can be known.

    `earlier` is the intent of an attempt before this one whose answer never reached the store.
    """
    if code == "no_refresh_token":
        return "The grant came without a refresh token, so it ended with its access token."
    if earlier is not None:
        return (
            f"A refresh begun at {instant(earlier.at)} was cut off before its answer was stored, "
            "and SmartRecruiters does not accept the earlier token any more: the rotation was lost "
            "then. Log in again."
        )
    if now >= tokens.refresh_expires_at:
        return (
            f"The refresh token is from {instant(tokens.refresh_issued_at)}: 28 days went by "
            "without a refresh. Log in again, and let the proxy run."
        )
    return (
        "SmartRecruiters refused the refresh token though this store never spent it: another copy "
        "of this grant is in use (an export, a backup, a second installation), or the user who "
        "granted it was deleted. Keep one copy only, and log in again."
    )
