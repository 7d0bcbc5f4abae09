"""The gate itself: every guard in order, on the head of every request.

The order is from who may talk to us at all to what this caller may ask: method and form of the
target, Host, web pages, API key, allow rules. The first refusal ends it, and nothing was forwarded.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol
from urllib.parse import urlsplit

from proxy.config import Config
from proxy.errors import Problem
from proxy.gateway.guards.hosts import Hosts, parse_authority
from proxy.gateway.guards.keys import Keys
from proxy.gateway.guards.origins import UNSUSPICIOUS_SITES, Origins
from proxy.gateway.guards.rules import RuleSet
from proxy.gateway.guards.targets import (
    METHODS_TAKEN,
    PLAIN,
    canonical,
    check_method,
    check_target,
    is_token_endpoint,
    origin_form,
    refused,
    split_absolute,
)


class Route(StrEnum):
    """Whose a target is: the upstream's, or which of our own."""

    FORWARD = "forward"
    LIVE = "live"
    READY = "ready"
    METRICS = "metrics"
    CALLBACK = "callback"
    PAGE = "page"
    LOGIN = "login"
    CONTROL = "control"


# Bound once: before Python 3.12 each look-up of an enum's member costs a function call.
FORWARD = Route.FORWARD
OWN_PREFIX = b"/-/"
OWN_PATHS = {
    b"/-/": Route.PAGE,
    b"/-/live": Route.LIVE,
    b"/-/ready": Route.READY,
    b"/-/metrics": Route.METRICS,
    b"/-/login": Route.LOGIN,
}
# Probes use addresses, and learn nothing here that a port scan would not tell.
ANY_HOST = frozenset({Route.LIVE, Route.READY})
# Probes and scrapers have no key; the callback's key is its `state`.
NO_KEY = frozenset({Route.LIVE, Route.READY, Route.METRICS, Route.CALLBACK})
# Where a link or a redirect of another site may lead a person: none of them acts on a plain GET.
NAVIGABLE = frozenset({Route.CALLBACK, Route.PAGE, Route.LOGIN})
USUAL_METHODS = frozenset(METHODS_TAKEN.encode().split(b", "))


class Head(Protocol):
    """What a guard looks at of a request."""

    @property
    def method(self) -> bytes: ...
    @property
    def target(self) -> bytes: ...
    @property
    def minor(self) -> int: ...
    @property
    def fields(self) -> Mapping[bytes, bytes]: ...


@dataclass(frozen=True, slots=True)
class Admission:
    """Who was let in, and what follows from it."""

    caller: str | None = None  # the API key's name
    account: str = "default"
    key_header: bytes | None = None  # lower case; not to be forwarded
    origin: bytes | None = None  # the allowed origin that called


def _cross_origin() -> Problem:
    return Problem(
        "cross_origin",
        "A web page of another origin made this call, and nothing was done. If the page may call, "
        "add its origin to access.allowed_origins.",
    )


class Guards:
    """Every gate, built once from the configuration."""

    def __init__(self, config: Config) -> None:
        redirect_uri = urlsplit(config.oauth.redirect_uri)
        access = config.access
        self._hosts = Hosts(
            [config.listen.host or "", redirect_uri.hostname or "", *access.allowed_hosts]
        )
        self._origins = Origins(access.allowed_origins)
        self._keys = Keys(access.api_keys)
        self._callers = access.api_keys
        self._rules = RuleSet(access.allow)
        self._key_rules = [RuleSet(key.allow) for key in access.api_keys]
        self._has_keys = bool(self._keys)
        self._has_rules = bool(self._rules) or any(self._key_rules)
        self._callback = (redirect_uri.path or "/").encode()
        # Needed only where prefix and path together could spell the OAuth endpoints.
        prefix = urlsplit(config.upstream.url).path.encode()
        self._prefix = prefix if canonical(prefix).startswith(b"/i") else b""
        self._anonymous = Admission()
        self._admissions: dict[tuple[int, bytes | None, bytes | None], Admission] = {}

    def classify(self, target: bytes) -> Route:
        """Tell whose a target is, by its path alone."""
        if target.startswith(self._callback):
            rest = target[len(self._callback) :]
            if not rest or rest.startswith(b"?"):
                return Route.CALLBACK
        if target.startswith(OWN_PREFIX):
            return OWN_PATHS.get(target.partition(b"?")[0], Route.CONTROL)
        if target.startswith(b"/"):
            return FORWARD
        plain = origin_form(target)
        return FORWARD if plain is target else self.classify(plain)

    def check(self, head: Head, route: Route, local_ip: str | None) -> Admission:
        """Let a request in, or raise the Problem that refuses it."""
        method, target, fields = head.method, head.target, head.fields
        if method not in USUAL_METHODS:
            check_method(method)
        plain = PLAIN.fullmatch(target) is not None
        if not plain or b"upgrade" in fields:
            target = self._inspect(head, route, local_ip)
        host = fields.get(b"host")
        if host is None:
            if head.minor:
                raise refused("HTTP/1.1 requires a Host header, and there is none.")
        elif not self._hosts.admits(host, local_ip):
            self._refuse_host(host, route, local_ip)
        allowed = None
        if b"origin" in fields or b"sec-fetch-site" in fields:
            allowed = self._check_page(method, fields, route)
            if allowed is not None and self._is_preflight(head):
                return self._admit(-1, None, allowed)
        admission = self._anonymous if allowed is None else self._admit(-1, None, allowed)
        number = -1
        if self._has_keys and route not in NO_KEY:
            number, header = self._keys.identify(fields)
            admission = self._admit(number, header, allowed)
        # What begins otherwise and reads in one way cannot lead to the OAuth endpoints.
        if route is FORWARD and (
            self._has_rules or not plain or self._prefix or target[1:2] in (b"i", b"I")
        ):
            self._check_call(method, target, number, plain)
        return admission

    def cors_headers(self, head: Head, admission: Admission | None) -> list[tuple[bytes, bytes]]:
        """Build what an answer carries for CORS, in place of the upstream's own such headers.

        Without an admission (a refusal is being answered) the origin is looked up in the head.
        """
        if not self._origins:
            return []
        if admission is not None:
            return self._origins.answer_headers(admission.origin)
        return self.cors_headers_for(head.fields.get(b"origin"))

    def cors_headers_for(self, origin: bytes | None) -> list[tuple[bytes, bytes]]:
        """Build what an answer to a web page of that origin carries for CORS."""
        return self._origins.answer_headers(self._origins.allowed(origin))

    def preflight(self, head: Head) -> list[tuple[bytes, bytes]] | None:
        """Build the headers of a 204 if this admitted request is a CORS preflight."""
        origin = self._origins.allowed(head.fields.get(b"origin"))
        if origin is None or not self._is_preflight(head):
            return None
        return self._origins.preflight_headers(
            origin, head.fields.get(b"access-control-request-headers")
        )

    @staticmethod
    def _is_preflight(head: Head) -> bool:
        return head.method == b"OPTIONS" and b"access-control-request-method" in head.fields

    def _inspect(self, head: Head, route: Route, local_ip: str | None) -> bytes:
        """Look closely at an unusual request; return its target without an authority."""
        # RFC 9110 section 7.8: any other offer may be ignored; this one would change the protocol.
        if b"websocket" in head.fields.get(b"upgrade", b"").lower():
            raise refused("WebSocket handshakes are not taken: the API has no WebSocket.")
        target = head.target
        if not target.startswith(b"/"):
            parts = split_absolute(target)
            if parts is None:
                raise refused("The target is neither a path nor a URL of this proxy's own.")
            authority, target = parts
            if not self._hosts.admits(authority, local_ip):
                self._refuse_host(authority, route, local_ip)
            host = head.fields.get(b"host")
            # RFC 9112 section 3.2.2 has us ignore Host then; others on the way may not.
            if host is not None and parse_authority(host) != parse_authority(authority):
                raise refused("The target and the Host header name two different hosts.")
        check_target(target)
        return target

    def _refuse_host(self, host: bytes, route: Route, local_ip: str | None) -> None:
        if self._hosts.admits(host, local_ip) is None:
            raise refused("The Host header is empty, repeated or no host and port.")
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

    def _check_call(self, method: bytes, target: bytes, number: int, plain: bool) -> None:
        """Refuse a forwarded call that no rule allows."""
        path = target.partition(b"?")[0]
        if (not plain or self._prefix or path[1:2] in (b"i", b"I")) and is_token_endpoint(
            path, self._prefix
        ):
            raise Problem(
                "not_allowed",
                "The OAuth endpoints below /identity/oauth are this proxy's to call, not a "
                "caller's.",
            )
        if not self._rules.admits(method, path, plain=plain):
            raise Problem("not_allowed", "No rule of access.allow admits this method and path.")
        if number >= 0 and not self._key_rules[number].admits(method, path, plain=plain):
            raise Problem(
                "not_allowed",
                f'No rule of the API key "{self._callers[number].name}" (access.api_keys, allow) '
                "admits this method and path.",
            )

    def _admit(self, number: int, header: bytes | None, origin: bytes | None) -> Admission:
        """Return the admission for a key, the header it came in and an origin: few, so kept."""
        admission = self._admissions.get((number, header, origin))
        if admission is None:
            if number < 0:
                admission = Admission(origin=origin)
            else:
                key = self._callers[number]
                admission = Admission(key.name, key.account or "default", header, origin)
            self._admissions[number, header, origin] = admission
        return admission
