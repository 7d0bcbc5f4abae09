"""The running server as commands see it: through its HTTP API, over TCP or its Unix socket.

Sends an API key of the configuration where keys are set, but only to a server that has shown by its
`Proxy-Status` that it is ours: whatever else sits on the port gets nothing.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp

from proxy.cli.exits import CommandError
from proxy.config import Config
from proxy.system.loopback import is_loopback

MARK = "smartrecruiters-proxy"
# For finding out who is there: whoever takes a connection and says nothing is a stranger.
PROBE_TIMEOUT = 5.0
TIMEOUT = aiohttp.ClientTimeout(total=90, sock_connect=3)
# The server's streams show every 15 s that they are alive.
STREAM_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=3, sock_read=45)
WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where a wildcard can be reached
# The widest net of what can go wrong on the way to a server.
UNREACHABLE = (aiohttp.ClientError, OSError, TimeoutError)


class Presence(StrEnum):
    """Who is at the configured address."""

    OURS = "ours"
    NOBODY = "nobody"
    STRANGER = "stranger"


@dataclass(frozen=True, slots=True)
class Answer:
    """A control route's answer."""

    status: int
    body: Mapping[str, Any]
    ours: bool

    @property
    def detail(self) -> str:
        """Return what the server says, for a person."""
        said = self.body.get("detail") or self.body.get("message") or self.body.get("title")
        return str(said) if said else f"it answered {self.status}"


@dataclass
class Server:
    """A client of one server; `open_server` makes one for the configured address."""

    base_url: str
    _client: aiohttp.ClientSession
    _key: str | None
    _cookies: dict[str, str] = field(default_factory=dict)
    _trusted: bool = False

    @classmethod
    def at(cls, base_url: str, client: aiohttp.ClientSession, config: Config) -> Self:
        """Make the client of the server at an address."""
        key = config.access.command_key
        return cls(base_url.rstrip("/"), client, key.reveal() if key else None)

    async def presence(self) -> Presence:
        """Find out who is there, without showing a key."""
        try:
            async with asyncio.timeout(PROBE_TIMEOUT):
                answer = await self.call("GET", "/-/status")
        except (aiohttp.ClientConnectorError, ConnectionRefusedError, FileNotFoundError):
            return Presence.NOBODY
        except UNREACHABLE:
            return Presence.STRANGER
        named = answer.status == 200 and {"version", "accounts"} <= set(answer.body)
        self._trusted = answer.ours or named
        return Presence.OURS if self._trusted else Presence.STRANGER

    async def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        """Call a control route; errors of the connection are the caller's to handle."""
        async with self._client.request(
            method, self.base_url + path, json=body, headers=self._headers(), allow_redirects=False
        ) as response:
            # By hand: a cookie that is marked Secure for a TLS front has to come back to us here.
            for name, morsel in response.cookies.items():
                self._cookies[name] = morsel.value
            text = await response.text(errors="replace")
            ours = response.headers.get("Proxy-Status", "").startswith(MARK)
        try:
            parsed = json.loads(text)
        except ValueError:
            parsed = {}
        return Answer(response.status, parsed if isinstance(parsed, dict) else {}, ours)

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json"}
        if self._key and self._trusted:
            headers["X-SRProxy-Key"] = self._key
        if self._cookies:
            headers["Cookie"] = "; ".join(
                f"{name}={value}" for name, value in self._cookies.items()
            )
        return headers

    async def events(self) -> AsyncIterator[tuple[str, Any]]:
        """Give the events with their data, from a snapshot on until the stream breaks off."""
        async with self._client.get(
            self.base_url + "/-/events", headers=self._headers(), timeout=STREAM_TIMEOUT
        ) as response:
            event = ""
            # By hand: a snapshot's line is longer than what the client's readline takes.
            rest = b""
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    field, _, text = line.decode(errors="replace").partition(": ")
                    if field == "event":
                        event = text
                    elif field == "data":
                        yield event, json.loads(text)

    async def status(self) -> Mapping[str, Any]:
        """Return `/-/status`."""
        answer = await self.call("GET", "/-/status")
        if answer.status != 200:
            raise CommandError(f"the server at {self.base_url} refuses: {answer.detail}")
        return answer.body

    async def account(self, name: str) -> Mapping[str, Any]:
        """Return one account of `/-/status`."""
        for account in (await self.status()).get("accounts", []):
            if account.get("name") == name:
                assert isinstance(account, dict)  # noqa: S101 - the contract's JSON
                return account
        raise CommandError(f"the server at {self.base_url} knows no account {name!r}")

    async def ready(self) -> str | None:
        """Return None when the server is ready, else the reason, as told by `/-/ready`."""
        answer = await self.call("GET", "/-/ready")
        if answer.status == 200:
            return None
        code = answer.body.get("code")
        return f"{code}: {answer.detail}" if code else answer.detail


def scheme(config: Config) -> str:
    """Return what callers speak to the configured server over TCP."""
    return "https" if config.listen.tls.cert_file is not None else "http"


def addresses(config: Config) -> list[str]:
    """Return the URLs under which the configured server may be reached from this machine."""
    host, port = config.listen.host, config.listen.port
    if host is None or port == 0:
        return []
    hosts = ["127.0.0.1", "::1"] if host == "localhost" else [WILDCARDS.get(host, host)]
    return [f"{scheme(config)}://{f'[{one}]' if ':' in one else one}:{port}" for one in hosts]


def login_page(config: Config, base_url: str | None = None) -> str:
    """Return the address of the login page as a person's browser reaches it."""
    return page_address(config, "/-/login") if base_url is None else f"{base_url}/-/login"


def page_address(config: Config, path: str) -> str:
    """Return the address of one of our pages as a person's browser reaches it."""
    redirect = urlsplit(config.oauth.redirect_uri)
    host, port = config.listen.host, config.listen.port
    if host is not None and port and (is_loopback(host) or host in WILDCARDS):
        return f"{scheme(config)}://localhost:{port}{path}"
    return f"{redirect.scheme}://{redirect.netloc}{path}"


def pinned_context(config: Config) -> ssl.SSLContext | bool:
    """Return the TLS settings for our own server: its very certificate, by whatever name it has.

    We connect by a loopback address, which no certificate names; but only the holder of the key of
    the configured certificate may see an API key.
    """
    cert_file = config.listen.tls.cert_file
    if cert_file is None:
        return True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the certificate itself is the anchor
    try:
        context.load_verify_locations(cafile=str(cert_file))
    except (OSError, ssl.SSLError) as error:
        what = getattr(error, "strerror", None) or error
        raise CommandError(f"listen.tls.cert_file: {cert_file}: {what}") from error
    return context


@asynccontextmanager
async def open_client(config: Config, base_url: str) -> AsyncIterator[Server]:
    """Make a client for the server at `base_url`."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=pinned_context(config)),
        timeout=TIMEOUT,
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as client:
        yield Server.at(base_url, client, config)


@asynccontextmanager
async def open_server(
    config: Config, *, unix: bool = True
) -> AsyncIterator[tuple[Presence, Server | None]]:
    """Look for the running server: at its Unix socket (with `unix`), else at its address."""
    strangers: list[Server] = []
    path = config.listen.unix_socket
    candidates: list[tuple[aiohttp.BaseConnector, str]] = []
    if path is not None and unix:
        candidates.append((aiohttp.UnixConnector(str(path)), "http://localhost"))
    tls = pinned_context(config)
    candidates += [(aiohttp.TCPConnector(ssl=tls), url) for url in addresses(config)]
    clients: list[aiohttp.ClientSession] = []
    try:
        for connector, url in candidates:
            client = aiohttp.ClientSession(
                connector=connector,
                timeout=TIMEOUT,
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
            clients.append(client)
            server = Server.at(url, client, config)
            match await server.presence():
                case Presence.OURS:
                    yield Presence.OURS, server
                    return
                case Presence.STRANGER:
                    strangers.append(server)
        if strangers:
            yield Presence.STRANGER, strangers[0]
        else:
            yield Presence.NOBODY, None
    finally:
        await asyncio.gather(*(client.close() for client in clients))
        for connector, _ in candidates[len(clients) :]:
            await connector.close()
