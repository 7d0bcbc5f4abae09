"""OAuth's messages: the requests to SmartRecruiters, and the callback. No I/O."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, quote_plus, urlencode

from proxy.config import OAuthConfig
from proxy.system.secret import Secret

# Seconds, as SmartRecruiters documents; its answers do not state it.
REFRESH_LIFETIME = 28 * 86400.0
# RFC 6749 sections 4.1.2.1 and 5.2; any other word could be anything and is not shown.
KNOWN_ERRORS = frozenset(
    {
        "access_denied", "invalid_client", "invalid_grant", "invalid_request", "invalid_scope",
        "server_error", "temporarily_unavailable", "unauthorized_client",
        "unsupported_grant_type", "unsupported_response_type",
    }
)  # fmt: skip
CALLBACK_PARAMETERS = frozenset({"code", "state", "error", "error_description", "iss"})


@dataclass(frozen=True, slots=True, eq=False)
class TokenSet:
    """The tokens of one answer of the token endpoint; instants in seconds since the epoch."""

    access_token: Secret
    refresh_token: Secret | None
    issued_at: float
    expires_at: float
    refresh_issued_at: float
    refresh_expires_at: float
    scopes: tuple[str, ...] = ()

    @property
    def lifetime(self) -> float:
        """Return the seconds for which the access token was issued."""
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

    Spaces are `%20`; an empty scope is left out, since SmartRecruiters refuses `scope=`.
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
    """Parse the callback's query string; ValueError if it is malformed or ambiguous.

    SmartRecruiters sends `code=500` beside `error=access_denied`: with an error, it is ignored.
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


def build_client_request(oauth: OAuthConfig) -> TokenRequest:
    """Build the request for a token of the app's own (RFC 6749 section 4.4)."""
    fields = {"grant_type": "client_credentials"}
    if oauth.scopes:
        fields["scope"] = " ".join(oauth.scopes)
    return _token_request(oauth, fields)


def _token_request(oauth: OAuthConfig, fields: dict[str, str]) -> TokenRequest:
    # No compression: an answer is small, and a compressed one could be a bomb.
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
