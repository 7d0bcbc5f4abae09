"""Codes, grants and tokens, and the rules that end them. No I/O.

Promises the documented rules: a code lives 30 seconds and works once, its second use revokes what
came from the first (RFC 6749 section 4.1.2); a refresh token works once, and presenting it again
ends the grant with all of its tokens (RFC 9700 section 4.14).
"""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

from proxy.sandbox.settings import SandboxSettings


class Refused(Exception):
    """The presented code or token is not accepted; `reuse`: it was used before."""

    def __init__(
        self, description: str, *, grant: "Grant | None" = None, reuse: bool = False
    ) -> None:
        super().__init__(description)
        self.description = description
        self.grant = grant
        self.reuse = reuse


@dataclass(slots=True)
class Grant:
    """What the user gave: scopes, valid until the grant has ended."""

    number: int
    scopes: tuple[str, ...]
    ended: bool = False
    generation: int = 0


@dataclass(slots=True)
class Code:
    """An authorization code, remembered after use so that a second use is detected."""

    redirect_uri: str
    scopes: tuple[str, ...]
    code_challenge: str | None
    issued_at: float
    grant: Grant | None = None


@dataclass(slots=True)
class AccessToken:
    """One access token; it may be revoked before it expires."""

    grant: Grant
    expires_at: float
    revoked: bool = False


@dataclass(slots=True)
class RefreshToken:
    """One refresh token, remembered when spent so that reuse is detected."""

    grant: Grant
    expires_at: float
    spent: bool = False


@dataclass(frozen=True, slots=True)
class Issued:
    """A new pair of tokens."""

    grant: Grant
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)


class Grants:
    """Every code and token the sandbox ever issued."""

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings
        self._codes: dict[str, Code] = {}
        self._access_tokens: dict[str, AccessToken] = {}
        self._refresh_tokens: dict[str, RefreshToken] = {}
        self._all: list[Grant] = []

    def issue_code(
        self, redirect_uri: str, scopes: tuple[str, ...], code_challenge: str | None
    ) -> str:
        """Return a code for one exchange within the next 30 seconds."""
        value = secrets.token_hex(16)
        self._codes[value] = Code(redirect_uri, scopes, code_challenge, self._settings.clock())
        return value

    def exchange(self, value: str, redirect_uri: str | None, verifier: str | None) -> Issued:
        """Return the tokens for a code, or raise Refused."""
        code = self._codes.get(value)
        if code is None:
            raise Refused("The authorization code is unknown")
        if code.grant is not None:
            code.grant.ended = True
            raise Refused("The authorization code was used before", grant=code.grant, reuse=True)
        if self._settings.clock() - code.issued_at > self._settings.code_lifetime:
            raise Refused("The authorization code has expired")
        # SmartRecruiters' own example leaves it out; where it is sent, it must be identical.
        if redirect_uri is not None and redirect_uri != code.redirect_uri:
            raise Refused("redirect_uri is not the one of the authorization request")
        if code.code_challenge is not None and not _verifies(code.code_challenge, verifier):
            raise Refused("code_verifier does not match code_challenge")
        code.grant = Grant(len(self._all) + 1, code.scopes)
        self._all.append(code.grant)
        return self._issue(code.grant)

    def refresh(self, value: str) -> Issued:
        """Spend a refresh token for the next pair, or raise Refused."""
        token = self._refresh_tokens.get(value)
        if token is None:
            raise Refused("The refresh token is unknown")
        if token.spent:
            token.grant.ended = True
            raise Refused("The refresh token was used before", grant=token.grant, reuse=True)
        if token.grant.ended:
            raise Refused("The grant was revoked", grant=token.grant)
        if self._settings.clock() >= token.expires_at:
            raise Refused("The refresh token has expired", grant=token.grant)
        token.spent = True
        return self._issue(token.grant)

    def issue_access_token(self, scopes: tuple[str, ...]) -> str:
        """Return an access token for the app itself, without a login (client credentials)."""
        grant = Grant(len(self._all) + 1, scopes)
        self._all.append(grant)
        return self._issue_access_token(grant)

    def authenticate(self, value: str) -> Grant | None:
        """Return the grant behind a valid access token, else None."""
        token = self._access_tokens.get(value)
        if token is None or token.revoked or token.grant.ended:
            return None
        return token.grant if self._settings.clock() < token.expires_at else None

    def revoke_access_tokens(self) -> None:
        """Make every access token issued so far answer 401; the grants stay valid."""
        for token in self._access_tokens.values():
            token.revoked = True

    def end(self) -> None:
        """End every grant, as deleting the user who gave it does."""
        for grant in self._all:
            grant.ended = True

    def _issue(self, grant: Grant) -> Issued:
        issued = Issued(grant, self._issue_access_token(grant), secrets.token_urlsafe(32))
        grant.generation += 1
        self._refresh_tokens[issued.refresh_token] = RefreshToken(
            grant, self._settings.clock() + self._settings.refresh_token_lifetime
        )
        return issued

    def _issue_access_token(self, grant: Grant) -> str:
        now = self._settings.clock()
        # Expired access tokens can go; spent refresh tokens are kept to detect reuse.
        self._access_tokens = {
            value: token for value, token in self._access_tokens.items() if token.expires_at > now
        }
        value = secrets.token_urlsafe(32)
        self._access_tokens[value] = AccessToken(grant, now + self._settings.access_token_lifetime)
        return value


def _verifies(challenge: str, verifier: str | None) -> bool:
    if verifier is None:
        return False
    digest = hashlib.sha256(verifier.encode()).digest()
    return hmac.compare_digest(base64.urlsafe_b64encode(digest).rstrip(b"=").decode(), challenge)
