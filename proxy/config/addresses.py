"""Names, origins and URLs of the configuration: which are accepted, and how they are kept.

A URL with user information in it is never shown: it may hold a password.
"""

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

from proxy.config.faults import Wrong, found
from proxy.config.values import secret
from proxy.system.loopback import is_loopback
from proxy.system.origin import DEFAULT_PORTS
from proxy.system.secret import Secret

LABELS = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")
SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
URL_CHARACTERS = re.compile(r"[\x21\x23-\x3b\x3d\x3f-\x5b\x5d\x5f\x61-\x7a\x7e]+")
DOT_SEGMENT = re.compile(r"/(\.|%2e){1,2}(/|$)", re.IGNORECASE)
# Paths that the proxy serves itself (proxy.control.application): a callback there would hide one.
OWN_ROUTES = {
    "/-/", "/-/status", "/-/login", "/-/login/complete", "/-/logout", "/-/live", "/-/ready",
    "/-/metrics", "/-/events", "/-/postman.json", "/-/postman-collection.json",
    "/-/requests.har", "/-/reload",
}  # fmt: skip
# Below it every path is a route: one kept request each.
OWN_REQUESTS = "/-/requests"


def parse_host(value: object) -> str | None:
    """Parse a host name or address without port: lower case, IPv6 without brackets."""
    if not isinstance(value, str):
        return None
    host = value.lower()
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if ":" not in host:
            return None
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host if LABELS.fullmatch(host) and len(host) <= 253 else None


def host(value: object) -> str:
    """Parse the host to listen on."""
    parsed = parse_host(value)
    if parsed is None:
        raise Wrong(
            f"{found(value)} is not a host",
            "accepted: localhost, an IP address, a host name (the port has its own key)",
        )
    return parsed


def allowed_host(value: object) -> str:
    """Parse a name the proxy answers to."""
    parsed = parse_host(value)
    if parsed is None:
        raise Wrong(
            f"{found(value)} is not a host name",
            "accepted: names or addresses without scheme and port, such as [proxy.internal]",
        )
    return parsed


def allowed_origin(value: object) -> str:
    """Parse a browser origin, and write it as browsers do: lower case, no default port."""
    accepted = "accepted: scheme, host and port, such as [https://tool.example.com]"
    if value == "*":
        raise Wrong('"*" would let every web page call', accepted)
    if not isinstance(value, str) or not URL_CHARACTERS.fullmatch(value):
        raise Wrong(f"{found(value)} is not an origin", accepted)
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise Wrong("is not an origin", accepted) from None
    if "@" in parts.netloc:
        raise Wrong("has user information in it", accepted)
    name = parse_host(parts.hostname)
    if not SCHEME.fullmatch(parts.scheme) or name is None or value.rstrip("/") != value:
        raise Wrong(f"{found(value)} is not an origin", accepted)
    if parts.path or parts.query or parts.fragment:
        raise Wrong(f"{found(value)} has more than an origin in it", accepted)
    if ":" in name:
        name = f"[{name}]"
    if port is None or DEFAULT_PORTS.get(parts.scheme) == port:
        return f"{parts.scheme}://{name}"
    return f"{parts.scheme}://{name}:{port}"


def _split(value: object, accepted: str) -> tuple[str, SplitResult]:
    if not isinstance(value, str):
        raise Wrong(f"{found(value)} is not a URL", accepted)
    if "@" in value.split("?", 1)[0].partition("://")[2].partition("/")[0]:
        raise Wrong("has user information in it (not shown)", accepted)
    if not URL_CHARACTERS.fullmatch(value):
        raise Wrong(f"{found(value)} is not a URL", accepted)
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise Wrong(f"{found(value)} is not a URL", accepted) from None
    if port == 0 or parse_host(parts.hostname) is None:
        raise Wrong(f"{found(value)} has no usable host or port", accepted)
    if DOT_SEGMENT.search(parts.path):
        raise Wrong(f"{found(value)} has a dot segment in its path", accepted)
    return value, parts


def endpoint(value: object) -> str:
    """Parse a URL that secrets are sent to: https, or http to this machine."""
    accepted = "accepted: https://… without query or fragment; http://… only to loopback"
    url, parts = _split(value, accepted)
    if parts.scheme not in DEFAULT_PORTS:
        raise Wrong(f"{found(url)} is not an https URL", accepted)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise Wrong(f"{found(url)} would send secrets unencrypted", accepted)
    if "?" in url or "#" in url:
        raise Wrong("has a query or fragment in it", accepted)
    return url


def upstream(value: object) -> str:
    """Parse the upstream's URL; a slash at the end has no meaning and is removed."""
    return endpoint(value).rstrip("/")


def redirect_uri(value: object) -> str:
    """Parse the redirect URI and keep it byte for byte."""
    accepted = "accepted: https://… or http://localhost…, byte for byte as registered"
    uri, parts = _split(value, accepted)
    if parts.scheme == "http" and parts.hostname != "localhost":
        raise Wrong(
            f"{found(uri)} is refused by SmartRecruiters, which takes http for localhost only",
            accepted,
        )
    if parts.scheme not in DEFAULT_PORTS:
        raise Wrong(f"{found(uri)} is neither https nor http", accepted)
    if "#" in uri:
        raise Wrong("has a fragment in it", accepted)
    if parts.path in OWN_ROUTES or f"{parts.path}/".startswith(f"{OWN_REQUESTS}/"):
        raise Wrong(
            f"its path {parts.path} is a route of the proxy itself",
            "accepted: another path, such as /-/callback",
        )
    if parts.path.lower().startswith("/identity/oauth"):
        raise Wrong(f"its path {parts.path} is never served here", "accepted: another path")
    return uri


def outbound_proxy(value: object) -> Secret:
    """Check the outbound proxy's URL; it may carry a password, so it is a secret."""
    # Only here: it brings the ssl module, which most commands do without.
    from proxy.system.network import OutboundProxy

    url = secret(accepted=OutboundProxy.ACCEPTED)(value)
    try:
        OutboundProxy.parse(url.reveal())
    except ValueError as error:
        raise Wrong(str(error), OutboundProxy.ACCEPTED) from None
    return url


def redis_url(value: object) -> Secret:
    """Check a Redis URL; it may carry a password, so it is a secret."""
    from proxy.system.redis.address import ACCEPTED, parse_redis_url  # only where there is one

    url = secret(accepted=f"accepted: {ACCEPTED}")(value)
    try:
        parse_redis_url(url)
    except ValueError as error:
        raise Wrong(str(error), f"accepted: {ACCEPTED}") from None
    return url
