"""All guards in their order, on the head of every request.

The order is from who may talk to us at all to what this caller may ask: method and form of the
target, Host, web pages, API key, allow rules. The first refusal ends it, and nothing was forwarded.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from proxy.config import Config
from proxy.config.names import DEFAULT_ACCOUNT
from proxy.errors import Problem
from proxy.gateway.guards.choice import Choice
from proxy.gateway.guards.hosts import Hosts, parse_authority
from proxy.gateway.guards.keys import Keys
from proxy.gateway.guards.origins import UNSUSPICIOUS_SITES, Origins
from proxy.gateway.guards.peer import Peer
from proxy.gateway.guards.routes import (
    ANY_HOST,
    FOR_ADMINS,
    FORWARD,
    NAVIGABLE,
    NO_KEY,
    Route,
    Routes,
)
from proxy.gateway.guards.rules import RuleSet
from proxy.gateway.guards.targets import (
    METHODS_TAKEN,
    canonical,
    check_method,
    check_target,
    is_token_endpoint,
    refused,
    split_absolute,
)
from proxy.gateway.guards.token_requests import TokenAnswer, answer_token_request
from proxy.gateway.http1 import Headers, RequestHead

KEY_HEADER: Final = b"x-api-key"
ANONYMOUS: Final = -1  # in place of a key's number: none was asked for
# RFC 9110 section 9.2.1: they change nothing.
READING: Final = frozenset({b"GET", b"HEAD", b"OPTIONS"})
USUAL_METHODS: Final = frozenset(METHODS_TAKEN.encode().split(b", "))


@dataclass(frozen=True, slots=True)
class Admission:
    """Who was let in, and what follows from it."""

    caller: str | None = None  # the API key's name
    account: str = DEFAULT_ACCOUNT
    key_header: bytes | None = None  # KEY_HEADER where there are API keys: it is not forwarded
    origin: bytes | None = None  # the allowed origin that called
    number: int = ANONYMOUS  # the key's, in access.api_keys


def _cross_origin() -> Problem:
    return Problem(
        "cross_origin",
        "A web page of another origin made this call, and nothing was done. If the page may call, "
        "add its origin to access.allowed_origins.",
    )


class Guards:
    """Every guard, built once from the configuration."""

    def __init__(self, config: Config) -> None:
        uris = [urlsplit(account.oauth.redirect_uri) for account in config.accounts.values()]
        access = config.access
        self._hosts = Hosts(
            [config.listen.host or "", *(uri.hostname or "" for uri in uris), *access.allowed_hosts]
        )
        self._origins = Origins(access.allowed_origins)
        self._has_origins = bool(self._origins)
        self._keys = Keys(access.api_keys)
        self._callers = access.api_keys
        self._rules = RuleSet(access.allow)
        self._key_rules = [RuleSet(key.allow) for key in access.api_keys]
        self._has_keys = bool(self._keys)
        self._has_admins = any(key.admin for key in access.api_keys)
        self._choice = Choice(config.accounts)
        self._dry_run = access.dry_run
        self._has_rules = bool(self._rules) or any(self._key_rules)
        self._routes = Routes((uri.path or "/").encode() for uri in uris)
        # Kept only if it starts with /i: then prefix + path could be /identity/oauth.
        prefix = urlsplit(config.upstream.url).path.encode()
        self._prefix = prefix if canonical(prefix).startswith(b"/i") else b""
        self._anonymous = Admission()
        self._admissions: dict[tuple[int, str, bytes | None], Admission] = {}

    def classify(self, head: RequestHead) -> Route:
        """Return whose a request's target is, by its path alone."""
        return self._routes.of(head.path)

    def is_dry_run(self, method: bytes) -> bool:
        """Return whether a call by this method is kept from the upstream (access.dry_run)."""
        return self._dry_run and method not in READING

    def token_answer(self, head: RequestHead, body: bytes) -> TokenAnswer:
        """Answer a tool that asks for a token itself; the head was checked as Route.TOKEN."""
        return answer_token_request(head.fields, body, self._keys)

    def check(self, head: RequestHead, route: Route, peer: Peer) -> Admission:
        """Let a request in, or raise the Problem that refuses it."""
        method, fields = head.method, head.fields
        if route is Route.TOKEN and method != b"POST":
            route = FORWARD  # and refused there, with a word on what to do instead
        if method != b"GET" and method not in USUAL_METHODS:
            check_method(method)
        path = self._path(head, route, peer)
        host = fields.get(b"host")
        if host is None:
            if head.minor:
                raise refused("HTTP/1.1 requires a Host header, and there is none.")
        elif not self._hosts.admits(host, peer):
            self._refuse_host(host, route, peer)
        allowed = None
        if b"origin" in fields or b"sec-fetch-site" in fields:
            allowed = self._check_page(method, fields, route)
            if allowed is not None and self._is_preflight(head):
                return self._admit(ANONYMOUS, DEFAULT_ACCOUNT, allowed)
        number = ANONYMOUS
        if self._has_keys and route not in NO_KEY:
            number = self._keys.identify(fields, peer.subjects)
        try:
            if route is FORWARD:
                account = self._choose(fields, number)
                self._check_call(head, path, number)
            else:
                account = DEFAULT_ACCOUNT
                if self._has_admins and route in FOR_ADMINS:
                    self._check_admin(number)
        except Problem as problem:
            if number != ANONYMOUS:
                problem.caller = self._callers[number].name
            raise
        return self._admit(number, account, allowed)

    def check_again(self, head: RequestHead, peer: Peer, admission: Admission) -> None:
        """Let a call in whose method and headers were admitted before: its target is looked at."""
        path = self._path(head, FORWARD, peer)
        try:
            self._check_call(head, path, admission.number)
        except Problem as problem:
            problem.caller = admission.caller
            raise

    def cors_headers(self, head: RequestHead, admission: Admission | None) -> Headers:
        """Build what an answer carries for CORS, in place of the upstream's own such headers.

        Without an admission (a refusal is being answered) the origin is looked up in the head.
        """
        if not self._has_origins:
            return []
        if admission is not None:
            return self._origins.answer_headers(admission.origin)
        return self.cors_headers_for(head.fields.get(b"origin"))

    def cors_headers_for(self, origin: bytes | None) -> Headers:
        """Build what an answer to a web page of that origin carries for CORS."""
        return self._origins.answer_headers(self._origins.allowed(origin))

    def preflight(self, head: RequestHead) -> Headers | None:
        """Build the headers of a 204 if this admitted request is a CORS preflight."""
        origin = self._origins.allowed(head.fields.get(b"origin"))
        if origin is None or not self._is_preflight(head):
            return None
        return self._origins.preflight_headers(
            origin, head.fields.get(b"access-control-request-headers")
        )

    @staticmethod
    def _is_preflight(head: RequestHead) -> bool:
        return head.method == b"OPTIONS" and b"access-control-request-method" in head.fields

    def _choose(self, fields: Mapping[bytes, bytes], number: int) -> str:
        return self._choice.of(
            fields, self._callers[number].account if number != ANONYMOUS else None
        )

    def _check_admin(self, number: int) -> None:
        if number == ANONYMOUS or not self._callers[number].admin:
            raise Problem(
                "not_allowed",
                "The page and what acts on the grant are for administrators' keys (access.api_keys,"
                " admin). Calls to the API, /-/status, probes and metrics are open to this one.",
            )

    def _path(self, head: RequestHead, route: Route, peer: Peer) -> bytes:
        """Check the form of the target; return its path, without an authority."""
        if head.is_plain and b"upgrade" not in head.fields:
            return head.path
        # RFC 9110 section 7.8: any other offer may be ignored; this one would change the protocol.
        if b"websocket" in head.fields.get(b"upgrade", b"").lower():
            raise refused("WebSocket handshakes are not taken: the API has no WebSocket.")
        target = head.target
        if not target.startswith(b"/"):
            parts = split_absolute(target)
            if parts is None:
                raise refused("The target is neither a path nor a URL of this proxy's own.")
            authority, target = parts
            if not self._hosts.admits(authority, peer):
                self._refuse_host(authority, route, peer, as_proxy=True)
            host = head.fields.get(b"host")
            # RFC 9112 section 3.2.2 has us ignore Host then; others on the way may not.
            if host is not None and parse_authority(host) != parse_authority(authority):
                raise refused("The target and the Host header name two different hosts.")
        check_target(target)
        return target.partition(b"?")[0]

    def _refuse_host(
        self, host: bytes, route: Route, peer: Peer, *, as_proxy: bool = False
    ) -> None:
        if self._hosts.admits(host, peer) is None:
            raise refused("The Host header is empty, repeated or no host and port.")
        if as_proxy:
            raise Problem(
                "bad_host",
                "This is no forward proxy, and nothing was forwarded. Do not name it in http_proxy "
                "or https_proxy: set the tool's base URL to this proxy's own address instead.",
            )
        if route not in ANY_HOST:
            raise Problem(
                "bad_host",
                "The Host header names none of this proxy's names. Call it as localhost, or add "
                "the name to access.allowed_hosts.",
            )

    def _check_page(
        self, method: bytes, fields: Mapping[bytes, bytes], route: Route
    ) -> bytes | None:
        """Refuse web pages that may not call; return the allowed origin, if one is calling."""
        origin = fields.get(b"origin")
        allowed = self._origins.allowed(origin)
        if allowed is not None:
            return allowed
        if (
            method == b"GET"
            and route in NAVIGABLE
            and fields.get(b"sec-fetch-mode") == b"navigate"
            and fields.get(b"sec-fetch-dest") == b"document"
        ):
            return None
        if origin is not None and not self._origins.is_own(origin, fields.get(b"host")):
            raise _cross_origin()
        site = fields.get(b"sec-fetch-site")
        if site is not None and site.lower() not in UNSUSPICIOUS_SITES:
            raise _cross_origin()
        return None

    def _check_call(self, head: RequestHead, path: bytes, number: int) -> None:
        """Refuse a forwarded call that no rule allows."""
        method, plain = head.method, head.is_plain
        # A plain path that does not begin with "i" cannot be /identity/oauth.
        if (not plain or self._prefix or path[1:2] in (b"i", b"I")) and is_token_endpoint(
            path, self._prefix
        ):
            raise Problem(
                "not_allowed",
                "The OAuth endpoints below /identity/oauth are this proxy's to call. No token is "
                "needed here: set the tool's base URL to this proxy's own address instead. A tool "
                "that insists on a token gets one by POST /identity/oauth/token.",
            )
        if not self._has_rules:
            return
        if not self._rules.admits(method, path, plain=plain):
            raise Problem("not_allowed", "No rule of access.allow admits this method and path.")
        if number != ANONYMOUS and not self._key_rules[number].admits(method, path, plain=plain):
            raise Problem(
                "not_allowed",
                f'No rule of the API key "{self._callers[number].name}" (access.api_keys, allow) '
                "admits this method and path.",
            )

    def _admit(self, number: int, account: str, origin: bytes | None) -> Admission:
        """Return the admission for a key, an account and an origin: few, so kept."""
        if number == ANONYMOUS and origin is None and account is DEFAULT_ACCOUNT:
            return self._anonymous
        admission = self._admissions.get((number, account, origin))
        if admission is None:
            caller = self._callers[number].name if number != ANONYMOUS else None
            # The others that may carry a key never go upstream anyway.
            header = KEY_HEADER if self._has_keys else None
            admission = Admission(caller, account, header, origin, number)
            self._admissions[number, account, origin] = admission
        return admission


class InForce:
    """The guards of now, for all connections: a reload exchanges them whole."""

    __slots__ = ("guards",)

    def __init__(self, guards: Guards) -> None:
        self.guards = guards
