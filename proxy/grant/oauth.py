"""OAuth as messages: what is sent to SmartRecruiters, and what its answers mean.

Values in, values out. Reading an answer also says what became of the code or refresh token that was
sent (`Outcome`), because that alone decides whether it may ever be sent again:

    200 with a usable access token         → a TokenSet
    4xx with the error `invalid_grant`     → Outcome.INVALID_GRANT
    any other complete 4xx, or a 503       → Outcome.NOT_SPENT
    everything else                        → Outcome.UNKNOWN (3xx, other 5xx, a 200 without a token)

Never looks at texts to find an error, only at the parsed `error` field (RFC 6749 section 5.2), and
never repeats anything of an answer in a message: a server may echo our secret.
"""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, urlencode

from proxy.config import OAuthConfig
from proxy.errors import Outcome, TokenEndpointError
from proxy.system.secret import Secret

# SmartRecruiters' documented lifetimes; the answer states only the access token's.
ACCESS_LIFETIME = 1799.0
REFRESH_LIFETIME = 28 * 86400.0
# Longer than any provider's access token; what says more is taken for this.
LONGEST_LIFETIME = 86400.0
# As golang.org/x/oauth2 has it: no token answer is larger.
MAX_ANSWER = 1024 * 1024

# RFC 6749 sections 4.1.2.1 and 5.2; any other word is not shown, for it could be anything.
KNOWN_ERRORS = frozenset(
    {
        "access_denied", "invalid_client", "invalid_grant", "invalid_request", "invalid_scope",
        "server_error", "temporarily_unavailable", "unauthorized_client",
        "unsupported_grant_type", "unsupported_response_type",
    }
)  # fmt: skip
CALLBACK_PARAMETERS = frozenset({"code", "state", "error", "error_description", "iss"})
# What may stand in a header without ambiguity.
VISIBLE = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True, eq=False)
class TokenSet:
    """What one answer of the token endpoint gave; instants on the wall clock."""

    access_token: Secret
    refresh_token: Secret | None
    issued_at: float
    expires_at: float
    refresh_issued_at: float
    refresh_expires_at: float
    scopes: tuple[str, ...] = ()

    @property
    def lifetime(self) -> float:
        """Return for how long the access token was issued."""
        return self.expires_at - self.issued_at


@dataclass(frozen=True, slots=True, eq=False)
class Callback:
    """What the browser brought back; with an `error` there is never a code."""

    code: Secret | None
    state: str | None = field(repr=False)
    error: str | None
    error_description: str | None
    iss: str | None


@dataclass(frozen=True, slots=True, eq=False)
class TokenRequest:
    """A POST to the token endpoint, but for the URL."""

    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


def build_authorization_url(oauth: OAuthConfig, state: str, code_challenge: str | None) -> str:
    """Build the URL to send the browser to (RFC 6749 section 4.1.1).

    Spaces are `%20`; an empty scope is left out, for SmartRecruiters refuses `scope=`.
    """
    parameters = {
        **oauth.authorization_params,
        "client_id": oauth.client_id,
        "redirect_uri": oauth.redirect_uri,
    }
    if oauth.scopes:
        parameters["scope"] = " ".join(oauth.scopes)
    parameters["state"] = state
    if code_challenge is not None:
        parameters["code_challenge"] = code_challenge
        parameters["code_challenge_method"] = "S256"
    query = urlencode(parameters, quote_via=quote, safe="")
    return f"{oauth.authorization_endpoint}?{query}"


def parse_callback(query: str) -> Callback:
    """Read the callback's query string; ValueError where it could be read in two ways.

    SmartRecruiters sends `code=500` beside `error=access_denied`: an error's code is no code.
    """
    found: dict[str, str] = {}
    fields = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=100)
    for name, value in fields:
        if name not in CALLBACK_PARAMETERS:
            continue
        if name in found:
            # RFC 6749 section 3.1: parameters must not be included more than once.
            raise ValueError(f"the parameter {name} came twice")
        found[name] = value
    error = found.get("error") or None
    code = found.get("code") or None
    return Callback(
        code=Secret(code) if code is not None and error is None else None,
        state=found.get("state") or None,
        error=error,
        error_description=found.get("error_description") or None,
        iss=found.get("iss") or None,
    )


def build_exchange_request(
    oauth: OAuthConfig, code: Secret, code_verifier: Secret | None
) -> TokenRequest:
    """Build the request that turns a code into tokens (RFC 6749 section 4.1.3)."""
    fields = {
        "grant_type": "authorization_code",
        "code": code.reveal(),
        "redirect_uri": oauth.redirect_uri,
    }
    if code_verifier is not None:
        fields["code_verifier"] = code_verifier.reveal()
    return _token_request(oauth, fields)


def build_refresh_request(oauth: OAuthConfig, refresh_token: Secret) -> TokenRequest:
    """Build the request that spends a refresh token (RFC 6749 section 6)."""
    fields = {"grant_type": "refresh_token", "refresh_token": refresh_token.reveal()}
    return _token_request(oauth, fields)


def _token_request(oauth: OAuthConfig, fields: dict[str, str]) -> TokenRequest:
    # No compression: an answer is small, and what is not unpacked cannot be a bomb.
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    if oauth.client_authentication == "client_secret_basic":
        # RFC 6749 section 2.3.1: both are form-encoded before they are joined.
        pair = f"{quote_plus(oauth.client_id)}:{quote_plus(oauth.client_secret.reveal())}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    else:
        fields = {
            **fields,
            "client_id": oauth.client_id,
            "client_secret": oauth.client_secret.reveal(),
        }
    if oauth.token_request_format == "json":  # noqa: S105 - the format, not a password
        headers["Content-Type"] = "application/json"
        return TokenRequest(headers, json.dumps(fields).encode())
    headers["Content-Type"] = "application/x-www-form-urlencoded"
    return TokenRequest(headers, urlencode(fields).encode())


def parse_token_response(
    status: int,
    body: bytes,
    *,
    requested_at: float,
    scopes: tuple[str, ...] = (),
    previous: TokenSet | None = None,
    retry_after: str | None = None,
) -> TokenSet:
    """Read a complete answer; TokenEndpointError says what became of what was sent.

    `requested_at` is from before the request left, so that `expires_at` errs on the safe side.
    Without a `refresh_token` in the answer the previous one stays in use: its issue date stays,
    its 28 days, which count from the last use, begin anew.
    """
    answer = _parse_object(body)
    access_token = answer.get("access_token")
    if 200 <= status < 300 and _is_usable(access_token, answer.get("token_type")):
        return _token_set(str(access_token), answer, requested_at, scopes, previous)
    raise _failure(status, answer, retry_after)


def _parse_object(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _is_usable(access_token: object, token_type: object) -> bool:
    # A refresh's answer has no token_type at SmartRecruiters; another than bearer we cannot use.
    if token_type is not None and not (
        isinstance(token_type, str) and token_type.lower() == "bearer"
    ):
        return False
    return isinstance(access_token, str) and VISIBLE.fullmatch(access_token) is not None


def _token_set(
    access_token: str,
    answer: dict[str, Any],
    requested_at: float,
    scopes: tuple[str, ...],
    previous: TokenSet | None,
) -> TokenSet:
    given = answer.get("refresh_token")
    refresh_token = Secret(given) if isinstance(given, str) and given else None
    refresh_issued_at = requested_at
    if refresh_token is None and previous is not None:
        refresh_token, refresh_issued_at = previous.refresh_token, previous.refresh_issued_at
    return TokenSet(
        access_token=Secret(access_token),
        refresh_token=refresh_token,
        issued_at=requested_at,
        expires_at=requested_at + parse_lifetime(answer.get("expires_in")),
        refresh_issued_at=refresh_issued_at,
        refresh_expires_at=requested_at + REFRESH_LIFETIME,
        scopes=_parse_scope(answer.get("scope")) or (previous.scopes if previous else scopes),
    )


def parse_lifetime(value: object) -> float:
    """Return the seconds that an `expires_in` means.

    A number, or a number in a string, is taken as it is, a day at most. What is missing, not a
    number, zero or negative is taken for SmartRecruiters' documented 1799: were it taken at its
    word, every request would spend a refresh token; a wrong guess costs one 401, which refreshes.
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


def _failure(status: int, answer: dict[str, Any], retry_after: str | None) -> TokenEndpointError:
    error = answer.get("error")
    error = error if isinstance(error, str) and error in KNOWN_ERRORS else None
    if 400 <= status < 500:
        if error == "invalid_grant":
            return TokenEndpointError(
                Outcome.INVALID_GRANT,
                error,
                "SmartRecruiters does not accept the code or refresh token any more.",
            )
        if error is None and status == 401:
            error = "invalid_client"
        return TokenEndpointError(
            Outcome.NOT_SPENT,
            error or f"http_{status}",
            _REFUSALS.get(error or "", f"The token endpoint answered {status}."),
            retry_after=parse_retry_after(retry_after),
        )
    if status == 503:
        return TokenEndpointError(
            Outcome.NOT_SPENT,
            "http_503",
            "The token endpoint is unavailable (503).",
            retry_after=parse_retry_after(retry_after),
        )
    if 200 <= status < 300:
        return TokenEndpointError(
            Outcome.UNKNOWN,
            "unusable_answer",
            f"The token endpoint answered {status} without a usable access token.",
        )
    return TokenEndpointError(
        Outcome.UNKNOWN,
        f"http_{status}",
        f"The token endpoint answered {status}.",
        retry_after=parse_retry_after(retry_after),
    )


_REFUSALS = {
    "invalid_client": "SmartRecruiters refuses this app's id or secret; check oauth.client_id and "
    "oauth.client_secret. The grant itself is kept.",
    "unauthorized_client": "SmartRecruiters does not let this app use this kind of grant.",
    "invalid_scope": "SmartRecruiters refuses the scopes in oauth.scopes.",
    "invalid_request": "SmartRecruiters calls the token request malformed; check "
    "oauth.token_request_format and oauth.client_authentication.",
    "unsupported_grant_type": "SmartRecruiters does not know the kind of grant; check "
    "oauth.token_endpoint.",
}


def parse_retry_after(value: str | None) -> float | None:
    """Return a Retry-After in seconds; a date is not taken, for it needs a clock that agrees."""
    if value is None or not re.fullmatch(r"[0-9]{1,9}", value.strip()):
        return None
    return float(value)
