"""The findings of `srproxy check`, and the checks of the network.

Each check is a function from a Session to findings with a remedy. Nothing is changed, nothing is
sent but requests without credentials, and one GET with the grant.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import IntEnum
from pathlib import Path
from urllib.parse import urlsplit

from proxy.cli.session import Session
from proxy.cli.starter import Credential
from proxy.errors import ConfigurationError
from proxy.grant.wire import Answer, Wire, WireError
from proxy.system.dialing import Dialer, DialError
from proxy.system.loopback import is_loopback
from proxy.system.network import build_ssl_context, outbound_proxy

TIMEOUT = 15.0
# Tokens live 30 minutes: a minute is noticed by nobody, five shorten every token's life.
CLOCK_SKEW = 60.0


class Grade(IntEnum):
    """How a check came out, from best to worst."""

    SKIPPED = 0
    GOOD = 1
    NOTE = 2
    LOGIN = 3
    BAD = 4


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    grade: Grade
    what: str
    remedy: str = ""


# How each kind of credential is called, and what to do where it is refused.
_TOGETHER = "check that upstream.url and oauth.token_endpoint belong together"
CREDENTIALS: Mapping[Credential, tuple[str, str]] = {
    "authorization_code": ("the grant", f"{_TOGETHER}; then run srproxy login"),
    "client_credentials": ("the app's access token", _TOGETHER),
    "smart_token": ("the API key", "check the key in SmartRecruiters, and upstream.url"),
}

Check = Callable[[Session], AsyncGenerator[Finding, None]]


async def check_reach(session: Session) -> AsyncGenerator[Finding, None]:
    """Reach the hosts that are used, each once, as requests will; and compare the clocks."""
    config = session.config
    for finding in _roots(session.environ):
        yield finding
    # An API key needs no token endpoint, and no clock.
    endpoints = {
        account.oauth.token_endpoint
        for account in config.accounts.values()
        if account.kind != "smart_token"
    }
    hosts = {("upstream", "upstream.url", config.upstream.url)}
    hosts |= {("token endpoint", "oauth.token_endpoint", url) for url in endpoints}
    by_origin: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
    for host in sorted(hosts, reverse=True):
        parts = urlsplit(host[2])
        by_origin.setdefault((parts.scheme, parts.netloc), []).append(host)
    try:
        context = build_ssl_context(config.upstream.ca_file)
        for (name, key, url), *others in by_origin.values():
            keys = [key, *(other for _, other, _ in others)]
            dialer = _dialer(session, url, context, name=name, key=key)
            async for finding in _reach(session, keys, url, dialer):
                yield finding
    except ConfigurationError as error:
        yield Finding(Grade.BAD, str(error))


def _roots(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Find variables that name root certificates which are not there: TLS then fails oddly."""
    for name, is_there in (("SSL_CERT_FILE", Path.is_file), ("SSL_CERT_DIR", Path.is_dir)):
        places = environ.get(name, "").split(os.pathsep)
        if environ.get(name) and not any(is_there(Path(place)) for place in places):
            yield Finding(
                Grade.BAD,
                f"{name} names {environ[name]}, which is not there",
                f"correct it, or unset {name}: the system's root certificates are then used",
            )


def _dialer(
    session: Session,
    url: str,
    context: ssl.SSLContext,
    *,
    name: str = "upstream",
    key: str = "upstream.url",
) -> Dialer:
    upstream = session.config.upstream
    outbound = outbound_proxy(url, upstream.proxy, session.environ)
    return Dialer(url, context, upstream.connect_timeout, outbound=outbound, name=name, key=key)


async def _reach(
    session: Session, keys: Sequence[str], url: str, dialer: Dialer
) -> AsyncGenerator[Finding, None]:
    key = " and ".join(dict.fromkeys(keys))
    host, port = dialer.host, dialer.port
    way = ""
    if dialer.outbound is not None:
        way = f" through the outbound proxy {dialer.outbound.host}:{dialer.outbound.port}"
    elif not is_loopback(host):
        try:
            await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            yield Finding(
                Grade.BAD,
                f"{key}: the name {host} cannot be resolved ({error.strerror or error})",
                "check the network and its DNS; behind a company proxy set upstream.proxy",
            )
            return
        yield Finding(Grade.GOOD, f"{key}: the name {host} resolves")
    try:
        answer = await _get(url, dialer)
    except (DialError, WireError) as error:
        yield _unreachable(f"{key}: {host}:{port}{way}", error)
        return
    secure = "TLS and HTTP" if url.startswith("https:") else "HTTP (plain, to this machine)"
    yield Finding(Grade.GOOD, f"{key}: {secure} with {host}:{port} succeeded{way}")
    if "oauth.token_endpoint" in keys:
        yield _clock(answer.headers.get("date"), session.clock.now())


async def _get(url: str, dialer: Dialer, headers: Mapping[str, str] | None = None) -> Answer:
    answer = await Wire(url, dialer, TIMEOUT).send("GET", headers or {})
    if not answer.status:  # no head that could be read
        raise answer.broken or WireError("http_protocol_error", "the answer was malformed")
    return answer


def _unreachable(where: str, error: DialError | WireError) -> Finding:
    if isinstance(error, DialError):
        return Finding(Grade.BAD, f"{where}: {error.what}", error.remedy)
    if error.reason == "http_response_timeout":
        return Finding(
            Grade.BAD,
            f"{where}: connected, and no answer within {TIMEOUT:g} s",
            "check what is between, and try again",
        )
    return Finding(
        Grade.BAD,
        f"{where}: connected, and no answer in HTTP came ({error.what})",
        "check what answers there",
    )


def _clock(date: str | None, now: float) -> Finding:
    try:
        theirs = parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        return Finding(Grade.SKIPPED, "clock: the token endpoint sent no Date to compare with")
    skew = now - theirs
    if abs(skew) <= CLOCK_SKEW:
        return Finding(Grade.GOOD, f"clock: within {max(1, round(abs(skew)))} s of theirs")
    side = "ahead of" if skew > 0 else "behind"
    return Finding(
        Grade.BAD,
        f"clock: {abs(skew):.0f} s {side} the token endpoint's",
        "set this machine's clock (NTP): expiry of tokens is told by it",
    )


async def check_upstream_call(session: Session, kind: Credential, lines: bytes) -> Finding:
    """Make one harmless call with the header line of a credential of that kind."""
    name, _, value = lines.decode("latin-1").strip().partition(": ")
    config = session.config
    url = f"{config.upstream.url}/users/me"
    dialer = _dialer(session, url, build_ssl_context(config.upstream.ca_file))
    try:
        answer = await _get(url, dialer, {name: value})
    except (DialError, WireError) as error:
        return Finding(Grade.BAD, f"GET /users/me failed: {error.what}", "try again")
    credential, remedy = CREDENTIALS[kind]
    called = f"GET /users/me with {credential}: {answer.status}"
    match answer.status:
        case 200:
            return Finding(Grade.GOOD, called)
        case 401:
            return Finding(Grade.BAD, f"{called}, SmartRecruiters refuses it", remedy)
        case 403:
            covers = "(its scopes or role do not cover this one call)"
            return Finding(Grade.GOOD, f"{called}, SmartRecruiters accepts it", covers)
        case _:
            return Finding(Grade.NOTE, called, "try again, or another path")
