"""API keys: which configured caller is calling.

The key is taken from wherever a legacy tool can put one: `Authorization` as Bearer or as Basic's
password, `X-SmartToken`, `X-API-Key`, `X-SRProxy-Key`; never from the query, which ends up in logs.
A tool may send a token of its own besides: exactly one of the headers must hold a valid key, and
none of them is forwarded. A certificate's subject stands in place of a key.
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


class WrongKey(Problem):
    """A key was sent, and it is none of those configured."""


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

    def __init__(self, callers: Sequence[ApiKeyConfig]) -> None:
        self._callers = callers
        # Digests, so that not even the length of a key shows in the time that a comparison takes.
        self._keys = [
            (sha256(caller.key.reveal().encode()).digest(), number)
            for number, caller in enumerate(callers)
            if caller.key is not None
        ]
        self._subjects = {
            caller.subject: number
            for number, caller in enumerate(callers)
            if caller.subject is not None
        }

    def __bool__(self) -> bool:
        return bool(self._callers)

    def name(self, number: int) -> str:
        """Return the name of a caller."""
        return self._callers[number].name

    def key(self, number: int) -> str:
        """Return the key of a caller, for the caller itself."""
        key = self._callers[number].key
        return key.reveal() if key is not None else ""

    def find(self, key: bytes) -> int | None:
        """Return the number of a key, if it is one of those configured."""
        digest = sha256(key).digest()
        found = None
        for known, number in self._keys:
            if hmac.compare_digest(known, digest):
                found = number
        return found

    def sent(self, fields: Mapping[bytes, bytes], *, basic: bool = True) -> list[int]:
        """Return the numbers of the valid keys in a request's headers, one for each header."""
        found = [self.find(key) for key in self._candidates(fields, basic=basic)]
        return [number for number in found if number is not None]

    def identify(self, fields: Mapping[bytes, bytes], subjects: Sequence[str] = ()) -> int:
        """Return the number of the caller, by its key or its certificate's subject, or refuse."""
        valid = self.sent(fields)
        if len(valid) == 1:
            return valid[0]
        if len(valid) > 1:
            raise Problem(
                "unauthorized",
                "More than one header carries a valid API key. Send it in exactly one of "
                "Authorization, X-API-Key, X-SmartToken and X-SRProxy-Key.",
                headers=CHALLENGES,
            )
        for subject in subjects:
            if subject in self._subjects:
                return self._subjects[subject]
        if not self._candidates(fields, basic=True):
            raise Problem(
                "unauthorized",
                "This proxy asks for an API key (access.api_keys). Send yours as a bearer token, "
                "as a Basic password, or in X-API-Key, X-SmartToken or X-SRProxy-Key.",
                headers=CHALLENGES,
            )
        raise WrongKey(
            "unauthorized", "The API key is none of those in access.api_keys.", headers=CHALLENGES
        )

    @staticmethod
    def _candidates(fields: Mapping[bytes, bytes], *, basic: bool) -> list[bytes]:
        keys = [fields[name] for name in KEY_HEADERS if name in fields]
        authorization = fields.get(b"authorization")
        if authorization is not None and (basic or authorization[:6].lower() != b"basic "):
            key = _from_authorization(authorization)
            if key is not None:
                keys.append(key)
        return keys
