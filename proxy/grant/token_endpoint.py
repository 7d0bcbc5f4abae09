"""The token endpoint over HTTP: one POST, one answer, and what became of what was sent.

Every failure is a TokenEndpointError: NOT_SPENT if no connection was made, so that no byte of the
token was sent; once there was one, anything but tokens or a complete answer is UNKNOWN.
"""

import hmac

from proxy.config import OAuthConfig
from proxy.errors import Outcome, TokenEndpointError
from proxy.grant.answer import lost_answer, parse_token_answer
from proxy.grant.oauth import (
    TokenRequest,
    TokenSet,
    build_client_request,
    build_exchange_request,
    build_refresh_request,
)
from proxy.grant.wire import Guard, Wire, WireError
from proxy.system.clock import Clock
from proxy.system.dialing import Dialer, DialError
from proxy.system.secret import Secret


class TokenEndpoint:
    """Exchanges codes and spends refresh tokens at the configured endpoint."""

    def __init__(self, oauth: OAuthConfig, clock: Clock, dialer: Dialer) -> None:
        # Read at each request: the secret and the scopes may change while running.
        self.oauth = oauth
        self._clock = clock
        self._wire = Wire(oauth.token_endpoint, dialer, oauth.timeout)

    async def exchange(self, code: Secret, code_verifier: Secret | None = None) -> TokenSet:
        """Exchange a code for tokens; never to be repeated with the same code."""
        return await self._call(build_exchange_request(self.oauth, code, code_verifier))

    async def refresh(self, tokens: TokenSet, guard: Guard | None = None) -> TokenSet:
        """Spend a refresh token."""
        if tokens.refresh_token is None:
            raise TokenEndpointError(
                Outcome.INVALID_GRANT, "no_refresh_token", "The grant came without a refresh token."
            )
        request = build_refresh_request(self.oauth, tokens.refresh_token)
        return await self._call(request, tokens, guard)

    async def fetch(self) -> TokenSet:
        """Get a token of the app's own, by client credentials."""
        return await self._call(build_client_request(self.oauth))

    def mark(self, tokens: TokenSet | None) -> str | None:
        """Return a digest that changes with the app's settings, and does not reveal the secret."""
        if tokens is None or tokens.refresh_token is None:
            return None
        request = build_refresh_request(self.oauth, tokens.refresh_token)
        text = repr((self.oauth.token_endpoint, sorted(request.headers.items()), request.body))
        key = tokens.refresh_token.reveal().encode()
        return hmac.digest(key, text.encode(), "sha256").hex()[:12]

    async def _call(
        self,
        request: TokenRequest,
        previous: TokenSet | None = None,
        guard: Guard | None = None,
    ) -> TokenSet:
        requested_at = self._clock.now()
        try:
            answer = await self._wire.send("POST", request.headers, request.body, guard)
        except DialError as error:
            raise TokenEndpointError(Outcome.NOT_SPENT, error.code, error.detail) from None
        except WireError as error:
            raise lost_answer(error) from None
        return parse_token_answer(
            answer, requested_at=requested_at, scopes=self.oauth.scopes, previous=previous
        )
