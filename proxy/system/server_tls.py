"""TLS towards callers: the certificate we show, theirs if one is asked for, and renewal on disk.

Each handshake uses the current settings, so a renewed certificate is shown from the next connection
on, and no connection is dropped. A certificate and key that do not fit change nothing.
"""

import ssl
from pathlib import Path
from typing import Any

from proxy.errors import ConfigurationError

Stamp = tuple[tuple[int, int, int], ...]


class ServerTls:
    """The TLS settings of our own listeners; ConfigurationError if they cannot be used."""

    def __init__(
        self, cert_file: Path, key_file: Path | None = None, client_ca_file: Path | None = None
    ) -> None:
        self._cert_file = cert_file
        self._key_file = key_file
        self._client_ca_file = client_ca_file
        self._stamp = self._look()
        self._current = self._build()
        self.expires_at = certificate_end(cert_file)
        # What servers hold; each handshake is handed the current settings.
        self.context = self._build()
        self.context.sni_callback = self._choose

    def has_changed(self) -> bool:
        """Tell whether a file has changed since it was loaded."""
        return self._look() != self._stamp

    def reload(self) -> None:
        """Load the files again; where they do not fit, ConfigurationError and nothing changes."""
        stamp = self._look()
        self._stamp = stamp  # a pair that does not fit is reported once, not at every check
        current = self._build()
        self.expires_at = certificate_end(self._cert_file)
        self._current = current

    def _choose(self, connection: Any, _name: str | None, _context: ssl.SSLContext) -> None:
        # Called for every ClientHello, with or without a server name. The verification mode is the
        # first context's, the certificate and the CAs are this one's (SSL_set_SSL_CTX(3)).
        connection.context = self._current

    def _build(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self._cert_file, self._key_file, password=_no_password)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError([self._explain(error)]) from error
        if self._client_ca_file is not None:
            # A resumed session would not be asked for its certificate again.
            context.num_tickets = 0
            context.options |= ssl.OP_NO_TICKET
            context.verify_mode = ssl.CERT_REQUIRED
            try:
                context.load_verify_locations(cafile=str(self._client_ca_file))
            except (OSError, ssl.SSLError) as error:
                what = _reason(error, "holds no certificate in PEM form")
                fault = (
                    f"listen.tls.client_ca_file: {self._client_ca_file}: {what}; accepted: a PEM "
                    "file of CA certificates"
                )
                raise ConfigurationError([fault]) from error
        return context

    def _explain(self, error: OSError) -> str:
        accepted = "accepted: a PEM file with the certificate and its chain, and its private key"
        key = f" with listen.tls.key_file {self._key_file}" if self._key_file else ""
        if isinstance(error, ssl.SSLError):
            if "MISMATCH" in (error.reason or ""):
                what = "is not the certificate of this key"
            else:
                what = "the certificate or its key cannot be read"
        else:
            what = error.strerror or str(error)
        return f"listen.tls.cert_file: {self._cert_file}{key}: {what}; {accepted}"

    def _look(self) -> Stamp:
        found = []
        for path in (self._cert_file, self._key_file, self._client_ca_file):
            if path is not None:
                try:
                    status = path.stat()
                except OSError:
                    found.append((0, 0, 0))
                else:
                    found.append((status.st_mtime_ns, status.st_ino, status.st_size))
        return tuple(found)


def certificate_end(cert_file: Path) -> float:
    """Return when a PEM file's first certificate ends, in seconds since the epoch."""
    # CPython has had this decoder since 2.6; the alternative is to import `cryptography`.
    decoded = ssl._ssl._test_decode_cert(str(cert_file))  # type: ignore[attr-defined] # noqa: SLF001
    return float(ssl.cert_time_to_seconds(decoded["notAfter"]))


def subject_names(certificate: dict[str, Any] | None) -> tuple[str, ...]:
    """Return the names of a caller's certificate: its common name, and its subject in full.

    In full as RFC 4514 has it, most specific first: `CN=app,O=Example`.
    """
    if not certificate:
        return ()
    pairs = [pair for rdn in certificate.get("subject", ()) for pair in rdn]
    common = [value for name, value in pairs if name == "commonName"]
    full = ",".join(f"{SHORT.get(name, name)}={_escape(value)}" for name, value in reversed(pairs))
    # Left out if it looks like a full subject, for which it could be taken.
    plain = [name for name in common[-1:] if "=" not in name]
    return (*plain, full) if full else ()


# The attribute types that RFC 4514 section 3 gives short names.
SHORT = {
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
}


def _escape(value: str) -> str:
    return "".join(f"\\{one}" if one in ',+"\\<>;' else one for one in value)


def _no_password() -> str:
    # Without this OpenSSL would ask on the terminal, and a service would hang.
    raise ssl.SSLError(0, "the private key is encrypted; a service cannot ask for its passphrase")


def _reason(error: OSError, otherwise: str) -> str:
    return otherwise if isinstance(error, ssl.SSLError) else error.strerror or str(error)
