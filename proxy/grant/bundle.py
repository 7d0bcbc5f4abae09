"""A grant on its way to another machine: one record, encrypted under a passphrase.

Whoever has the bundle and the passphrase has the grant, so there must be one copy at a time: export
retires the record that the bundle was made from, import spends the token at once.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from proxy.errors import GrantEnded, StoreError
from proxy.grant.refresh import Refresh
from proxy.grant.stores.base import Lease
from proxy.grant.stores.record import (
    MAX_RECORD,
    NewerRecordError,
    Record,
    RecordError,
    WrongKeyError,
)
from proxy.system.secret import Secret


def bundler(passphrase: Secret, deliver: Callable[[bytes], None]) -> Callable[[Record], None]:
    """Make the function that delivers a record as a bundle before it is retired. Blocking."""

    def hand_over(record: Record) -> None:
        if record.ended is not None:
            raise GrantEnded(record.ended.reason, record.ended.detail)
        deliver(seal_bundle(record, passphrase))

    return hand_over


def seal_bundle(record: Record, passphrase: Secret) -> bytes:
    """Encrypt a record; takes some 0.3 s and 128 MiB, to make guessing the passphrase slow."""
    # Imported late, here and below: it takes 8 MiB, and the server never needs it.
    from proxy.grant.stores.encryption import MOST_COST, EncryptingCodec

    return EncryptingCodec(passphrase, cost=MOST_COST).seal(record)


async def open_bundle(account: str, data: bytes, passphrase: Secret) -> Record:
    """Decrypt a bundle; StoreError says what is wrong with it."""
    try:
        return await asyncio.to_thread(_open, account, data, passphrase)
    except RecordError as error:
        raise StoreError("the bundle", error.what, error.remedy) from None


def _open(account: str, data: bytes, passphrase: Secret) -> Record:
    from proxy.grant.stores.encryption import EncryptingCodec

    if len(data) > MAX_RECORD:
        raise RecordError("is far too large for a bundle", "take the file that export wrote")
    try:
        record = EncryptingCodec(passphrase).unseal(account, data)
    except NewerRecordError:
        raise
    except WrongKeyError:
        raise RecordError(
            "cannot be decrypted: the passphrase is another one, or the bundle is damaged",
            "type the passphrase that export was given",
        ) from None
    except RecordError as error:
        raise RecordError(
            error.what.replace("tokens.encryption_key", "a passphrase"),
            "take the file that export wrote",
        ) from None
    if record.tokens is None:
        raise RecordError("holds no grant", "export it again where the grant is")
    return record


async def take_in(
    lease: Lease, where: str, bundled: Record, known: int, refresh: Refresh
) -> Record:
    """Spend a bundled record's token and store the new pair, which proves that the grant is alive.

    Nothing is written before that, so a refused bundle changes nothing; after an import that was
    cut off, the bundle is the only copy. `known` is the generation in memory. GrantEnded: the
    bundle is spent. TokenEndpointError: it could not be tried.
    """
    found = await lease.load()
    if found is not None and found.tokens is not None and found.ended is None:
        raise StoreError(where, "holds a grant already", "log out there first, then import again")
    generation = max(bundled.generation, found.generation if found else 0, known)
    return await refresh.take_over(
        lease, replace(bundled, generation=generation, forced_at=None, ended=None)
    )
