"""The URL of a Redis, read in this one place.

    redis://[user:password@]host[:port][/number]
    rediss://…                                     TLS, always verified; ssl_certfile, ssl_keyfile
    unix://[user:password@]/path[?db=number]
    redis+sentinel://[user:password@]host[:port],host[:port]/service[/number]
    rediss+sentinel://…                            TLS to Sentinel and to the servers

User and password are percent-encoded. No error shows any piece of the URL.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote

from proxy.system.secret import Secret

ACCEPTED = "redis://host:port/number, rediss://…, redis+sentinel://host,host/service, unix://path"
# Not urlsplit: patched Pythons refuse an IPv6 address behind other hosts, as Sentinels are listed.
_URL = re.compile(
    r"(?P<scheme>[a-z+]+)://(?:(?P<userinfo>[^/?#]*)@)?(?P<authority>[^/?#@]*)(?P<path>[^?#]*)"
    r"(?:\?(?P<query>[^#]*))?(?:#(?P<fragment>.*))?",
    re.IGNORECASE,
)
_HOST = re.compile(r"(?P<name>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:(?P<port>\d{1,5}))?")
_PATH = re.compile(r"(/(?P<number>\d{1,5})?)?")
_SENTINEL_PATH = re.compile(r"/(?P<service>[A-Za-z0-9._-]+)(/(?P<number>\d{1,5})?)?")
_ESCAPED = re.compile(r"([^%\[\]]|%[0-9A-Fa-f]{2})*")
_SCHEMES = ("redis", "rediss", "redis+sentinel", "rediss+sentinel", "unix")
_OPTIONS = {"db", "sentinel_password", "sentinel_username", "ssl_ca_certs", "ssl_certfile",
            "ssl_keyfile"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """What a Redis URL says; `place` is what people may see of it."""

    place: str
    # Of the server, or of each Sentinel; empty with a socket.
    hosts: tuple[tuple[str, int], ...] = ()
    socket: str | None = None
    service: str | None = None
    number: int = 0
    tls: bool = False
    username: str | None = None
    password: Secret | None = None
    sentinel_username: str | None = None
    sentinel_password: Secret | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None


def parse_redis_url(url: Secret) -> RedisAddress:
    """Parse a URL; ValueError says what is wrong with it and shows no piece of it."""
    parts, options = _split(url.reveal())
    scheme, authority = parts["scheme"].lower(), parts["authority"]
    is_unix, sentinel = scheme == "unix", scheme.endswith("+sentinel")
    path = (_SENTINEL_PATH if sentinel else _PATH).fullmatch(parts["path"])
    number = options.get("db") or (None if is_unix or path is None else path["number"])
    hosts = () if is_unix else _hosts(authority, 26379 if sentinel else 6379)
    if is_unix:
        is_usable = not authority and parts["path"].startswith("/")
    else:
        is_usable = path is not None and (len(hosts) == 1 or (bool(hosts) and sentinel))
    if not is_usable or (number and not (number.isascii() and number.isdecimal())):
        what = "names no Sentinels and service" if sentinel else "is not a Redis URL"
        raise ValueError(f"{what} (its value is not shown)")
    names = ",".join(f"[{n}]:{port}" if ":" in n else f"{n}:{port}" for n, port in hosts)
    user, _, password = (parts["userinfo"] or "").partition(":")
    return RedisAddress(
        # Without the scheme: a URL is a secret, and the log would mask what is equal to it.
        f"{'Sentinel ' if sentinel else ''}{names}{parts['path']}",
        hosts,
        socket=unquote(parts["path"]) if is_unix else None,
        service=path["service"] if sentinel and path else None,
        number=int(number or 0),
        tls=scheme.startswith("rediss"),
        username=unquote(user) or None,
        password=_secret(unquote(password)),
        sentinel_username=options.get("sentinel_username"),
        sentinel_password=_secret(options.get("sentinel_password")),
        ca_file=_file(options.get("ssl_ca_certs")),
        cert_file=_file(options.get("ssl_certfile")),
        key_file=_file(options.get("ssl_keyfile")),
    )


def _split(text: str) -> tuple[re.Match[str], dict[str, str]]:
    parts = _URL.fullmatch(text)
    scheme, query = (parts["scheme"].lower(), parts["query"] or "") if parts else ("", "")
    if parts is None or scheme not in _SCHEMES or not text.isprintable() or " " in text:
        raise ValueError("is not a Redis URL (its value is not shown)")
    try:
        options = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise ValueError("is not a Redis URL (its value is not shown)") from None
    userinfo = parts["userinfo"] or ""
    # An unescaped / ? # or @ of a password cuts the URL in the wrong place, and leaves an @ behind.
    is_stray = "@" in userinfo + query or (
        "@" in parts["path"] and bool(parts["authority"] or scheme != "unix")
    )
    if is_stray or parts["fragment"] or not _ESCAPED.fullmatch(userinfo):
        raise ValueError(
            "has a character in its user or password that must be escaped (its value is not shown; "
            "@ is %40, / is %2F, # is %23, ? is %3F, % is %25)"
        )
    chosen = dict(options)
    if len(chosen) != len(options) or not chosen.keys() <= _OPTIONS:
        raise ValueError("has an option that is not taken (its value is not shown)")
    return parts, chosen


def _hosts(authority: str, default_port: int) -> tuple[tuple[str, int], ...]:
    """Parse names with ports; nothing where one of them is none."""
    found = []
    for piece in authority.split(","):
        host = _HOST.fullmatch(piece)
        port = int(host["port"] or default_port) if host else 0
        if host is None or not 0 < port < 65536:
            return ()
        found.append((host["name"].strip("[]"), port))
    return tuple(found)


def _secret(text: str | None) -> Secret | None:
    return Secret(text) if text else None


def _file(text: str | None) -> Path | None:
    return Path(text) if text else None
