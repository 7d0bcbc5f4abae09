"""The answer to a tool that asks for a token itself (rule 4 of requests in docs/behaviour.md).

It gets a token of ours, never one of SmartRecruiters': with API keys the key that it sent as the
client's secret or as the refresh token, so that its next call is let in; else a placeholder that
means nothing. RFC 6749 sections 2.3.1, 5.1 and 5.2 say how.
"""

import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote_plus

from proxy.gateway.guards.keys import Keys

PLACEHOLDER = "srproxy-placeholder"
LIFETIME = 1799  # what SmartRecruiters' own endpoint says
NOT_STORED = ((b"Cache-Control", b"no-store"), (b"Pragma", b"no-cache"))
CHALLENGE = (b"WWW-Authenticate", b'Basic realm="smartrecruiters-proxy"')


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """The answer to a token request."""

    status: int
    members: Mapping[str, str | int]
    caller: str | None = None  # the key's name
    is_wrong: bool = False  # a key was sent, and is none

    @property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """Its headers, beside type and length."""
        return (*NOT_STORED, CHALLENGE) if self.status == 401 else NOT_STORED

    @property
    def body(self) -> bytes:
        """Its JSON."""
        return json.dumps(self.members).encode()


def _error(status: int, code: str, text: str, *, is_wrong: bool = False) -> TokenAnswer:
    members = {"error": code, "error_description": text}
    return TokenAnswer(status, members, is_wrong=is_wrong)


def answer_token_request(fields: Mapping[bytes, bytes], body: bytes, keys: Keys) -> TokenAnswer:
    """Answer a token request: its headers by name in lower case, and its whole body."""
    sent = _parameters(fields, body)
    if sent is None or "grant_type" not in sent:
        return _error(400, "invalid_request", "The body is a form or JSON with a grant_type.")
    token = PLACEHOLDER
    caller = None
    if keys:
        number = _key_of(fields, sent, keys)
        if number is None:
            return _error(
                401,
                "invalid_client",
                "Send one of the keys of access.api_keys as client_secret (or as refresh_token).",
                is_wrong=_brings_secret(fields, sent),
            )
        token, caller = keys.key(number), keys.name(number)
    members: dict[str, str | int] = {
        "token_type": "bearer",
        "access_token": token,
        "expires_in": LIFETIME,
        "refresh_token": token,
    }
    return TokenAnswer(200, members, caller)


def _brings_secret(fields: Mapping[bytes, bytes], sent: Mapping[str, str]) -> bool:
    return bool(
        sent.get("client_secret")
        or sent.get("refresh_token")
        or _basic(fields.get(b"authorization", b"")) is not None
    )


def _key_of(fields: Mapping[bytes, bytes], sent: Mapping[str, str], keys: Keys) -> int | None:
    """Return the number of the one key that everything agrees on."""
    numbers: set[int | None] = set()
    basic = _basic(fields.get(b"authorization", b""))
    if basic is not None:
        identity, secret = basic
        if "client_id" in sent and sent["client_id"] != identity:
            return None
        numbers.add(keys.find(secret.encode()))
    if sent.get("client_secret"):
        numbers.add(keys.find(sent["client_secret"].encode()))
    if not numbers and sent.get("refresh_token"):
        numbers.add(keys.find(sent["refresh_token"].encode()))
    if not numbers:
        return None
    # A key in a header of its own may be there besides; it must not be another one.
    numbers.update(keys.sent(fields, basic=False))
    return numbers.pop() if len(numbers) == 1 else None


def _parameters(fields: Mapping[bytes, bytes], body: bytes) -> dict[str, str] | None:
    """Read a form or JSON; None where it is neither, or says a thing twice (RFC 6749, 3.2)."""
    kind = fields.get(b"content-type", b"").partition(b";")[0].strip().lower()
    try:
        text = body.decode()
        if kind == b"application/json" or (not kind and text.lstrip().startswith("{")):
            read = json.loads(text)
            if not isinstance(read, dict):
                return None
            members = {name: value for name, value in read.items() if isinstance(value, str)}
            "".join(members.values()).encode()  # half of a surrogate pair is no text
            return members
        pairs = parse_qsl(text, keep_blank_values=True)
    except (ValueError, RecursionError):
        return None
    parameters = dict(pairs)
    return parameters if len(parameters) == len(pairs) else None


def _basic(authorization: bytes) -> tuple[str, str] | None:
    """Read id and secret of Basic, each form-encoded or not (RFC 6749 section 2.3.1)."""
    scheme, _, credentials = authorization.partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        pair = binascii.a2b_base64(credentials.strip(), strict_mode=True).decode()
    except ValueError:
        return "", ""
    identity, _, secret = pair.partition(":")
    return unquote_plus(identity), unquote_plus(secret) if "%" in secret else secret
