"""The token endpoint over HTTP: one POST, one answer, and what became of what was sent.

Every failure leaves as a TokenEndpointError. It says NOT_SPENT where no connection came about, so
that not a byte of the token can have left us; from the moment that one exists, whatever is not a
complete answer is UNKNOWN. Redirects are not followed, answers are read up to 1 MiB, connections
are not reused (a late answer must not meet the next request), the environment is not read, and
nothing of a request or an answer is logged or repeated in a message.
"""

from collections.abc import Callable
from email.utils import parsedate_to_datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING

from proxy.config import OAuthConfig
from proxy.errors import Outcome, Problem, ProxyError, TokenEndpointError
from proxy.grant.oauth import (
    MAX_ANSWER,
    TokenRequest,
    TokenSet,
    build_exchange_request,
    build_refresh_request,
    parse_token_response,
)
from proxy.system.clock import Clock
from proxy.system.dialing import Dialer
from proxy.system.secret import Secret

if TYPE_CHECKING:
    import aiohttp  # in earnest only when it is used: the start does not wait for it

# Called when the connection stands and before a byte of the request is sent; raises to forbid it.
Guard = Callable[[], None]


class TokenEndpoint:
    """Exchanges codes and spends refresh tokens at the configured endpoint."""

    def __init__(self, oauth: OAuthConfig, clock: Clock, dialer: Dialer) -> None:
        self._oauth = oauth
        self._clock = clock
        self._dialer = dialer
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
        if self._session is None:
            import aiohttp

            from proxy.system.session import open_session

            trace = aiohttp.TraceConfig()
            trace.on_connection_create_end.append(_connected)
            self._session = open_session(self._dialer, self._oauth.timeout, trace)
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
        except Problem as problem:
            # The dialer's: nothing but it raises one.
            raise TokenEndpointError(Outcome.NOT_SPENT, problem.code, problem.detail) from None
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
    """Put a failure after the dialing into our words; what it carries is not repeated."""
    import aiohttp

    if not connected:
        return TokenEndpointError(
            Outcome.NOT_SPENT,
            "connection_timeout",
            "No connection to the token endpoint within oauth.timeout; nothing was sent.",
        )
    if isinstance(error, TimeoutError):
        reason = "http_response_timeout"
        what = "The token endpoint did not answer within oauth.timeout"
    elif isinstance(error, (aiohttp.ClientResponseError, aiohttp.ClientPayloadError)):
        reason = "http_protocol_error"
        what = "The token endpoint's answer was malformed or cut short"
    else:
        reason = "connection_terminated"
        what = "The token endpoint broke the connection off"
    return TokenEndpointError(
        Outcome.UNKNOWN, reason, f"{what}; whether the token was spent is not known."
    )
