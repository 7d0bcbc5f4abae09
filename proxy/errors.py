"""The whole error tree, and the table of problems that a caller can be answered with.

    ProxyError
    ├── Problem              an answer of the proxy's own to a request: a row of KINDS
    │   └── DialError        no connection came about, and nothing was sent (proxy.system.dialing)
    ├── ConfigurationError   the set-up is wrong (exit code 2), every problem listed at once
    ├── StoreError           the token store cannot be read or written (`store_unavailable`)
    ├── GrantEnded           there is no grant to use: dead, absent or another app's (`reason`)
    ├── TokenEndpointError   the token endpoint failed in another way, told apart by `outcome`
    └── StartError           the server cannot start: port taken, privileged port (exit code 1)

A problem says what happened, whose side it is on and what to do (RFC 9457); its RFC 9209 error type
goes into `Proxy-Status`. The `help` of a kind is what docs/behaviour.md and the status page show.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple


class Side(StrEnum):
    """Whose side a problem is on."""

    CALLER = "caller"
    PROXY = "proxy"
    UPSTREAM = "upstream"


class Kind(NamedTuple):
    """One problem code: its status, whose side, its RFC 9209 error type and a sentence of help."""

    code: str
    status: int
    title: str
    side: Side
    error_type: str
    help: str


KINDS: Mapping[str, Kind] = {kind.code: kind for kind in (
    Kind("login_required", 503, "Login required", Side.PROXY, "proxy_configuration_error",
         "There is no usable grant. Open the login page once and authorize the app."),
    Kind("token_endpoint_unavailable", 503, "Token endpoint unavailable", Side.UPSTREAM,
         "destination_unavailable",
         "The access token has ended and cannot be refreshed at the moment. The grant is kept; "
         "the proxy tries again by itself."),
    Kind("store_unavailable", 503, "Token store unavailable", Side.PROXY,
         "proxy_internal_error",
         "The token store cannot be read or written. The log and srproxy check name the path or "
         "service, and what to do; nothing was lost or overwritten."),
    Kind("unknown_account", 404, "No such account", Side.CALLER, "http_request_denied",
         "The call names an account that is not configured. Its name comes from the API key, "
         "X-SRProxy-Account, the Host NAME.localhost, or account= in the query of a route of the "
         "proxy's own."),
    Kind("dry_run", 202, "Dry run: not sent", Side.PROXY, "http_request_denied",
         "A write that access.dry_run kept from SmartRecruiters; the body says what would have "
         "been sent."),
    Kind("configuration_error", 422, "Configuration has faults", Side.PROXY,
         "proxy_configuration_error",
         "The configuration that was to be reloaded has the faults that the detail names. Nothing "
         "was changed; correct them and reload again."),
    Kind("not_recorded", 404, "Not recorded", Side.CALLER, "http_request_error",
         "The recording that `srproxy replay` serves has no such answer. The detail names the "
         "nearest request that was recorded."),
    Kind("bad_host", 421, "Host not served here", Side.CALLER, "http_request_denied",
         "The Host header names none of this proxy's names. Call it as localhost, or add the name "
         "to access.allowed_hosts."),
    Kind("cross_origin", 403, "Cross-origin call refused", Side.CALLER, "http_request_denied",
         "A web page of another origin made this call. If it may, add its origin to "
         "access.allowed_origins."),
    Kind("unauthorized", 401, "API key required", Side.CALLER, "http_request_denied",
         "Send one of the keys of access.api_keys, as a bearer token, a Basic password, or in "
         "X-API-Key."),
    Kind("not_allowed", 403, "Not allowed by the rules", Side.CALLER, "http_request_denied",
         "An allow rule of this proxy does not admit the method and path. Change access.allow or "
         "the key's own rules if it should."),
    Kind("bad_request", 400, "Malformed or ambiguous request", Side.CALLER, "http_request_error",
         "The request is not well-formed HTTP/1.1, or could be read in two ways, so it was not "
         "forwarded."),
    Kind("head_too_large", 431, "Request head too large", Side.CALLER, "http_request_error",
         "The request line or the headers exceed listen.max_head_size. Send fewer or smaller "
         "ones, or raise the limit."),
    Kind("rate_limited", 429, "Held back for too long", Side.PROXY, "http_request_denied",
         "SmartRecruiters' limits held the request back for limits.max_wait, and nothing was sent. "
         "Try again after the time in Retry-After, or send fewer at once."),
    Kind("connection_limit_reached", 503, "Connection limit reached", Side.PROXY,
         "connection_limit_reached",
         "Every connection is busy. Try again after the time in Retry-After, or raise the limit."),
    Kind("dns_error", 502, "Upstream name not found", Side.UPSTREAM, "dns_error",
         "The upstream's name could not be resolved. Check the network and upstream.url."),
    Kind("connection_refused", 502, "Upstream refused the connection", Side.UPSTREAM,
         "connection_refused",
         "Nothing accepts connections at the upstream's address. Check the network, the outbound "
         "proxy and upstream.url."),
    Kind("connection_terminated", 502, "Upstream broke the connection off", Side.UPSTREAM,
         "connection_terminated",
         "The upstream closed the connection before it answered. Whether it acted on the request "
         "is unknown; check before sending it again."),
    Kind("tls_certificate_error", 502, "Upstream certificate not trusted", Side.UPSTREAM,
         "tls_certificate_error",
         "The upstream's certificate did not verify; the detail says why: expired, for another "
         "name, or from an unknown authority. Behind an inspecting proxy, set upstream.ca_file."),
    Kind("tls_protocol_error", 502, "TLS with the upstream failed", Side.UPSTREAM,
         "tls_protocol_error",
         "No TLS connection could be agreed on with the upstream. Check upstream.url and what "
         "stands between."),
    Kind("http_protocol_error", 502, "Upstream sent malformed HTTP", Side.UPSTREAM,
         "http_protocol_error",
         "The upstream's answer is not well-formed HTTP/1.1 and was not passed on."),
    Kind("connection_timeout", 504, "Upstream connection timed out", Side.UPSTREAM,
         "connection_timeout",
         "No connection to the upstream within upstream.connect_timeout. Check the network and "
         "the outbound proxy."),
    Kind("http_response_timeout", 504, "Upstream answer timed out", Side.UPSTREAM,
         "http_response_timeout",
         "The upstream did not answer within upstream.response_timeout. It may still have acted "
         "on the request."),
    Kind("loop_detected", 508, "Loop detected", Side.PROXY, "proxy_loop_detected",
         "The request has already passed through this proxy. Point upstream.url at the API, not "
         "at the proxy."),
    Kind("shutting_down", 503, "Shutting down", Side.PROXY, "connection_terminated",
         "The proxy is stopping and takes no new requests. Try again shortly."),
    Kind("not_found", 404, "No such route", Side.CALLER, "http_request_denied",
         "Paths under /-/ belong to the proxy itself and are never forwarded; this one does not "
         "exist."),
    Kind("method_not_allowed", 405, "Method not allowed", Side.CALLER, "http_request_denied",
         "This method is not taken here; Allow lists those that are."),
    Kind("internal_error", 500, "Internal error", Side.PROXY, "proxy_internal_error",
         "The proxy failed in a way that it did not foresee. The log has the place; please report "
         "it."),
)}  # fmt: skip


class ProxyError(Exception):
    """The common root."""


class Problem(ProxyError):
    """An answer of the proxy's own: a row of KINDS with the particulars of this case."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        status: int | None = None,
        reason: str | None = None,
        retry_after: int | None = None,
        login_url: str | None = None,
        headers: Sequence[tuple[str, str]] = (),
        members: Mapping[str, object] | None = None,
        side: Side | None = None,
    ) -> None:
        super().__init__(code, detail)
        self.kind = KINDS[code]
        self.side = side or self.kind.side
        self.status = status or self.kind.status
        self.detail = detail
        self.reason = reason
        self.retry_after = retry_after
        self.login_url = login_url
        self.headers = headers
        self.members = members or {}  # more of the JSON object
        self.caller: str | None = None  # the name of the API key that it was sent with, if known

    @property
    def code(self) -> str:
        return self.kind.code


class ConfigurationError(ProxyError):
    """The configuration is wrong; `problems` holds a finished line for each fault."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def unforeseen() -> Problem:
    """Make the Problem of a fault of ours; what it was is for the log alone."""
    return Problem("internal_error", "The proxy failed in a way that it did not foresee.")


class StoreError(ProxyError):
    """The store cannot be read or written; says where and what to do, and nothing was lost."""

    def __init__(self, where: str, what: str, remedy: str) -> None:
        super().__init__(f"{where}: {what}; {remedy}")
        self.where = where
        self.what = what
        self.remedy = remedy


class GrantEnded(ProxyError):
    """The grant is dead, absent or another app's.

    `reason`: never_authorized, grant_expired, grant_revoked, logged_out or other_app.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


class Outcome(StrEnum):
    """What is known of a token request that did not succeed (rule 4 of the grant)."""

    NOT_SPENT = "not_spent"  # no connection, a complete 4xx but invalid_grant, or a 503
    INVALID_GRANT = "invalid_grant"
    UNKNOWN = "unknown"  # the answer was lost, a 5xx but 503, or a 200 that cannot be used


class TokenEndpointError(ProxyError):
    """A token request failed; `outcome` says what became of the code or refresh token."""

    def __init__(
        self,
        outcome: Outcome,
        reason: str,
        detail: str,
        *,
        retry_after: float | None = None,
        is_refusal: bool = False,
    ) -> None:
        super().__init__(reason, detail)
        self.outcome = outcome
        self.reason = reason
        self.detail = detail
        self.retry_after = retry_after
        # A complete answer that says no to the request itself, not to our id or secret.
        self.is_refusal = is_refusal


class StartError(ProxyError):
    """The server cannot start; the message says why and what to do."""
