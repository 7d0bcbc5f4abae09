"""Opens one connection: name, addresses, outbound proxy, TLS; and says which of them failed.

Everything that leaves this machine by TCP is dialed here, so that calls, the token endpoint, the
owner's name and `srproxy check` cannot differ. Through an outbound proxy the peer is reached by
CONNECT: the proxy carries bytes that it cannot read and never sees a credential of ours. No Problem
repeats anything that a peer answers.
"""

import asyncio
import re
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Final, TypeVar, cast
from urllib.parse import urlsplit

from aiohappyeyeballs import AddrInfoType, start_connection

from proxy.errors import Problem
from proxy.system.network import OutboundProxy
from proxy.system.origin import DEFAULT_PORTS

# RFC 8305 section 5: how long the first address has before the next is tried beside it.
HAPPY_EYEBALLS_DELAY: Final = 0.25
MAX_PROXY_HEAD: Final = 16384
# Old proxies answer CONNECT by HTTP/1.0, some with bare LF. The framing headers of a 2xx are
# ignored: it has no body (RFC 9110 section 9.3.6).
HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?=[ \r\n])")
CHALLENGES: Final = re.compile(rb"^proxy-authenticate[ \t]*:(.*)$", re.IGNORECASE | re.MULTILINE)
SCHEMES: Final = ("Basic", "Bearer", "Digest", "Kerberos", "Negotiate", "NTLM")

# OpenSSL's X509_V_ERR_…
EXPIRED, NOT_YET_VALID = 10, 9
WRONG_NAME: Final = (62, 64)  # a host's, an address's
UNKNOWN_ISSUER: Final = (2, 18, 19, 20, 21)

P = TypeVar("P")  # an asyncio.Protocol by its methods


class DialError(Problem):
    """No connection: what happened and what to do, each a sentence; nothing was sent."""

    def __init__(self, code: str, what: str, remedy: str) -> None:
        super().__init__(code, f"{what} Nothing was sent. {remedy}")
        self.what = what
        self.remedy = remedy


class Dialer:
    """Opens connections to the host of one URL, each within `timeout` seconds."""

    def __init__(
        self,
        url: str,
        context: ssl.SSLContext | Callable[[], ssl.SSLContext],
        timeout: float,
        *,
        outbound: OutboundProxy | None = None,
        name: str = "upstream",
        key: str = "upstream.url",
    ) -> None:
        """`name` names the peer for people, `key` the configuration key that holds `url`.

        A context that is still to be built is built at the first TLS connection: reading the
        system's certificates takes 40 ms, and a command may need no connection.
        """
        parts = urlsplit(url)
        self.host = parts.hostname or ""
        self.port = parts.port or DEFAULT_PORTS[parts.scheme]
        self.outbound = outbound
        self._context = context if parts.scheme == "https" else None
        self._timeout = timeout
        self._name = name
        self._key = key
        # With an outbound proxy, its failures are told apart from the peer's.
        self._first_hop = "outbound proxy" if outbound else name
        self._first_key = "upstream.proxy or HTTPS_PROXY" if outbound else key

    async def dial(self, make_protocol: Callable[[], P]) -> P:
        """Open a connection and return its protocol, or raise the DialError that says why not."""
        try:
            async with asyncio.timeout(self._timeout) as limit:
                return await self._dial(make_protocol, limit.when() or 0.0)
        except OSError as error:
            raise self._translate(error) from error

    async def _dial(self, make_protocol: Callable[[], P], until: float) -> P:
        """Try the addresses until one connection is complete; no request is sent before that."""
        loop = asyncio.get_running_loop()
        first = self.outbound or self
        found = await loop.getaddrinfo(first.host, first.port, type=socket.SOCK_STREAM)
        addresses: Sequence[AddrInfoType] = found
        failure: OSError | None = None
        for _ in found:
            try:
                connected = await start_connection(
                    addresses, happy_eyeballs_delay=HAPPY_EYEBALLS_DELAY, loop=loop
                )
            except OSError as error:
                raise failure or error from error
            addresses = _without(addresses, connected)
            now = loop.time()
            # One that hangs must leave time for the next.
            share = now + (until - now) / 2 if addresses else until
            try:
                async with asyncio.timeout_at(share):
                    if self.outbound is not None:
                        await self._tunnel(connected, self.outbound)
                    return await self._start(connected, make_protocol)
            except OSError as error:
                connected.close()
                failure = failure or error
                if not addresses:
                    break
            except BaseException:
                connected.close()
                raise
        raise failure or OSError("no address")

    async def _start(self, connected: socket.socket, make_protocol: Callable[[], P]) -> P:
        if callable(self._context):
            self._context = self._context()
        _, protocol = await asyncio.get_running_loop().create_connection(
            cast("Callable[[], asyncio.Protocol]", make_protocol),
            sock=connected,
            ssl=self._context,
            server_hostname=self.host if self._context is not None else None,
        )
        return cast("P", protocol)

    async def _tunnel(self, connected: socket.socket, outbound: OutboundProxy) -> None:
        loop = asyncio.get_running_loop()
        host = f"[{self.host}]" if ":" in self.host else self.host
        authority = f"{host}:{self.port}".encode("ascii" if host.isascii() else "idna")
        request = b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n" % (authority, authority)
        if outbound.authorization is not None:
            request += b"Proxy-Authorization: %b\r\n" % outbound.authorization
        await loop.sock_sendall(connected, request + b"\r\n")
        received = b""
        while True:
            data = await loop.sock_recv(connected, 4096)
            if not data:
                raise ConnectionResetError
            received += data
            while end := HEAD_END.search(received):
                head, received = received[: end.end()], received[end.end() :]
                status = STATUS_LINE.match(head)
                if status is None:
                    raise self._malformed()
                if not status[1].startswith(b"1"):
                    self._check_connected(int(status[1]), head, outbound)
                    if received:
                        raise self._malformed()
                    return
            begins_well = received.startswith(b"HTTP/1."[: len(received)])
            if not begins_well or len(received) > MAX_PROXY_HEAD:
                raise self._malformed()

    def _malformed(self) -> DialError:
        return DialError(
            "http_protocol_error",
            "The outbound proxy's answer to CONNECT is malformed.",
            "Check that upstream.proxy or HTTPS_PROXY names an HTTP proxy.",
        )

    def _check_connected(self, status: int, head: bytes, outbound: OutboundProxy) -> None:
        if 200 <= status <= 299:
            return
        if status == 407:
            raise _login_wanted(head, has_login=outbound.authorization is not None)
        raise DialError(
            "connection_timeout" if status == 504 else "connection_refused",
            f"The outbound proxy would not connect to the {self._name} (status {status}).",
            f"Ask whoever runs the proxy to allow {self.host}, port {self.port}.",
        )

    def _translate(self, error: OSError) -> DialError:
        hop, key = self._first_hop, self._first_key
        match error:
            case ssl.SSLCertVerificationError():
                return self._untrusted(error)
            case ssl.SSLError():
                return DialError(
                    "tls_protocol_error",
                    f"No TLS connection could be agreed on with the {self._name}.",
                    f"Check {self._key} and what stands between.",
                )
            case TimeoutError():
                return DialError(
                    "connection_timeout",
                    f"No connection to the {hop} within upstream.connect_timeout.",
                    "Check the network and firewalls; behind a company proxy set upstream.proxy.",
                )
            case socket.gaierror():
                return DialError(
                    "dns_error",
                    f"The name of the {hop} could not be resolved.",
                    f"Check the network, its DNS and {key}; behind a company proxy set "
                    "upstream.proxy.",
                )
            case ConnectionResetError() | ConnectionAbortedError() | BrokenPipeError():
                return DialError(
                    "connection_terminated",
                    f"The {hop} closed the connection while it was being opened.",
                    f"Check {key} and what stands between.",
                )
            case ConnectionRefusedError():
                what = f"The {hop} refuses connections."
            case _:
                what = f"The {hop} cannot be reached: {error.strerror or 'no route'}."
        return DialError("connection_refused", what, f"Check the network and {key}.")

    def _untrusted(self, error: ssl.SSLCertVerificationError) -> DialError:
        code = error.verify_code
        paths = ssl.get_default_verify_paths()
        if code == EXPIRED:
            what = "has expired"
            remedy = (
                "Check this machine's clock; if it is right, whoever runs the host must renew it."
            )
        elif code == NOT_YET_VALID:
            what, remedy = "is not valid yet", "Set this machine's clock."
        elif code in WRONG_NAME:
            what = f"is for another name than {self.host}"
            remedy = f"Check {self._key} and what its name resolves to here."
        elif code in UNKNOWN_ISSUER and paths.cafile is None and paths.capath is None:
            what = "cannot be checked, as this machine has no root certificates"
            remedy = "Correct SSL_CERT_FILE and SSL_CERT_DIR, or install ca-certificates."
        elif code in UNKNOWN_ISSUER:
            what = "comes from an authority that this machine does not trust"
            remedy = (
                "Behind an inspecting proxy, set upstream.ca_file to that proxy's CA certificate."
            )
        else:
            what = f"did not verify ({error.verify_message})"
            remedy = f"Check {self._key} and what stands between."
        return DialError(
            "tls_certificate_error", f"The certificate of the {self._name} {what}.", remedy
        )


def _without(addresses: Sequence[AddrInfoType], connected: socket.socket) -> Sequence[AddrInfoType]:
    peer = connected.getpeername()[:2]
    return [address for address in addresses if address[4][:2] != peer]


def _login_wanted(head: bytes, *, has_login: bool) -> DialError:
    challenges = b",".join(CHALLENGES.findall(head)).decode("latin-1")
    offered = [
        scheme
        for scheme in SCHEMES
        if re.search(rf"(?:^|[\s,]){scheme}(?:[\s,]|$)", challenges, re.IGNORECASE)
    ]
    if offered and "Basic" not in offered:
        return DialError(
            "connection_refused",
            f"The outbound proxy wants a login by {' or '.join(offered)} (status 407), and this "
            "program can log in by Basic alone.",
            "Run a local proxy that can (such as px or cntlm), and name it in upstream.proxy.",
        )
    return DialError(
        "connection_refused",
        "The outbound proxy refuses the user and password that it was sent (status 407)."
        if has_login
        else "The outbound proxy wants a user and password (status 407).",
        "Put them into the URL of upstream.proxy or HTTPS_PROXY, other characters than letters "
        "and digits percent-encoded.",
    )
