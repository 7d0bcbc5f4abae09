"""Changes of a grant's record, each made under the lease."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from proxy.errors import GrantEnded, Problem
from proxy.grant.bound import OTHER_APP
from proxy.grant.lifecycle import instant
from proxy.grant.oauth import TokenSet
from proxy.grant.stores.base import Lease
from proxy.grant.stores.record import Ended, Intent, LastRefresh, Record

# Called before new tokens replace a grant: returns their owner, raises to refuse.
Admit = Callable[[TokenSet], Awaitable[str | None]]

SUCCEEDED = "succeeded"


def presented_before(outcome: str) -> Problem:
    """Build the answer to a code that was presented before: how that login came out."""
    if outcome == SUCCEEDED:
        what = "the login succeeded then"
    elif outcome:
        what = f"the login did not succeed then: {outcome.rstrip('.')}"
    else:
        what = "how the login came out is not known; the status page shows what is here now"
    return Problem(
        "bad_request",
        f"This address was opened before, and {what}. Nothing was sent again. If a login is "
        "needed, begin a new one.",
        status=409,
        reason="already_taken",
    )


async def log_in(
    lease: Lease, account: str, fresh: TokenSet, known: int, subject: str | None
) -> Record:
    """Store the tokens of a login as the next generation."""
    before = await lease.load()
    record = Record(
        account=account,
        generation=max(before.generation if before else 0, known) + 1,
        tokens=fresh,
        subject=subject,
        granted_at=fresh.issued_at,
    )
    await lease.save(record)
    return record


async def set_subject(lease: Lease, subject: str) -> Record | None:
    """Store whose grant it is; None where that is stored already, or there is no grant."""
    record = await lease.load()
    if record is None or record.tokens is None or record.subject is not None:
        return None
    record = replace(record, subject=subject)
    await lease.save(record)
    return record


async def expire(lease: Lease, generation: int, now: float) -> Record | None:
    """Store that a dead grant's access token has ended, since the upstream refuses it."""
    record = await lease.load()
    if record is None or record.generation != generation:
        return None
    if record.tokens is None or record.ended is None or record.tokens.expires_at <= now:
        return None
    record = replace(record, tokens=replace(record.tokens, expires_at=now))
    await lease.save(record)
    return record


async def tell_interrupted(lease: Lease, record: Record, intent: Intent) -> Record:
    """Store that the process that wrote an intent is gone."""
    detail = (
        f"A refresh begun at {instant(intent.at)} was cut off; the access token is used to its end."
    )
    last = LastRefresh(intent.at, "unknown", "interrupted", detail)
    record = replace(record, last_refresh=last)
    await lease.save(record)
    return record


async def retire(
    lease: Lease, ended: Ended, known: int, deliver: Callable[[Record], None] | None
) -> tuple[Record, str] | None:
    """Set the record aside and store why; return the new record and where the old one is kept.

    None where there is no grant. `known` is the generation in memory; this is the next one, so that
    a store that comes back older, after a fail-over, does not bring the grant back.

    `deliver` hands the grant over first: without one to hand over, GrantEnded. Problem where the
    grant is another app's.
    """
    record = await lease.load()
    if record is None or record.tokens is None:
        was = record.ended if record else None
        if was is not None and was.reason == OTHER_APP:
            raise Problem("login_required", was.detail, reason=was.reason)
        if deliver is not None:
            raise GrantEnded(
                was.reason if was else "never_authorized",
                was.detail if was else "There is no grant here.",
            )
        return None
    if deliver is not None:
        await asyncio.to_thread(deliver, record)
    aside = await lease.set_aside(record)
    gone = Record(
        account=record.account,
        generation=max(record.generation, known) + 1,
        tokens=None,
        last_refresh=record.last_refresh,
        ended=ended,
    )
    await lease.save(gone)
    return gone, aside
