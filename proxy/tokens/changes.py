"""What a person does to a grant, as changes of its record under the lease: log in, name, retire."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from proxy.errors import GrantEnded
from proxy.oauth import TokenSet
from proxy.stores.base import Lease
from proxy.stores.record import Ended, Record


async def log_in(lease: Lease, account: str, fresh: TokenSet, known: int) -> Record:
    """Store the tokens of a login as the next generation; whose they are is not known yet."""
    before = await lease.load()
    record = Record(
        account=account,
        generation=max(before.generation if before else 0, known) + 1,
        tokens=fresh,
        previous=before.tokens if before else None,
        granted_at=fresh.issued_at,
    )
    await lease.save(record)
    return record


async def name(lease: Lease, subject: str) -> Record | None:
    """Store whose grant it is; None where nothing changes."""
    record = await lease.load()
    if record is None or record.tokens is None or record.subject == subject:
        return None
    record = replace(record, subject=subject)
    await lease.save(record)
    return record


async def retire(
    lease: Lease, ended: Ended, deliver: Callable[[Record], None] | None
) -> Record | None:
    """Set the record aside and store why; None where there is no grant.

    `deliver` hands the grant over first: without one to hand over, GrantEnded.
    """
    record = await lease.load()
    if record is None or record.tokens is None:
        if deliver is not None:
            was = record.ended if record else None
            raise GrantEnded(
                was.reason if was else "never_authorized",
                was.detail if was else "There is no grant here.",
            )
        return None
    if deliver is not None:
        await asyncio.to_thread(deliver, record)
    await lease.set_aside(record)
    gone = Record(
        account=record.account,
        generation=record.generation,
        tokens=None,
        last_refresh=record.last_refresh,
        ended=ended,
    )
    await lease.save(gone)
    return gone
