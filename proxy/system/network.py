"""What every connection that leaves this machine shares: TLS settings and the outbound proxy.

Certificates are always verified; a `ca_file` is added to the system's roots and replaces none.
Never reads the environment itself: it is passed in.
"""

import base64
import ipaddress
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes, urlsplit

from proxy.errors import ConfigurationError
from proxy.system.loopback import is_loopback
from proxy.system.secret import Secret

PROXY_URL: Final = re.compile(
    r"http://(?:(?P<user>[^/?#:@]*)(?::(?P<password>[^/?#]*))?@)?"
    r"(?:\[(?P<address>[0-9a-f:.]+)\]|(?P<name>[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?))"
    r"(?::(?P<port>[0-9]{1,5}))?/?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class OutboundProxy:
    """The HTTP proxy on the way out, and the value of Proxy-Authorization for it."""

    ACCEPTED = (
        "accepted: http://[user:password@]host[:port], with # / ? @ and % in user and password "
        "written as %23 %2F %3F %40 %25"
    )

    host: str
    port: int
    authorization: bytes | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str) -> "OutboundProxy":
        """Read a proxy's URL, or raise a ValueError that repeats nothing of it.

        User and password are percent-decoded to bytes and sent so (RFC 7617 section 2).
        """
        found = PROXY_URL.fullmatch(url) if url.isprintable() else None
        port = int(found["port"] or 80) if found is not None else 0
        host = found["name"] or found["address"] if found is not None else ""
        if found is None or not 0 < port < 65536 or (found["address"] and not _is_ipv6(host)):
            raise ValueError("is not the URL of an HTTP proxy (its value is not shown)")
        if found["user"] is None:
            return cls(host.lower(), port)
        pair = unquote_to_bytes(found["user"]) + b":" + unquote_to_bytes(found["password"] or "")
        return cls(host.lower(), port, b"Basic " + base64.b64encode(pair))


class TlsObject(ssl.SSLObject):
    """The event loop's TLS, with its buffer of received and unread bytes at hand."""

    incoming: ssl.MemoryBIO


class ClientContext(ssl.SSLContext):
    """TLS settings whose connections can be read to their end after a write has failed."""

    sslobject_class = TlsObject

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Keep the buffer: nothing else gives access to it."""
        made = super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)
        if isinstance(made, TlsObject):
            made.incoming = incoming
        return made


def build_ssl_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """Build the TLS settings of a client: verified, 1.2 or later, HTTP/1.1.

    `ssl.create_default_context` is not used: it writes session keys to SSLKEYLOGFILE, and from
    Python 3.13 on refuses the certificates of many an inspecting proxy (VERIFY_X509_STRICT).
    """
    context = ClientContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    context.load_default_certs()
    if ca_file is not None:
        try:
            content = ca_file.read_bytes()
            context.load_verify_locations(cafile=str(ca_file))
        except ssl.SSLError as error:
            raise _unusable(ca_file, _what_is(content)) from error
        except OSError as error:
            raise _unusable(ca_file, error.strerror or "cannot be read") from error
    return context


def _unusable(ca_file: Path, what: str) -> ConfigurationError:
    return ConfigurationError(
        [f"upstream.ca_file: {ca_file}: {what}; accepted: a PEM file of CA certificates"]
    )


def _what_is(content: bytes) -> str:
    if not content.strip():
        return "is empty"
    if content.startswith(b"\x30"):  # ASN.1's SEQUENCE
        return "is in DER form (openssl x509 -inform der -in FILE -out FILE.pem converts it)"
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "is UTF-16 text (save it as UTF-8 or plain text)"
    if b"PRIVATE KEY-----" in content and b"CERTIFICATE-----" not in content:
        return "holds a key and no certificate"
    return "holds no certificate, or one that is damaged"


def outbound_proxy(
    url: str, setting: Secret | None, environ: Mapping[str, str]
) -> OutboundProxy | None:
    """Choose the outbound HTTP proxy for a URL: the setting, else HTTPS_PROXY but for NO_PROXY.

    Loopback is reached without a proxy unless the setting names one.
    """
    if setting is not None:
        return OutboundProxy.parse(setting.reveal())
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    if parts.scheme != "https" or is_loopback(host):
        return None
    found = _either(environ, "https_proxy")
    if not found or is_excepted(host, parts.port or 443, _either(environ, "no_proxy")):
        return None
    try:
        return OutboundProxy.parse(found if "://" in found else f"http://{found}")
    except ValueError as error:
        raise ConfigurationError(
            [f"HTTPS_PROXY: {error}; {OutboundProxy.ACCEPTED}; or set upstream.proxy"]
        ) from None


def _is_ipv6(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True


def _either(environ: Mapping[str, str], name: str) -> str:
    # Lower case first, as curl does: the upper-case names are the younger habit.
    return environ.get(name) or environ.get(name.upper()) or ""


def is_excepted(host: str, port: int, exceptions: str) -> bool:
    """Tell whether NO_PROXY's value covers a host, by name, suffix, network or `*`."""
    for entry in exceptions.replace(",", " ").lower().split():
        if entry == "*":
            return True
        name, colon, number = entry.rpartition(":")
        if colon and number.isdigit() and "]" not in number and (":" not in name or "]" in name):
            if int(number) != port:
                continue
            entry = name
        entry = entry.strip("[]").removeprefix("*").lstrip(".")
        if entry and (host == entry or host.endswith(f".{entry}")):
            return True
        if "/" in entry and _is_within(host, entry):
            return True
    return False


def _is_within(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
