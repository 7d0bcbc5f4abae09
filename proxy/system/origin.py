"""Origins of ours: scheme and authority, as callers use them. No other module writes `http://`.

A caller's origin is https where its connection is TLS, or where it calls us by the redirect URI's
host (at any port) and that URI is https, which is how a TLS front looks from here; otherwise http.
X-Forwarded-* is not believed: anybody can send it.
"""

import ipaddress
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}


def build_origin(host: str, port: int | None = None, *, tls: bool = False) -> str:
    """Build the origin of a host name or an IP address, with or without a port."""
    host = host.strip("[]")
    if ":" in host:
        host = f"[{host}]"
    where = host if port is None else f"{host}:{port}"
    return f"https://{where}" if tls else f"http://{where}"


def reachable_origin(host: str, port: int, *, tls: bool = False) -> str:
    """Build the origin at which a tool on this machine reaches a listener on `host`."""
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return build_origin(host, port, tls=tls)
    return build_origin("localhost" if address.is_unspecified else str(address), port, tls=tls)


class CallerOrigins:
    """Tells the origin that a caller used for us."""

    def __init__(self, redirect_uri: str) -> None:
        own = urlsplit(redirect_uri)
        self._secure_host = own.hostname if own.scheme == "https" else None

    def of(self, authority: str, *, tls: bool) -> str:
        """Return the origin, by the authority that the caller named (Host) and its connection."""
        secure = tls or (self._secure_host is not None and _host_of(authority) == self._secure_host)
        return f"https://{authority}" if secure else f"http://{authority}"


def _host_of(authority: str) -> str | None:
    try:
        return urlsplit(f"//{authority}").hostname
    except ValueError:
        return None
