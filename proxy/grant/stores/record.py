"""The record of one account's grant, and its form as bytes.

A record that cannot be read is an error that says why, never an empty one. The bytes carry a format
name, a version and a check sum, so that what is truncated, damaged or from a newer program is told
apart. Tokens are in it in the clear: encryption is another codec's part.
"""

import hashlib
import json
from dataclasses import dataclass, fields
from typing import Any, Protocol

from proxy.grant.oauth import TokenSet
from proxy.system.secret import Secret

FORMAT = "smartrecruiters-proxy grant"
VERSION = 2
# A record takes some 2 KB; anything larger than this is not one.
MAX_RECORD = 1024 * 1024


class RecordError(Exception):
    """The bytes are no record that this program can read: what is wrong, and the remedy."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}; {remedy}")
        self.what = what
        self.remedy = remedy


class NewerRecordError(RecordError):
    """A newer version of the program wrote it."""


class WrongKeyError(RecordError):
    """None of the keys at hand decrypts it."""


@dataclass(frozen=True, slots=True)
class Binding:
    """The app and servers that a grant was given for; it is used with no others."""

    client_id: str
    token_endpoint: str
    # Scheme and authority of upstream.url.
    upstream: str


@dataclass(frozen=True, slots=True)
class Intent:
    """The durable "about to spend generation N": without a result, its fate is unknown."""

    generation: int
    at: float


@dataclass(frozen=True, slots=True)
class LastRefresh:
    """How the last attempt to refresh ended: `ok`, `failed` (not spent) or `unknown`."""

    at: float
    outcome: str
    code: str | None = None
    detail: str | None = None
    # Failed attempts in a row, which set the back-off of whoever tries next.
    attempts: int = 0
    # Of these, complete answers that refused the request itself.
    refusals: int = 0
    # A mark of the app's settings that it was tried with: with others it is tried at once.
    tried_with: str | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """Why there is no grant: `logged_out`, `grant_revoked`, `grant_expired` or `other_app`."""

    reason: str
    at: float
    detail: str


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """Everything that is kept of one account; replaced as a whole, never changed in place."""

    account: str
    generation: int
    tokens: TokenSet | None
    intent: Intent | None = None
    last_refresh: LastRefresh | None = None
    ended: Ended | None = None
    # When the last refresh was forced by a 401 of the upstream's.
    forced_at: float | None = None
    # Whose grant it is, where known, in words for people.
    subject: str | None = None
    # When somebody logged in for it; None in a record that an earlier version began.
    granted_at: float | None = None
    # None in a record of version 1, until it is refreshed.
    bound: Binding | None = None


class Codec(Protocol):
    """How a record becomes the bytes that a store keeps. May take a while: called in a thread."""

    def seal(self, record: Record) -> bytes:
        """Return the record as bytes."""
        ...

    def unseal(self, account: str, data: bytes) -> Record:
        """Return the record of that account; RecordError if the bytes are none."""
        ...


class PlainCodec:
    """Records as JSON text."""

    def seal(self, record: Record) -> bytes:
        """Return the record as JSON."""
        return json.dumps(to_envelope(record), indent=1).encode() + b"\n"

    def unseal(self, account: str, data: bytes) -> Record:
        """Read JSON; refuses what is encrypted, for its key is not configured."""
        envelope = parse_envelope(data)
        if "encrypted" in envelope:
            raise RecordError(
                "is encrypted, and no key is configured",
                "set tokens.encryption_key to the key it was written with",
            )
        return open_grant(account, envelope)


def parse_envelope(data: bytes) -> dict[str, Any]:
    """Read the outer object, its format and version."""
    if not data.strip():
        raise RecordError("is empty", _MOVE_AWAY)
    try:
        envelope = json.loads(data)
    except (ValueError, RecursionError):
        raise RecordError("is damaged or cut short (not JSON)", _MOVE_AWAY) from None
    if not isinstance(envelope, dict) or envelope.get("format") != FORMAT:
        raise RecordError("is not a record of this program", _MOVE_AWAY)
    version = envelope.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise RecordError("has no version", _MOVE_AWAY)
    if version > VERSION:
        raise _newer(f"record version {version}, known: {VERSION}")
    return envelope


def _newer(how: str) -> NewerRecordError:
    # What is ignored now would be lost at the next write.
    return NewerRecordError(
        f"was written by a newer version of the program ({how})", "run that version again, or newer"
    )


def open_grant(account: str, envelope: dict[str, Any]) -> Record:
    """Read the grant inside an envelope in the clear."""
    grant = envelope.get("grant")
    if not isinstance(grant, dict) or envelope.get("check") != _check(grant):
        raise RecordError("is damaged (its check sum does not match)", _MOVE_AWAY)
    # `previous`: in records of version 1, and not needed.
    unknown = grant.keys() - {field.name for field in fields(Record)} - {"previous"}
    if unknown:
        raise _newer(f"it has {min(unknown)!r}")
    record = from_json(grant)
    if record.account != account:
        raise RecordError(f"belongs to another account ({record.account!r})", _MOVE_AWAY)
    return record


_MOVE_AWAY = "move it away and log in again"


def _check(grant: dict[str, Any]) -> str:
    text = json.dumps(grant, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def to_envelope(record: Record) -> dict[str, Any]:
    """Return a record in the clear with its format, version and check sum."""
    grant = to_json(record)
    return {"format": FORMAT, "version": VERSION, "check": _check(grant), "grant": grant}


def to_json(record: Record) -> dict[str, Any]:
    """Return a record as plain values, secrets revealed."""
    return {field.name: _plain(getattr(record, field.name)) for field in fields(record)}


def _plain(value: Any) -> Any:
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, (TokenSet, Intent, LastRefresh, Ended, Binding)):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return value


def from_json(grant: dict[str, Any]) -> Record:
    """Return the record that plain values stand for; RecordError if they stand for none."""
    try:
        return Record(
            account=_text(grant["account"]),
            generation=_whole(grant["generation"]),
            tokens=_tokens(grant["tokens"]),
            intent=_intent(grant["intent"]),
            last_refresh=_last_refresh(grant["last_refresh"]),
            ended=_ended(grant["ended"]),
            forced_at=_optional_number(grant["forced_at"]),
            subject=_optional_text(grant["subject"]),
            granted_at=_optional_number(grant.get("granted_at")),
            bound=_binding(grant.get("bound")),
        )
    except (KeyError, TypeError, ValueError) as error:
        name = error.args[0] if isinstance(error, KeyError) else type(error).__name__
        raise RecordError(f"is damaged ({name})", _MOVE_AWAY) from None


def _tokens(value: Any) -> TokenSet | None:
    if value is None:
        return None
    refresh_token = _optional_text(value["refresh_token"])
    return TokenSet(
        access_token=Secret(_text(value["access_token"])),
        refresh_token=Secret(refresh_token) if refresh_token is not None else None,
        issued_at=_number(value["issued_at"]),
        expires_at=_number(value["expires_at"]),
        refresh_issued_at=_number(value["refresh_issued_at"]),
        refresh_expires_at=_number(value["refresh_expires_at"]),
        scopes=tuple(_text(scope) for scope in value["scopes"]),
    )


def _intent(value: Any) -> Intent | None:
    return value and Intent(_whole(value["generation"]), _number(value["at"]))


def _last_refresh(value: Any) -> LastRefresh | None:
    return value and LastRefresh(
        at=_number(value["at"]),
        outcome=_text(value["outcome"]),
        code=_optional_text(value["code"]),
        detail=_optional_text(value["detail"]),
        attempts=_whole(value["attempts"]),
        refusals=_whole(value.get("refusals", 0)),
        tried_with=_optional_text(value.get("tried_with")),
    )


def _ended(value: Any) -> Ended | None:
    return value and Ended(_text(value["reason"]), _number(value["at"]), _text(value["detail"]))


def _binding(value: Any) -> Binding | None:
    return value and Binding(
        _text(value["client_id"]), _text(value["token_endpoint"]), _text(value["upstream"])
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _optional_text(value: Any) -> str | None:
    return None if value is None else _text(value)


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    return value


def _number(value: Any) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError
    return float(value)


def _optional_number(value: Any) -> float | None:
    return None if value is None else _number(value)
