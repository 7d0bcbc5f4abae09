"""What an answer of the token endpoint means, whatever it looks like.

Rules 4 and 10 of the grant in docs/behaviour.md.

The two tokens are read first, and no fault in the rest of the answer may lose them: a rotated
refresh token exists nowhere else. Then comes what became of the code or refresh token that was sent
(`Outcome`), which decides whether it may be sent again:

    a usable access token, no OAuth error        → a TokenSet, at any status
    the OAuth error `invalid_grant`, any status  → Outcome.INVALID_GRANT
    another OAuth error, any other complete 4xx,
    or a 503                                     → Outcome.NOT_SPENT
    everything else                              → Outcome.UNKNOWN

Errors are recognized by the parsed `error` field (RFC 6749 section 5.2), never by searching texts.
Nothing of an answer is repeated but an error word of letters and underscores: a server may echo our
secret.
"""

import codecs
import json
import math
import re
from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl

from proxy.errors import Outcome, TokenEndpointError
from proxy.grant.oauth import KNOWN_ERRORS, REFRESH_LIFETIME, TokenSet
from proxy.grant.wire import Answer, WireError
from proxy.system.secret import Secret

# SmartRecruiters' documented lifetime of an access token in seconds, for an answer without one.
ACCESS_LIFETIME = 1799.0
# Seconds; longer than any provider's access tokens live. A longer lifetime is cut to this.
LONGEST_LIFETIME = 86400.0
# No number in a token answer has more digits; int() refuses 4,300 of them, float() overflows.
LONGEST_NUMBER = 300

# Failures of the server's own: the status decides, as if there were no error word.
PASSING_ERRORS = frozenset({"server_error", "temporarily_unavailable"})
# Token types that are not presented as a bearer (RFC 9449 and older drafts).
OTHER_TOKEN_TYPES = frozenset({"mac", "dpop", "pop", "n_a"})
# Charsets that are decoded as declared; of the others some are slow, and none is used for JSON.
CHARSETS = frozenset(
    {"utf-8", "ascii", "iso8859-1", "iso8859-15", "cp1252", "utf-16", "utf-16-le", "utf-16-be",
     "utf-32", "utf-32-le", "utf-32-be"}
)  # fmt: skip
# Characters that are unambiguous in a header.
VISIBLE = re.compile(r"[\x21-\x7e]+")
ERROR_WORD = re.compile(r"[a-z]+(?:_[a-z]+){0,5}")
LONGEST_WORD = 40

_CHARSET = re.compile(r"charset\s*=\s*\"?([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)
# A string (unterminated: to the end), a run of punctuation, or another scalar.
_PIECE = re.compile(
    r'"([^"\\]*(?:\\.[^"\\]*)*)("|\Z)|([{}\[\],][\s{}\[\],]*)|(:)|([^\s"{}\[\]:,]+)',
    re.DOTALL,
)

Fields = Mapping[str, object]


class RotatedError(TokenEndpointError):
    """A failure whose answer holds a new refresh token: the one that was sent is spent."""

    def __init__(self, failure: TokenEndpointError, refresh_token: Secret) -> None:
        super().__init__(Outcome.NOT_SPENT, failure.reason, failure.detail)
        self.refresh_token = refresh_token


def parse_token_answer(
    answer: Answer,
    *,
    requested_at: float,
    scopes: tuple[str, ...] = (),
    previous: TokenSet | None = None,
) -> TokenSet:
    """Return the tokens of an answer; TokenEndpointError says what became of what was sent.

    `requested_at` is taken before the request is sent, so that `expires_at` is never too late.
    Without a `refresh_token` in the answer the previous one stays in use: its issue date stays, and
    its 28 days, which count from the last use, start again.
    """
    fields, is_sound = read_fields(answer.body, answer.headers.get("content-type"))
    access_token = fields.get("access_token")
    rotated = _refresh_token(fields.get("refresh_token"))
    error = fields.get("error")
    error = error.strip() if isinstance(error, str) else None
    # In an answer that is not whole, a refresh token that is missing may have been cut off.
    has_all = rotated is not None or (is_sound and answer.broken is None)
    usable = isinstance(access_token, str) and _is_usable(access_token, fields)
    if isinstance(access_token, str) and usable and has_all and not error:
        return _token_set(access_token, rotated, fields, requested_at, scopes, previous)
    failure = lost_answer(answer.broken) if answer.broken else _failure(answer, error)
    if previous is not None and rotated is not None and rotated != previous.refresh_token:
        raise RotatedError(failure, rotated)
    raise failure


def read_fields(body: bytes, content_type: str | None = None) -> tuple[Fields, bool]:
    """Return the members of the first object in a body, or of a form, and whether it was whole.

    Never raises.
    """
    for text in _texts(body, content_type):
        fields, is_sound = _parse(text)
        if {"access_token", "refresh_token", "error"} & fields.keys():
            return fields, is_sound
    return {}, False


def _texts(body: bytes, content_type: str | None) -> Iterator[str]:
    """Decode by the declared charset, as UTF-8, as JSON is detected, and at last as Latin-1."""
    names = []
    if (match := _CHARSET.search(content_type or "")) is not None:
        try:
            name = codecs.lookup(match[1]).name
        except LookupError:
            name = ""
        names += [name] if name in CHARSETS else []
    for name in dict.fromkeys([*names, "utf-8", json.detect_encoding(body)]):
        try:
            yield body.decode(name).lstrip("\ufeff")
        except UnicodeError:
            continue
    if not body.isascii():
        yield body.decode("latin-1")


def _parse(text: str) -> tuple[Fields, bool]:
    try:
        answer = json.loads(text, parse_int=_number)
    except (ValueError, RecursionError):
        answer = None
    if isinstance(answer, dict):
        return answer, True
    if "{" in text:
        return _scan(text), False
    return dict(parse_qsl(text.strip(), keep_blank_values=True, errors="replace")), True


def _number(digits: str) -> int | float:
    return int(digits) if len(digits) <= LONGEST_NUMBER else math.inf


def _scan(text: str) -> Fields:
    """Read what can be read of an object that is not JSON: cut short, too deep, or wrapped."""
    found: dict[str, object] = {}
    depth, name, is_value = 0, None, False
    for piece in _PIECE.finditer(text):
        string, end, marks, colon, scalar = piece.groups()
        if colon:
            is_value = name is not None
        elif marks:
            for mark in marks:
                depth = max(0, depth + {"{": 1, "}": -1}.get(mark, 0))
                if mark == "}" and depth == 0 and found:
                    return found
            name, is_value = None, False
        elif string is not None and end:
            value = _unescape(string)
            if is_value and name is not None and depth == 1 and value is not None:
                found.setdefault(name, value)
            name, is_value = (None if is_value else value), False
        elif scalar is not None and is_value and name == "expires_in" and depth == 1:
            found.setdefault(name, scalar)
    return found


def _unescape(string: str) -> str | None:
    try:
        value = json.loads(f'"{string}"', strict=False)
    except ValueError:
        return None
    return value if isinstance(value, str) else None


def _refresh_token(value: object) -> Secret | None:
    if not isinstance(value, str) or not value:
        return None
    try:
        value.encode()  # a lone surrogate could never be sent
    except UnicodeError:
        return None
    return Secret(value)


def _is_usable(access_token: str, fields: Fields) -> bool:
    # A refresh's answer has no token_type at SmartRecruiters.
    token_type = fields.get("token_type")
    if isinstance(token_type, str) and token_type.lower() in OTHER_TOKEN_TYPES:
        return False
    return VISIBLE.fullmatch(access_token) is not None


def _token_set(
    access_token: str,
    refresh_token: Secret | None,
    fields: Fields,
    requested_at: float,
    scopes: tuple[str, ...],
    previous: TokenSet | None,
) -> TokenSet:
    refresh_issued_at = requested_at
    if refresh_token is None and previous is not None:
        refresh_token, refresh_issued_at = previous.refresh_token, previous.refresh_issued_at
    return TokenSet(
        access_token=Secret(access_token),
        refresh_token=refresh_token,
        issued_at=requested_at,
        expires_at=requested_at + parse_lifetime(fields.get("expires_in")),
        refresh_issued_at=refresh_issued_at,
        refresh_expires_at=requested_at + REFRESH_LIFETIME,
        scopes=_parse_scope(fields.get("scope")) or (previous.scopes if previous else scopes),
    )


def parse_lifetime(value: object) -> float:
    """Return the seconds that an `expires_in` means.

    A number, also one in a string, is taken as it is, up to a day. A value that is missing, not a
    number, zero or negative becomes SmartRecruiters' documented 1799: taken literally, it would
    make every request spend a refresh token, while a wrong guess costs one 401, which refreshes.
    """
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return ACCESS_LIFETIME
    # A whole number may be too large for a float; a NaN compares as false with everything.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        return ACCESS_LIFETIME
    return float(min(value, LONGEST_LIFETIME))


def _parse_scope(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(value.split())
    if isinstance(value, list):
        return tuple(item for item in value if isinstance(item, str))
    return ()


def lost_answer(error: WireError) -> TokenEndpointError:
    """Say what became of what was sent, where no complete answer came."""
    detail = f"The token endpoint failed: {error.what}; whether the token was spent is not known."
    return TokenEndpointError(Outcome.UNKNOWN, error.reason, detail)


def _failure(answer: Answer, error: str | None) -> TokenEndpointError:
    status, retry_after = answer.status, parse_retry_after(answer.headers.get("retry-after"))
    known = error if error in KNOWN_ERRORS else None
    if known == "invalid_grant":
        return TokenEndpointError(
            Outcome.INVALID_GRANT,
            known,
            "SmartRecruiters does not accept the code or refresh token any more.",
        )
    is_4xx = 400 <= status <= 499
    if known is None and status == 401:
        known = "invalid_client"
    if known in PASSING_ERRORS or known is None:
        word = f" (error {error!r})" if error and _is_word(error) else ""
        outcome = Outcome.NOT_SPENT if is_4xx or status == 503 else Outcome.UNKNOWN
        reason, what = f"http_{status}", f"The token endpoint answered {status}{word}."
        if 200 <= status <= 299:
            reason = "unusable_answer"
            what = f"The token endpoint answered {status} without a usable access token{word}."
        elif 300 <= status <= 399:
            what += (
                " Redirects are not followed, since the request carries the app's secret: "
                "set oauth.token_endpoint to the address it redirects to, if that is right."
            )
        refused = is_4xx and status != 429
    else:
        outcome, reason, what = Outcome.NOT_SPENT, known, _REFUSALS.get(known, f"{known}.")
        refused = known != "invalid_client"
    return TokenEndpointError(outcome, reason, what, retry_after=retry_after, is_refusal=refused)


def _is_word(error: str) -> bool:
    return len(error) <= LONGEST_WORD and ERROR_WORD.fullmatch(error) is not None


_REFUSALS = {
    "access_denied": "SmartRecruiters denies this app access.",
    "invalid_client": "SmartRecruiters refuses this app's id or secret: set oauth.client_id and "
    "oauth.client_secret (or its file) to what SmartRecruiters shows for the app.",
    "unauthorized_client": "SmartRecruiters does not let this app use this kind of grant.",
    "invalid_scope": "SmartRecruiters refuses the scopes in oauth.scopes.",
    "invalid_request": "SmartRecruiters calls the token request malformed; check "
    "oauth.token_request_format and oauth.client_authentication.",
    "unsupported_grant_type": "SmartRecruiters does not know the kind of grant; check "
    "oauth.token_endpoint.",
}


def parse_retry_after(value: str | None) -> float | None:
    """Return a Retry-After in seconds; None for a date, which would need clocks that agree."""
    if value is None or not re.fullmatch(r"[0-9]{1,9}", value.strip()):
        return None
    return float(value)
