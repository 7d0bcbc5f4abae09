"""A grant moves to another machine: out of one store, into another, never in both."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from proxy.errors import GrantEnded, StoreError, TokenEndpointError
from proxy.grant.lifecycle import Why
from proxy.grant.refresh import Refresh
from proxy.grant.stores.base import Lease
from proxy.grant.stores.bundle import open_bundle, seal_bundle
from proxy.grant.stores.record import Record, RecordError
from proxy.system.secret import Secret


def bundler(passphrase: Secret, deliver: Callable[[bytes], None]) -> Callable[[Record], None]:
    """Make what delivers a record as a bundle, before the record is retired. Blocking."""

    def hand_over(record: Record) -> None:
        if record.ended is not None:
            raise GrantEnded(record.ended.reason, record.ended.detail)
        deliver(seal_bundle(record, passphrase))

    return hand_over


async def unpack(account: str, data: bytes, passphrase: Secret) -> Record:
    """Open a bundle; StoreError says what is wrong with it."""
    try:
        return await asyncio.to_thread(open_bundle, account, data, passphrase)
    except RecordError as error:
        raise StoreError("the bundle", error.what, error.remedy) from None


async def move_in(
    lease: Lease, where: str, moved: Record, refresh: Refresh
) -> tuple[Record, TokenEndpointError | None]:
    """Store an unpacked record and spend its token at once, which proves that it is alive."""
    found = await lease.load()
    if found is not None and found.tokens is not None and found.ended is None:
        raise StoreError(where, "holds a grant already", "log out there first, then import again")
    generation = max(moved.generation, found.generation if found else 0)
    record = replace(moved, generation=generation, forced_at=None)
    await lease.save(record)
    return await refresh.spend(lease, record, Why.RESOLVE)
