"""The section `listen`: where callers reach the proxy."""

from pathlib import Path

from proxy.config import addresses, values
from proxy.config import section as fields
from proxy.config.section import Section
from proxy.config.values import MEBIBYTE, PEM, PORT, SECONDS


class ProbesConfig(Section):
    """A second listener for live, ready and metrics alone."""

    host: str | None = fields.value(
        values.optional(addresses.host),
        None,
        "with a host: a second listener for `/-/live`, `/-/ready` and `/-/metrics` alone",
    )
    port: int = fields.value(PORT, 9090, "its port")


class TlsConfig(Section):
    """The certificate that callers are shown, and the CA of theirs."""

    cert_file: Path | None = fields.path(
        "certificate and chain in PEM form; with it callers speak https", reads=PEM
    )
    key_file: Path | None = fields.path(
        "its private key, unless that is in `cert_file` too",
        reads="a file with the certificate's private key in PEM form",
    )
    client_ca_file: Path | None = fields.path(
        "with it each caller needs a certificate of that CA", reads=PEM
    )


class ListenConfig(Section):
    """Where callers reach the proxy, and what they may cost it."""

    host: str | None = fields.value(
        values.optional(addresses.host),
        "localhost",
        "where callers reach the proxy; `localhost` is both loopback families, "
        "`null` none (with a Unix socket)",
    )
    port: int = fields.value(PORT, 8080, "`0` picks a free one and prints it")
    unix_socket: Path | None = fields.path(
        "path of a Unix socket, instead of or beside host and port"
    )
    unix_socket_mode: str = fields.value(
        values.socket_mode, "0600", '`"0660"` shares it with the folder\'s group'
    )
    reuse_port: bool = fields.value(
        values.flag,
        False,
        "`true`: a second process may listen on the same port, to take over while this one drains",
    )
    tls: TlsConfig = fields.section(TlsConfig)
    probes: ProbesConfig = fields.section(ProbesConfig)
    header_timeout: float = fields.value(
        SECONDS, 15.0, "for a caller to send its request head, from its first byte"
    )
    idle_timeout: float = fields.value(SECONDS, 75.0, "how long a kept-alive connection may rest")
    max_head_size: int = fields.value(
        values.whole(1024, 16 * MEBIBYTE), 65536, "bytes of request line and headers"
    )
    stall_timeout: float = fields.value(
        SECONDS,
        60.0,
        "without a byte moving on a caller's body, either way, before it is cut",
    )
    max_connections: int = fields.value(
        values.whole(1, 1_000_000),
        512,
        "beyond it callers are refused at once, those served go on",
    )

    @property
    def unix_socket_bits(self) -> int:
        """Return the socket's mode as a number."""
        return int(self.unix_socket_mode, 8)
