"""The identity side: the consent page and the token endpoint.

Answers as documented, including the difference between the two grant types (the answer to a refresh
has no `token_type`), and errors by RFC 6749 section 5.2. Every presentation of a code or refresh
token is logged for tests. Never redirects to an address that is not registered byte for byte.
"""

import base64
import binascii
import hmac
import json
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import quote, unquote_plus

from aiohttp import web

from proxy.sandbox.data import COMPANY_NAME, ME
from proxy.sandbox.grants import Grants, Issued, Refused
from proxy.sandbox.pages import consent_page, refusal_page
from proxy.sandbox.settings import SandboxSettings

AUTHORIZATION_PATH = "/identity/oauth/allow"
TOKEN_PATH = "/identity/oauth/token"  # noqa: S105  a path, not a password

# Enough for three weeks of a refresh every 20 seconds.
MAX_PRESENTATIONS = 100_000


@dataclass(frozen=True, slots=True)
class Presentation:
    """One code or refresh token that was presented, and what became of it."""

    at: float
    grant_type: str
    value: str = field(repr=False)
    # "issued", or the error that was answered.
    outcome: str
    # The code or refresh token had been used before.
    reuse: bool
    grant: int | None
    generation: int | None
    issued_refresh_token: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Ask:
    """An authorization request that passed every check."""

    redirect_uri: str
    state: str | None
    scopes: tuple[str, ...]
    code_challenge: str | None

    def answer(self, parameters: dict[str, str], *, state: bool = True) -> web.Response:
        if state and self.state is not None:
            parameters["state"] = self.state
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters.items())
        separator = "&" if "?" in self.redirect_uri else "?"
        # Not web.HTTPFound: yarl would normalize the registered address.
        return web.Response(
            status=302,
            headers={
                "Location": f"{self.redirect_uri}{separator}{query}",
                "Cache-Control": "no-store",
                "Referrer-Policy": "no-referrer",
            },
        )


class _TokenError(Exception):
    """An error answer (RFC 6749 section 5.2)."""

    def __init__(self, error: str, description: str, *, status: int = 400) -> None:
        super().__init__(description)
        self.error = error
        self.description = description
        self.status = status


class Identity:
    """Consent and tokens for the one registered app."""

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings
        self.grants = Grants(settings)
        self.presentations: deque[Presentation] = deque(maxlen=MAX_PRESENTATIONS)

    def routes(self) -> list[web.RouteDef]:
        """Return the two endpoints."""
        return [
            web.get(AUTHORIZATION_PATH, self._show_consent),
            web.post(AUTHORIZATION_PATH, self._take_decision),
            web.post(TOKEN_PATH, self._answer_token_request),
        ]

    # ── consent ──

    async def _show_consent(self, request: web.Request) -> web.Response:
        ask = self._parse(request)
        if isinstance(ask, web.Response):
            return ask
        if self._settings.auto_approve:
            return self._approve(ask)
        user = f"{ME['firstName']} {ME['lastName']}"
        return consent_page(self._settings.app_name, ask.scopes, user, COMPANY_NAME)

    async def _take_decision(self, request: web.Request) -> web.Response:
        ask = self._parse(request)
        if isinstance(ask, web.Response):
            return ask
        match (await request.post()).get("decision"):
            case "authorize":
                return self._approve(ask)
            case "decline":
                # The three parameters that SmartRecruiters sends; this `code` is not an
                # authorization code.
                return ask.answer(
                    {
                        "error": "access_denied",
                        "error_description": "User declined the authorization request",
                        "code": "500",
                    },
                    state=self._settings.decline_carries_state,
                )
            case _:
                return refusal_page("Nothing decided", "Choose Authorize or Decline.")

    def _approve(self, ask: _Ask) -> web.Response:
        code = self.grants.issue_code(ask.redirect_uri, ask.scopes, ask.code_challenge)
        return ask.answer({"code": code})

    def _parse(self, request: web.Request) -> _Ask | web.Response:
        query = request.query
        if len(set(query)) != len(query):
            return refusal_page("Invalid request", "A parameter is given more than once.")
        if query.get("client_id") != self._settings.client_id:
            return refusal_page("Unknown application", "No application has this client_id.")
        redirect_uri = query.get("redirect_uri", "")
        if redirect_uri not in self._settings.redirect_uris:
            return refusal_page(
                "Redirect URI mismatch",
                "The redirect_uri is not one of those registered for this application. They are "
                "compared byte for byte: scheme, host, port, path and trailing slash.",
            )
        if query.get("scope") == "":
            return refusal_page(
                "Invalid scope", "The scope is empty. Leave it out to get the app's defaults."
            )
        scopes = tuple(query["scope"].split(" ")) if "scope" in query else None
        ask = _Ask(
            redirect_uri,
            query.get("state"),
            scopes or self._settings.default_scopes,
            query.get("code_challenge"),
        )
        if query.get("response_type", "code") != "code":
            return ask.answer(
                {
                    "error": "unsupported_response_type",
                    "error_description": "Only the response type code is supported",
                    "code": "500",
                }
            )
        return ask

    # ── tokens ──

    async def _answer_token_request(self, request: web.Request) -> web.Response:
        headers = {"Cache-Control": "no-store", "Pragma": "no-cache"}
        try:
            parameters = await _read_parameters(request)
            self._authenticate_client(request, parameters)
            answer = self._spend(parameters)
        except _TokenError as error:
            if error.status == 401:
                headers["WWW-Authenticate"] = 'Basic realm="SmartRecruiters"'
            body = {"error": error.error, "error_description": error.description}
            return web.json_response(body, status=error.status, headers=headers)
        return web.json_response(answer, headers=headers)

    def _authenticate_client(self, request: web.Request, parameters: dict[str, str]) -> None:
        authorization = request.headers.get("Authorization")
        if authorization is not None:
            if "client_secret" in parameters:
                raise _TokenError("invalid_request", "More than one client authentication")
            client_id, client_secret = _parse_basic(authorization)
        else:
            client_id = parameters.get("client_id", "")
            client_secret = parameters.get("client_secret", "")
        expected = f"{self._settings.client_id}\0{self._settings.client_secret}"
        if not hmac.compare_digest(f"{client_id}\0{client_secret}".encode(), expected.encode()):
            raise _TokenError("invalid_client", "Client authentication failed", status=401)

    def _spend(self, parameters: dict[str, str]) -> dict[str, object]:
        match parameters.get("grant_type"):
            case "authorization_code" as grant_type:
                value = _required(parameters, "code")
            case "refresh_token" as grant_type:
                value = _required(parameters, "refresh_token")
            case "client_credentials":
                return self._issue_to_app(parameters)
            case None:
                raise _TokenError("invalid_request", "grant_type is missing")
            case _:
                raise _TokenError("unsupported_grant_type", "This grant type is not supported")
        try:
            if grant_type == "refresh_token":
                issued = self.grants.refresh(value)
            else:
                issued = self.grants.exchange(
                    value, parameters.get("redirect_uri"), parameters.get("code_verifier")
                )
        except Refused as refused:
            self._log(grant_type, value, refused)
            raise _TokenError("invalid_grant", refused.description) from refused
        self._log(grant_type, value, issued)
        answer: dict[str, object] = {
            "access_token": issued.access_token,
            "expires_in": self._settings.access_token_lifetime,
            "refresh_token": issued.refresh_token,
        }
        return answer if grant_type == "refresh_token" else {"token_type": "bearer", **answer}

    def _issue_to_app(self, parameters: dict[str, str]) -> dict[str, object]:
        """Answer client credentials with an access token alone (RFC 6749 section 4.4.3)."""
        scopes = tuple(parameters.get("scope", "").split()) or self._settings.default_scopes
        unknown = sorted(set(scopes) - set(self._settings.default_scopes))
        if unknown:
            raise _TokenError("invalid_scope", f"Not given to this app: {' '.join(unknown)}")
        return {
            "token_type": "bearer",
            "access_token": self.grants.issue_access_token(scopes),
            "expires_in": self._settings.access_token_lifetime,
        }

    def _log(self, grant_type: str, value: str, result: Issued | Refused) -> None:
        grant = result.grant
        issued = isinstance(result, Issued)
        self.presentations.append(
            Presentation(
                at=self._settings.clock(),
                grant_type=grant_type,
                value=value,
                outcome="issued" if issued else "invalid_grant",
                reuse=isinstance(result, Refused) and result.reuse,
                grant=grant.number if grant else None,
                generation=grant.generation if grant else None,
                issued_refresh_token=result.refresh_token if isinstance(result, Issued) else None,
            )
        )


async def _read_parameters(request: web.Request) -> dict[str, str]:
    # The official curl example shows JSON under a form content type; a JSON type is taken as well.
    if request.content_type == "application/json":
        try:
            fields = await request.json()
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise _TokenError("invalid_request", "The body is not JSON") from error
        if not isinstance(fields, dict):
            raise _TokenError("invalid_request", "The body is not a JSON object")
        return _once(fields.items())
    return _once((await request.post()).items())


def _once(fields: Iterable[tuple[str, object]]) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for name, value in fields:
        if name in parameters or not isinstance(value, str):
            raise _TokenError("invalid_request", "A parameter is repeated or not text")
        parameters[name] = value
    return parameters


def _required(parameters: dict[str, str], name: str) -> str:
    value = parameters.get(name)
    if not value:
        raise _TokenError("invalid_request", f"{name} is missing")
    return value


def _parse_basic(authorization: str) -> tuple[str, str]:
    # RFC 6749 section 2.3.1: both halves are form-encoded before they are joined.
    scheme, _, encoded = authorization.partition(" ")
    try:
        decoded = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        decoded = ""
    client_id, colon, client_secret = decoded.partition(":")
    if scheme.lower() != "basic" or not colon:
        raise _TokenError("invalid_client", "Unreadable client authentication", status=401)
    return unquote_plus(client_id), unquote_plus(client_secret)
