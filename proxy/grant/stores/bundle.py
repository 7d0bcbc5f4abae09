"""A grant on its way to another machine: one record, encrypted under a passphrase.

Whoever has the bundle and the passphrase has the grant, so there must be one copy at a time: export
retires the record it was made from, import spends the token at once.
"""

from proxy.grant.stores.record import MAX_RECORD, Record, RecordError
from proxy.system.secret import Secret


def seal_bundle(record: Record, passphrase: Secret) -> bytes:
    """Encrypt a record; takes some 0.3 s and 128 MiB, on purpose."""
    # Late, here and below: the server, which moves nothing, is to be spared its 8 MiB.
    from proxy.grant.stores.encryption import MOST_COST, EncryptingCodec

    return EncryptingCodec(passphrase, cost=MOST_COST).seal(record)


def open_bundle(account: str, data: bytes, passphrase: Secret) -> Record:
    """Decrypt a bundle; RecordError says what is wrong with it."""
    from proxy.grant.stores.encryption import EncryptingCodec

    if len(data) > MAX_RECORD:
        raise RecordError("is far too large for a bundle", "take the file that export wrote")
    try:
        record = EncryptingCodec(passphrase).unseal(account, data)
    except RecordError as error:
        if "decrypted" in error.what:
            raise RecordError(
                "cannot be decrypted: the passphrase is another one, or the bundle is damaged",
                "type the passphrase that export was given",
            ) from None
        remedy = "take the file that export wrote"
        raise RecordError(
            error.what.replace("tokens.encryption_key", "a passphrase"), remedy
        ) from None
    if record.tokens is None:
        raise RecordError("holds no grant", "export it again where the grant is")
    return record
