"""API keys: which configured caller is calling.

The key is taken from wherever a legacy tool can put one: `Authorization` as Bearer or as Basic's
password, `X-SmartToken`, `X-API-Key`, `X-SRProxy-Key`; never from the query, which ends up in logs.
Two of them at once are refused: one of the two would be forwarded or logged as somebody else's.
"""

import binascii
import hmac
from collections.abc import Mapping, Sequence
from hashlib import sha256

from proxy.config import ApiKeyConfig
from proxy.errors import Problem

KEY_HEADERS = (b"x-smarttoken", b"x-api-key", b"x-srproxy-key")
# A line each: Chromium asks for no password where two challenges share one.
CHALLENGES = (
    ("WWW-Authenticate", 'Basic realm="smartrecruiters-proxy"'),
    ("WWW-Authenticate", "Bearer"),
)


def _refused(detail: str) -> Problem:
    return Problem("unauthorized", detail, headers=CHALLENGES)


def _from_authorization(value: bytes) -> bytes | None:
    """Return the key that an Authorization header carries; None for a scheme of another kind."""
    scheme, _, credentials = value.partition(b" ")
    scheme = scheme.lower()
    if scheme == b"bearer":
        return credentials.strip()
    if scheme == b"basic":
        try:
            pair = binascii.a2b_base64(credentials.strip(), strict_mode=True)
        except ValueError:
            return b""
        return pair.partition(b":")[2]
    return None


class Keys:
    """The configured keys, compared in constant time and all of them each time."""

    def __init__(self, keys: Sequence[ApiKeyConfig]) -> None:
        # Digests, so that not even the length of a key shows in the time that a comparison takes.
        self._keys = [
            (sha256(key.key.reveal().encode()).digest(), number)
            for number, key in enumerate(keys)
            if key.key is not None  # a certificate's subject stands in its place
        ]

    def __bool__(self) -> bool:
        return bool(self._keys)

    def identify(self, fields: Mapping[bytes, bytes]) -> tuple[int, bytes]:
        """Return the number of the caller's key and the header that carried it, or refuse."""
        sent: list[tuple[bytes, bytes]] = []
        authorization = fields.get(b"authorization")
        if authorization is not None:
            key = _from_authorization(authorization)
            if key is not None:
                sent.append((key, b"authorization"))
        sent.extend((fields[name], name) for name in KEY_HEADERS if name in fields)
        if not sent:
            raise _refused(
                "This proxy asks for an API key (access.api_keys). Send yours as a bearer token, "
                "as a Basic password, or in X-API-Key, X-SmartToken or X-SRProxy-Key."
            )
        if len(sent) > 1:
            raise _refused(
                "More than one header carries an API key. Send exactly one of Authorization, "
                "X-API-Key, X-SmartToken and X-SRProxy-Key."
            )
        key, header = sent[0]
        digest = sha256(key).digest()
        found = -1
        for known, number in self._keys:
            if hmac.compare_digest(known, digest):
                found = number
        if found < 0:
            raise _refused("The API key is none of those in access.api_keys.")
        return found, header
