"""Server certificates for tests: a good one for localhost, and one for each way to be wrong."""

import datetime
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority that the system does not know."""

    folder: Path
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def path(self) -> Path:
        """Return the file for `ca_file`."""
        return self.folder / "authority.pem"

    def context(
        self, name: str = "localhost", *, days: int = 1, self_signed: bool = False
    ) -> ssl.SSLContext:
        """Make a server's settings with a certificate for `name`, ended if `days` is negative."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.pair(name, days=days, self_signed=self_signed))
        return context

    def pair(self, name: str, *, days: int = 1, self_signed: bool = False) -> Path:
        """Make a file with a certificate for `name` and its key, for a server or a client."""
        key = ec.generate_private_key(ec.SECP256R1())
        signer = None if self_signed else self
        certificate = _certificate(name, key, signer, days=days)
        file = self.folder / f"{name}-{days}-{self_signed}.pem"
        file.write_bytes(_pem(certificate) + _key_pem(key))
        return file


def make_authority(folder: Path) -> Authority:
    """Make an authority and write its certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate("Test authority", key, None, days=1, authority=True)
    authority = Authority(folder, certificate, key)
    authority.path.write_bytes(_pem(certificate))
    return authority


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    signer: Authority | None,
    *,
    days: int,
    authority: bool = False,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start, end = sorted((now - datetime.timedelta(days=2), now + datetime.timedelta(days=days)))
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer.certificate.subject if signer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if not authority:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False
        )
    return builder.sign(signer.key if signer else key, hashes.SHA256())


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
