"""Records encrypted at rest: AES-256-GCM under a key stretched from a passphrase by scrypt.

The account and the record's version are bound in as associated data, so that no record passes for
another's. A record in the clear is refused where a key is set, and the other way round: which of
the two a person meant cannot be guessed. The derived key stays in this process's memory, per salt.
"""

import base64
import json
import secrets
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from proxy.grant.stores.record import (
    FORMAT,
    VERSION,
    PlainCodec,
    Record,
    RecordError,
    WrongKeyError,
    open_grant,
    parse_envelope,
    to_envelope,
)
from proxy.system.secret import Secret

# 32 MiB and some 60 ms, once a process (OWASP's minimum is 2**17 with r=8 for passwords that people
# choose and many may try; this key is in a file of the same machine).
COST = 2**15
BLOCK = 8
# A record states its own cost; a higher one could exhaust our memory.
MOST_COST = 2**17
SALT_SIZE = 16
NONCE_SIZE = 12


class EncryptingCodec:
    """Seals records under the first key, and reads those under any of the keys.

    To change a key, configure [new, old]: the next save of each record puts it under the new one.
    """

    def __init__(self, *keys: Secret, cost: int = COST) -> None:
        self._secrets = keys
        self._cost = cost
        self._keys: dict[tuple[int, bytes, int], AESGCM] = {}
        self._salt: tuple[bytes, int] | None = None

    def seal(self, record: Record) -> bytes:
        """Return the record encrypted, under the salt that was last seen."""
        salt, cost = self._salt or (secrets.token_bytes(SALT_SIZE), self._cost)
        self._salt = salt, cost
        nonce = secrets.token_bytes(NONCE_SIZE)
        text = json.dumps(to_envelope(record)).encode()
        data = self._key(0, salt, cost).encrypt(nonce, text, _associated(VERSION, record.account))
        envelope = {
            "format": FORMAT,
            "version": VERSION,
            "encrypted": {
                "cipher": "AES-256-GCM",
                "kdf": "scrypt",
                "cost": cost,
                "salt": _encode(salt),
                "nonce": _encode(nonce),
                "data": _encode(data),
            },
        }
        return json.dumps(envelope, indent=1).encode() + b"\n"

    def unseal(self, account: str, data: bytes) -> Record:
        """Decrypt and read a record."""
        envelope = parse_envelope(data)
        if "encrypted" not in envelope:
            # Read it first, so that a damaged record is reported as such.
            PlainCodec().unseal(account, data)
            raise RecordError(
                "is not encrypted, although tokens.encryption_key is set",
                "unset the key; or move the record away and log in again, which encrypts it",
            )
        salt, cost, nonce, sealed = _parts(envelope["encrypted"])
        about = _associated(envelope["version"], account)
        for number in range(len(self._secrets)):
            try:
                text = self._key(number, salt, cost).decrypt(nonce, sealed, about)
            except InvalidTag:
                continue
            self._salt = salt, cost
            return open_grant(account, parse_envelope(text))
        raise WrongKeyError(
            "cannot be decrypted: the key is another one, or the record is damaged",
            "add the key it was written with to tokens.encryption_keys, after the new one; or move "
            "the record away and log in again",
        )

    def _key(self, number: int, salt: bytes, cost: int) -> AESGCM:
        key = self._keys.get((number, salt, cost))
        if key is None:
            stretched = Scrypt(salt=salt, length=32, n=cost, r=BLOCK, p=1).derive(
                self._secrets[number].reveal().encode()
            )
            key = self._keys[number, salt, cost] = AESGCM(stretched)
        return key


def _associated(version: int, account: str) -> bytes:
    return f"{FORMAT}\0{version}\0{account}".encode()


def _parts(sealed: Any) -> tuple[bytes, int, bytes, bytes]:
    damaged = RecordError("is damaged (its encrypted part)", "move it away and log in again")
    try:
        salt, nonce, data = (_decode(sealed[name]) for name in ("salt", "nonce", "data"))
        cost = sealed["cost"]
    except (KeyError, TypeError, ValueError):
        raise damaged from None
    is_power = isinstance(cost, int) and cost > 1 and cost & (cost - 1) == 0
    if not is_power or cost > MOST_COST or len(nonce) != NONCE_SIZE or len(salt) != SALT_SIZE:
        raise damaged
    return salt, cost, nonce, data


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode(text: Any) -> bytes:
    return base64.b64decode(text, validate=True)
