"""A certificate authority of the run's own, and a server certificate for localhost under it.

Made by the openssl command; lives in the work folder for a few days and protects nothing.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

EXTENSIONS = """\
basicConstraints=CA:FALSE
keyUsage=digitalSignature
extendedKeyUsage=serverAuth
subjectAltName=DNS:localhost,IP:127.0.0.1
"""


@dataclass(frozen=True, slots=True)
class Certificates:
    """Paths of the PEM files."""

    authority: Path
    certificate: Path
    key: Path


def make_certificates(folder: Path) -> Certificates:
    """ECDSA P-256, as the API's own front uses; verified by every peer that can."""
    folder.mkdir(parents=True, exist_ok=True)
    authority, authority_key = folder / "authority.pem", folder / "authority-key.pem"
    certificate, key, request = folder / "server.pem", folder / "server-key.pem", folder / "csr.pem"
    extensions = folder / "extensions.cnf"
    extensions.write_text(EXTENSIONS)
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    _openssl(
        *("req", "-x509", *new_key, "-days", "7", "-subj", "/CN=benchmark authority"),
        *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        *("-keyout", authority_key, "-out", authority),
    )
    _openssl("req", "-new", *new_key, "-subj", "/CN=localhost", "-keyout", key, "-out", request)
    _openssl(
        *(
            "x509",
            "-req",
            "-in",
            request,
            "-days",
            "7",
            "-extfile",
            extensions,
            "-out",
            certificate,
        ),
        *("-CA", authority, "-CAkey", authority_key, "-CAcreateserial"),
    )
    return Certificates(authority, certificate, key)


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=30)
