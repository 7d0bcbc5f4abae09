"""The running server as commands see it: through its HTTP API, over TCP or its Unix socket.

Sends an API key of the configuration where keys are set, but only to a server that has shown by its
`Proxy-Status` that it is ours: whatever else sits on the port gets nothing.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from proxy.cli.exchange import Endpoint, NotConnectedError, Response, exchange
from proxy.cli.exits import CommandError
from proxy.config import Config
from proxy.system.loopback import is_loopback

if TYPE_CHECKING:
    import ssl

MARK = "smartrecruiters-proxy"
# For finding out who is there: whoever takes a connection and says nothing is a stranger.
PROBE_TIMEOUT = 5.0
TIMEOUT = 90.0
# The server's streams show every 15 s that they are alive.
STREAM_TIMEOUT = 45.0
WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where a wildcard can be reached


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
    """A client of one server; `find_server` makes one for the configured address."""

    base_url: str
    _endpoint: Endpoint
    _key: str | None
    _cookies: dict[str, str] = field(default_factory=dict)
    _trusted: bool = False
    _stream: Response | None = None

    @property
    def place(self) -> str:
        """Return where it listens, for people."""
        return str(self._endpoint.path or self.base_url)

    def presence(self, timeout: float = PROBE_TIMEOUT) -> Presence:
        """Find out who is there, without showing a key."""
        try:
            answer = self.call("GET", "/-/status", timeout=timeout)
        except NotConnectedError:
            return Presence.NOBODY
        except OSError:
            return Presence.STRANGER
        named = answer.status == 200 and {"version", "accounts"} <= set(answer.body)
        self._trusted = answer.ours or named
        return Presence.OURS if self._trusted else Presence.STRANGER

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        timeout: float = TIMEOUT,
    ) -> Answer:
        """Call a control route; OSError where no answer comes within `timeout` seconds."""
        content = None if body is None else json.dumps(body).encode()
        headers = self._headers()
        with exchange(self._endpoint, method, path, headers, content, timeout) as response:
            # By hand: a cookie that is marked Secure for a TLS front has to come back to us here.
            for cookie in response.all("set-cookie"):
                name, _, value = cookie.partition(";")[0].partition("=")
                self._cookies[name.strip()] = value.strip()
            text = response.read().decode(errors="replace")
            ours = any(said.startswith(MARK) for said in response.all("proxy-status"))
        try:
            parsed = json.loads(text)
        except ValueError:
            parsed = {}
        return Answer(response.status, parsed if isinstance(parsed, dict) else {}, ours)

    def _headers(self) -> dict[str, str]:
        headers = {"Host": urlsplit(self.base_url).netloc, "Accept": "application/json"}
        if self._key and self._trusted:
            headers["X-SRProxy-Key"] = self._key
        if self._cookies:
            headers["Cookie"] = "; ".join(
                f"{name}={value}" for name, value in self._cookies.items()
            )
        return headers

    def events(self) -> Iterator[tuple[str, Any]]:
        """Give the events with their data, from a snapshot on until the stream breaks off."""
        event, rest, headers = "", b"", self._headers()
        with exchange(self._endpoint, "GET", "/-/events", headers, None, TIMEOUT) as response:
            self._stream = response
            pieces = response.pieces()
            while True:
                response.allow(STREAM_TIMEOUT)
                piece = next(pieces, b"")
                if not piece:
                    return
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    field, _, text = line.decode(errors="replace").partition(": ")
                    if field == "event":
                        event = text
                    elif field == "data":
                        yield event, json.loads(text)

    def end_events(self) -> None:
        """End `events`, which another thread is waiting for."""
        if self._stream is not None:
            self._stream.abandon()

    def status(self) -> Mapping[str, Any]:
        """Return `/-/status`."""
        answer = self.call("GET", "/-/status")
        if answer.status != 200:
            raise CommandError(f"the server at {self.place} refuses: {answer.detail}")
        return answer.body

    def account(self, name: str) -> Mapping[str, Any]:
        """Return one account of `/-/status`."""
        for account in self.status().get("accounts", []):
            if account.get("name") == name:
                assert isinstance(account, dict)  # noqa: S101 - docs/behaviour.md
                return account
        raise CommandError(f"the server at {self.place} knows no account {name!r}")

    def ready(self, timeout: float = TIMEOUT) -> str | None:
        """Return None when the server is ready, else the reason, as told by `/-/ready`."""
        answer = self.call("GET", "/-/ready", timeout=timeout)
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


def pinned_context(config: Config) -> "ssl.SSLContext | None":
    """Return the TLS settings for our own server: its very certificate, by whatever name it has.

    We connect by a loopback address, which no certificate names; but only the holder of the key of
    the configured certificate may see an API key.
    """
    cert_file = config.listen.tls.cert_file
    if cert_file is None:
        return None
    import ssl  # only where callers speak https

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the certificate itself is the anchor
    try:
        context.load_verify_locations(cafile=str(cert_file))
    except (OSError, ssl.SSLError) as error:
        what = getattr(error, "strerror", None) or error
        raise CommandError(f"listen.tls.cert_file: {cert_file}: {what}") from error
    return context


def server_at(config: Config, base_url: str) -> Server:
    """Make a client of the server at `base_url`."""
    parts = urlsplit(base_url)
    tls = pinned_context(config) if parts.scheme == "https" else None
    port = parts.port or (443 if parts.scheme == "https" else 80)
    endpoint = Endpoint(parts.hostname or "", port, tls)
    return Server(base_url.rstrip("/"), endpoint, _command_key(config))


def find_server(
    config: Config, *, unix: bool = True, timeout: float = PROBE_TIMEOUT
) -> tuple[Presence, Server | None]:
    """Look for the running server: at its Unix socket (with `unix`), else at its address.

    Each place has `timeout` seconds to answer.
    """
    candidates = [server_at(config, url) for url in addresses(config)]
    path = config.listen.unix_socket
    if path is not None and unix:
        endpoint = Endpoint("localhost", 80, path=path)
        candidates.insert(0, Server("http://localhost", endpoint, _command_key(config)))
    stranger: Server | None = None
    for server in candidates:
        match server.presence(timeout):
            case Presence.OURS:
                return Presence.OURS, server
            case Presence.STRANGER:
                stranger = stranger or server
    return (Presence.STRANGER, stranger) if stranger else (Presence.NOBODY, None)


def _command_key(config: Config) -> str | None:
    key = config.access.command_key
    return key.reveal() if key else None
