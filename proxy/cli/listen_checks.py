"""The checks of where callers reach us: redirect URI, address, our certificate, keys in clear."""

import asyncio
import os
from collections.abc import AsyncGenerator
from urllib.parse import urlsplit

from proxy.cli.checks import Finding, Grade
from proxy.cli.exits import CommandError
from proxy.cli.hosting import keys_in_clear
from proxy.cli.server import Presence, find_server
from proxy.cli.session import Session
from proxy.cli.terminal import duration
from proxy.config.names import DEFAULT_ACCOUNT
from proxy.errors import StartError
from proxy.system.listeners import Listeners, open_listeners
from proxy.system.loopback import is_loopback
from proxy.system.network import is_excepted
from proxy.system.server_tls import ServerTls

DAY = 86400
# Renewal is usual at 30 days before the end: at 14 it has failed several times already.
SOON, NOW = 14 * DAY, 3 * DAY


async def check_redirect_uri(session: Session) -> AsyncGenerator[Finding, None]:
    """Compare the redirect URI with where we listen."""
    config = session.config
    if all(account.kind != "authorization_code" for account in config.accounts.values()):
        yield Finding(Grade.SKIPPED, "not used: nobody logs in")
        return
    uri = config.accounts[DEFAULT_ACCOUNT].oauth.redirect_uri
    parts = urlsplit(uri)
    registered = "register it in SmartRecruiters byte for byte"
    if parts.scheme == "https" and config.listen.tls.cert_file is None:
        yield Finding(
            Grade.NOTE,
            f"redirect URI {uri} leads to a TLS front",
            f"let that front pass {parts.path or '/'} on to this proxy, and {registered}",
        )
        return
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if config.listen.host is None:
        yield Finding(
            Grade.NOTE,
            f"redirect URI {uri}, but only a Unix socket is listened on",
            "log in by srproxy login --paste, or put listen.host: localhost beside the socket",
        )
    elif parts.scheme == "http" and config.listen.tls.cert_file is not None:
        yield Finding(
            Grade.BAD,
            f"redirect URI {uri} is http, and with listen.tls.cert_file we speak https alone",
            "make it https here and in SmartRecruiters, or log in by srproxy login --paste",
        )
    elif config.listen.port in (port, 0):
        yield Finding(Grade.GOOD, f"redirect URI {uri} leads here", registered)
    else:
        yield Finding(
            Grade.NOTE,
            f"redirect URI {uri} names port {port}, and we listen on {config.listen.port}",
            f"right where the port is mapped (docker -p {port}:{config.listen.port}); else make "
            "both the same, here and in SmartRecruiters",
        )


async def check_port(session: Session) -> AsyncGenerator[Finding, None]:
    """Check that the address is free, or held by our own server."""
    listen = session.config.listen
    try:
        who, server = await asyncio.to_thread(find_server, session.config)
    except CommandError:  # the certificate cannot be read, which check_callers tells
        who, server = Presence.NOBODY, None
    match who:
        case Presence.OURS if server is not None:
            yield Finding(Grade.GOOD, f"the proxy is running at {server.place}")
            return
        case Presence.STRANGER if server is not None:
            yield Finding(
                Grade.BAD,
                f"another program answers at {server.place}",
                "stop it, or change listen.port (the redirect URI's port must follow)",
            )
            return
    if (path := listen.unix_socket) is not None:
        if os.access(path.parent, os.W_OK | os.X_OK):
            yield Finding(Grade.GOOD, f"the Unix socket can be made: {path}")
        else:
            what = "may not be written by this user" if path.parent.is_dir() else "is not there"
            yield Finding(
                Grade.BAD,
                f"listen.unix_socket: the folder {path.parent} {what}",
                "make it for the user that runs the proxy (systemd: RuntimeDirectory)",
            )
    if listen.host is None:
        return
    try:
        listeners = open_listeners(listen.host, listen.port, None)
    except StartError as error:
        yield Finding(Grade.BAD, str(error))
        return
    try:
        yield Finding(Grade.GOOD, f"free to listen on: {_places(listeners, listen.port)}")
        for note in listeners.notes:
            yield Finding(Grade.NOTE, note, "fine unless your tools want that address family")
    finally:
        listeners.close()


def _places(listeners: Listeners, port: int) -> str:
    """Name the sockets that were opened."""
    hosts = [socket.getsockname()[0] for socket in listeners.tcp]
    shown = [f"[{host}]" if ":" in host else host for host in hosts]
    return ", ".join(f"{host}:{port or '(any port)'}" for host in shown)


async def check_callers(session: Session) -> AsyncGenerator[Finding, None]:
    """Look at our own certificate, at keys sent in clear, and at what leads callers astray."""
    config = session.config
    tls = config.listen.tls
    if tls.cert_file is not None:
        end = ServerTls(tls.cert_file, tls.key_file, tls.client_ca_file).expires_at
        yield _certificate(str(tls.cert_file), end - session.clock.now())
    elif clear := keys_in_clear(config):
        what, _, remedy = clear.rpartition(": ")
        yield Finding(Grade.NOTE, what, remedy)
    else:
        beyond = config.listen.host is not None and not is_loopback(config.listen.host)
        if beyond and config.access.api_keys:
            what = "callers' API keys cross the network by way of a TLS front"
        else:
            what = "callers send no API key over a network in clear"
        yield Finding(Grade.GOOD, what)
    if warning := _astray(session):
        yield warning


def _certificate(name: str, left: float) -> Finding:
    remedy = f"renew {name}: it is taken up by itself within a minute"
    if left <= 0:
        return Finding(Grade.BAD, f"our certificate has ended {duration(-left)} ago", remedy)
    what = f"our certificate ends in {duration(left)}"
    if left <= NOW:
        return Finding(Grade.BAD, what, remedy)
    return Finding(Grade.NOTE, what, remedy) if left <= SOON else Finding(Grade.GOOD, what)


def _astray(session: Session) -> Finding | None:
    """Warn of a proxy variable that sends other tools' calls to us elsewhere."""
    environ, host = session.environ, session.config.listen.host
    named = [name for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY") if environ.get(name)]
    exceptions = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    if not named or host is None or is_excepted(host, session.config.listen.port, exceptions):
        return None
    return Finding(
        Grade.NOTE,
        f"{named[0]} is set: other tools here send their calls to {host} to that proxy",
        f"export NO_PROXY={host},127.0.0.1 no_proxy={host},127.0.0.1 for them "
        "(srproxy run does so by itself)",
    )
