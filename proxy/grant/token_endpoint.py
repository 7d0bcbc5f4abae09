"""The token endpoint over HTTP: one POST, one answer, and what became of what was sent.

Every failure leaves as a TokenEndpointError. It says NOT_SPENT where no connection came about, so
that not a byte of the token can have left us; from the moment that one exists, whatever is not a
complete answer is UNKNOWN. Redirects are not followed, answers are read up to 1 MiB, connections
are not reused (a late answer must not meet the next request), the environment is not read, and
nothing of a request or an answer is logged or repeated in a message.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING

from proxy.config import OAuthConfig
from proxy.errors import Outcome, ProxyError, TokenEndpointError
from proxy.grant.oauth import (
    MAX_ANSWER,
    TokenRequest,
    TokenSet,
    build_exchange_request,
    build_refresh_request,
    parse_token_response,
)
from proxy.system.clock import Clock
from proxy.system.secret import Secret

if TYPE_CHECKING:
    import aiohttp  # in earnest only when it is used: the start does not wait for it

# Called when the connection stands and before a byte of the request is sent; raises to forbid it.
Guard = Callable[[], None]


class TokenEndpoint:
    """Exchanges codes and spends refresh tokens at the configured endpoint."""

    def __init__(
        self,
        oauth: OAuthConfig,
        clock: Clock,
        *,
        ssl_context: ssl.SSLContext | None = None,
        proxy: str | None = None,
        connect_timeout: float = 10.0,
    ) -> None:
        self._oauth = oauth
        self._clock = clock
        self._ssl = ssl_context
        self._proxy = proxy
        self._connect_timeout = min(connect_timeout, oauth.timeout)
        self._session: aiohttp.ClientSession | None = None
        # The server's clock less ours, in seconds, by the Date of its last answer.
        self.skew: float | None = None

    async def exchange(self, code: Secret, code_verifier: Secret | None = None) -> TokenSet:
        """Turn a code into tokens; never to be repeated with the same code."""
        request = build_exchange_request(self._oauth, code, code_verifier)
        return await self._call(request, None, None)

    async def refresh(self, tokens: TokenSet, guard: Guard | None = None) -> TokenSet:
        """Spend a refresh token."""
        if tokens.refresh_token is None:
            raise TokenEndpointError(
                Outcome.INVALID_GRANT, "no_refresh_token", "The grant came without a refresh token."
            )
        request = build_refresh_request(self._oauth, tokens.refresh_token)
        return await self._call(request, tokens, guard)

    async def close(self) -> None:
        """Close what is open."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> "aiohttp.ClientSession":
        import aiohttp

        if self._session is None:
            trace = aiohttp.TraceConfig()
            trace.on_connection_create_end.append(_connected)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(force_close=True, ssl=self._ssl or True),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(
                    total=self._oauth.timeout, sock_connect=self._connect_timeout
                ),
                trace_configs=[trace],
                trust_env=False,
            )
        return self._session

    async def _call(
        self, request: TokenRequest, previous: TokenSet | None, guard: Guard | None
    ) -> TokenSet:
        import aiohttp

        progress = SimpleNamespace(connected=False, guard=guard)
        requested_at = self._clock.now()
        try:
            async with self._open().post(
                self._oauth.token_endpoint,
                data=request.body,
                headers=request.headers,
                allow_redirects=False,
                proxy=self._proxy,
                trace_request_ctx=progress,
            ) as answer:
                body = await _read(answer)
                # The window in which a rotation can be lost is open: nothing stands between the
                # last byte of the answer and its tokens.
                tokens = parse_token_response(
                    answer.status,
                    body,
                    requested_at=requested_at,
                    scopes=self._oauth.scopes,
                    previous=previous,
                    retry_after=answer.headers.get("Retry-After"),
                )
                self._note_date(answer.headers.get("Date"))
                return tokens
        except ProxyError:
            raise
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _translate(error, connected=progress.connected) from None

    def _note_date(self, date: str | None) -> None:
        try:
            self.skew = parsedate_to_datetime(date or "").timestamp() - self._clock.now()
        except ValueError:
            self.skew = None


async def _connected(
    _session: "aiohttp.ClientSession",
    context: SimpleNamespace,
    _params: "aiohttp.TraceConnectionCreateEndParams",
) -> None:
    progress = context.trace_request_ctx
    if progress.guard is not None:
        progress.guard()
    progress.connected = True


async def _read(answer: "aiohttp.ClientResponse") -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > MAX_ANSWER:
            raise TokenEndpointError(
                Outcome.UNKNOWN,
                "unusable_answer",
                "The token endpoint's answer is larger than any token answer.",
            )
    return bytes(body)


def _translate(error: Exception, *, connected: bool) -> TokenEndpointError:
    """Put a failure of the connection into our words; what it carries is not repeated."""
    if connected:
        reason, what = _broken(error)
        return TokenEndpointError(
            Outcome.UNKNOWN, reason, f"{what}; whether the token was spent is not known."
        )
    reason, what = _unconnected(error)
    return TokenEndpointError(Outcome.NOT_SPENT, reason, f"{what}; nothing was sent.")


def _broken(error: Exception) -> tuple[str, str]:
    import aiohttp

    if isinstance(error, (asyncio.TimeoutError, TimeoutError)):
        return "http_response_timeout", "The token endpoint did not answer within oauth.timeout"
    if isinstance(error, (aiohttp.ClientResponseError, aiohttp.ClientPayloadError)):
        return "http_protocol_error", "The token endpoint's answer was malformed or cut short"
    return "connection_terminated", "The token endpoint broke the connection off"


def _unconnected(error: Exception) -> tuple[str, str]:
    import aiohttp

    if isinstance(error, aiohttp.ClientConnectorDNSError | socket.gaierror):
        return "dns_error", "The token endpoint's name was not found"
    if isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.SSLCertVerificationError):
        return "tls_certificate_error", "The token endpoint's certificate did not verify"
    if isinstance(error, aiohttp.ClientConnectorSSLError | ssl.SSLError):
        return "tls_protocol_error", "TLS with the token endpoint failed"
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return "outbound_proxy_error", f"The outbound proxy refused the tunnel ({error.status})"
    if isinstance(error, (asyncio.TimeoutError, TimeoutError)):
        return "connection_timeout", "No connection to the token endpoint in time"
    if isinstance(error, OSError) and error.errno == errno.ECONNREFUSED:
        return "connection_refused", "Nothing accepts connections at the token endpoint's address"
    return "connection_refused", "No connection to the token endpoint came about"
