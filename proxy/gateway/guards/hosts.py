"""Hosts: the names this proxy answers to, against DNS rebinding.

A page of evil.example that re-points its name to 127.0.0.1 is same-origin with the proxy as far as
its browser knows; only the `Host` it sends still shows it. Ports are not compared: they get mapped.
Whatever bytes come, the answer is a verdict (CVE-2026-14631: a malformed Host stopped a server).
"""

import ipaddress
import re
from collections.abc import Iterable
from typing import Final

from proxy.gateway.guards.peer import Peer

# Wider than DNS by `_`, which container networks use; anything else is malformed, not foreign.
AUTHORITY: Final = re.compile(
    rb"(?:([A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?)|\[([0-9A-Fa-f:.]+)\])(?::([0-9]{0,5}))?"
)
LONGEST: Final = 262  # 255 for a name, and a port
WILDCARDS: Final = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - recognised, not bound
# Over the Unix socket, where no browser can come: any host of RFC 3986, a path encoded in it
# included, as its clients' idioms have it; or nothing.
REG_NAME: Final = re.compile(
    rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?"
)
EVERYWHERE: Final = ""
REMEMBERED: Final = 1024

Authority = tuple[str, int | None]


def parse_authority(value: bytes) -> Authority | None:
    """Parse a Host header or an authority: name or address and port; None when malformed."""
    if len(value) > LONGEST:
        return None
    match = AUTHORITY.fullmatch(value)
    if match is None:
        return None
    name, literal, digits = match.groups()
    port = int(digits) if digits else None
    if port is not None and port > 65535:
        return None
    if literal is not None:
        try:
            return str(ipaddress.IPv6Address(literal.decode())), port
        except ValueError:
            return None
    return name.lower().decode(), port


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        # The usual spellings only: `127.1` and `2130706433` are names to this parser.
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address == ipaddress.IPv6Address(1) or (address.version == 4 and address.is_loopback)


def _unmapped(address: str) -> str:
    """Return an address as a Host names it: a dual-stack socket reports IPv4 as `::ffff:…`."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = getattr(parsed, "ipv4_mapped", None)
    return str(mapped or parsed)


class Hosts:
    """The allow-list of Host names, with its verdicts remembered."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(name.lower() for name in names) - WILDCARDS
        # What was admitted: at every address of ours, or at the one that it names.
        self._known: dict[bytes, str] = {}

    def admits(self, value: bytes, peer: Peer) -> bool | None:
        """Return whether an authority is one of ours; None when it is malformed."""
        if peer.is_unix:
            return True if REG_NAME.fullmatch(value) else None
        known = self._known.get(value)
        if known is not None and (known == EVERYWHERE or known == peer.local_ip):
            return True
        authority = parse_authority(value)
        if authority is None:
            return None
        host, local_ip = authority[0], peer.local_ip
        if host in self._names or _is_loopback(host):
            at = EVERYWHERE
        elif local_ip is not None and host == _unmapped(local_ip):
            at = local_ip
        else:
            return False
        # Bounded, or names under .localhost could fill the memory.
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[value] = at
        return True
