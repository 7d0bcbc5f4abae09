"""Opens one connection: name, address, outbound proxy, TLS; and says which of them failed.

Through an outbound proxy the upstream is reached by CONNECT, so that the proxy carries bytes that
it cannot read and never sees the bearer. Nothing of what a peer answers gets into a Problem.
"""

import asyncio
import base64
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from aiohappyeyeballs import start_connection

from proxy.errors import Problem
from proxy.gateway.http1 import HeadBuffer, parse_response_head

# RFC 8305 section 5: how long the first address has before the next is tried beside it.
HAPPY_EYEBALLS_DELAY = 0.25
MAX_PROXY_HEAD = 16384
DEFAULT_PORTS = {"http": 80, "https": 443}

P = TypeVar("P", bound=asyncio.Protocol)


@dataclass(frozen=True, slots=True)
class Route:
    """Where the upstream is, and the outbound proxy on the way, if any."""

    host: str
    port: int
    tls: bool
    proxy: tuple[str, int] | None = None
    proxy_authorization: bytes | None = None

    @classmethod
    def of(cls, url: str, outbound_proxy: str | None) -> "Route":
        """Read the route off the upstream's URL and the outbound proxy's."""
        parts = urlsplit(url)
        tls = parts.scheme == "https"
        host, port = parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme]
        if outbound_proxy is None:
            return cls(host, port, tls)
        proxy = urlsplit(outbound_proxy)
        authorization = None
        if proxy.username is not None:
            pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
            authorization = b"Basic " + base64.b64encode(pair.encode())
        where = (proxy.hostname or "", proxy.port or DEFAULT_PORTS["http"])
        return cls(host, port, tls, where, authorization)

    @property
    def authority(self) -> bytes:
        """The authority for CONNECT: host and port, always both."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}".encode("idna" if not host.isascii() else "ascii")


class Dialer:
    """Opens connections along one route, each within `timeout`."""

    def __init__(self, route: Route, context: ssl.SSLContext, timeout: float) -> None:
        self._route = route
        self._context = context if route.tls else None
        self._timeout = timeout
        # A proxy in front makes its failures worth telling apart from the upstream's.
        self._first_hop = "outbound proxy" if route.proxy else "upstream"

    async def dial(self, make_protocol: Callable[[], P]) -> P:
        """Open a connection and return its protocol, or raise the Problem that says why not."""
        try:
            async with asyncio.timeout(self._timeout):
                connected = await self._connect()
                try:
                    if self._route.proxy is not None:
                        await self._tunnel(connected)
                    return await self._start(connected, make_protocol)
                except BaseException:
                    connected.close()
                    raise
        except TimeoutError as error:
            raise Problem(
                "connection_timeout",
                f"No connection to the {self._first_hop} within upstream.connect_timeout.",
            ) from error
        except ssl.SSLCertVerificationError as error:
            raise Problem(
                "tls_certificate_error",
                f"The upstream's certificate did not verify: {error.verify_message} Nothing was "
                "sent. Behind an inspecting proxy, set upstream.ca_file.",
            ) from error
        except ssl.SSLError as error:
            raise Problem(
                "tls_protocol_error",
                "No TLS connection could be agreed on with the upstream. Nothing was sent.",
            ) from error
        except OSError as error:
            raise self._translate(error) from error

    async def _connect(self) -> socket.socket:
        host, port = self._route.proxy or (self._route.host, self._route.port)
        loop = asyncio.get_running_loop()
        addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return await start_connection(
            addresses, happy_eyeballs_delay=HAPPY_EYEBALLS_DELAY, loop=loop
        )

    async def _start(self, connected: socket.socket, make_protocol: Callable[[], P]) -> P:
        _, protocol = await asyncio.get_running_loop().create_connection(
            make_protocol,
            sock=connected,
            ssl=self._context,
            server_hostname=self._route.host if self._context is not None else None,
        )
        return protocol

    async def _tunnel(self, connected: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        authority = self._route.authority
        request = b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n" % (authority, authority)
        if self._route.proxy_authorization is not None:
            request += b"Proxy-Authorization: %b\r\n" % self._route.proxy_authorization
        await loop.sock_sendall(connected, request + b"\r\n")
        head = HeadBuffer(MAX_PROXY_HEAD, response=True)
        try:
            while True:
                data = await loop.sock_recv(connected, 4096)
                if not data:
                    raise ConnectionResetError
                found = head.feed(data)
                if found is None:
                    continue
                status, rest = parse_response_head(found[0]).status, found[1]
                if status >= 200:
                    break
        except Problem as problem:
            raise Problem(
                "http_protocol_error", "The outbound proxy's answer to CONNECT is malformed."
            ) from problem
        if 200 <= status <= 299 and not rest:
            return
        if status == 407:
            what = "wants a user and password: put them into the URL of upstream.proxy"
        else:
            what = f"would not connect to the upstream (status {status})"
        code = "connection_timeout" if status == 504 else "connection_refused"
        raise Problem(code, f"The outbound proxy {what}. Nothing was sent to the upstream.")

    def _translate(self, error: OSError) -> Problem:
        hop = self._first_hop
        if isinstance(error, socket.gaierror):
            return Problem("dns_error", f"The name of the {hop} could not be resolved.")
        if isinstance(error, ConnectionResetError | ConnectionAbortedError | BrokenPipeError):
            return Problem(
                "connection_terminated",
                f"The {hop} closed the connection while it was being opened. Nothing of the "
                "request was sent.",
            )
        if isinstance(error, ConnectionRefusedError):
            return Problem("connection_refused", f"The {hop} refuses connections.")
        return Problem(
            "connection_refused", f"The {hop} cannot be reached: {error.strerror or 'no route'}."
        )
