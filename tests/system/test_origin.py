"""The origin that a caller used, and our own addresses."""

import re
from pathlib import Path

import pytest

from proxy.system.origin import CallerOrigins, build_origin, reachable_origin

PROXY = Path(__file__).parents[2] / "proxy"


@pytest.mark.parametrize(
    ("redirect_uri", "authority", "tls", "origin"),
    [
        ("http://localhost:8080/-/callback", "localhost:8080", False, "http://localhost:8080"),
        ("http://localhost:8080/-/callback", "localhost:8080", True, "https://localhost:8080"),
        ("https://sr.example/-/callback", "sr.example", False, "https://sr.example"),
        ("https://sr.example/-/callback", "SR.example:8443", False, "https://SR.example:8443"),
        ("https://sr.example/-/callback", "localhost:8080", False, "http://localhost:8080"),
        ("https://[::1]/-/callback", "[::1]:8080", False, "https://[::1]:8080"),
        ("http://sr.example/-/callback", "sr.example", False, "http://sr.example"),
    ],
)
def test_the_scheme_is_that_of_the_connection_or_of_the_redirect_uris_host(
    redirect_uri: str, authority: str, tls: bool, origin: str
) -> None:
    assert CallerOrigins(redirect_uri).of(authority, tls=tls) == origin


def test_addresses_are_written_as_urls_have_them() -> None:
    assert build_origin("::1", 80) == "http://[::1]:80"
    assert build_origin("[::1]", tls=True) == "https://[::1]"
    assert reachable_origin("0.0.0.0", 8080) == "http://localhost:8080"
    assert reachable_origin("::", 8080, tls=True) == "https://localhost:8080"
    assert reachable_origin("proxy.internal", 80) == "http://proxy.internal:80"


def test_no_other_module_of_the_data_path_builds_an_origin() -> None:
    """Wherever a scheme is written by hand, TLS towards callers is forgotten sooner or later."""
    rooms = [PROXY / "gateway", PROXY / "control", PROXY / "grant"]
    files = [PROXY / "app.py", *(file for room in rooms for file in room.rglob("*.py"))]
    built = re.compile(r"""f["']https?://[\[{]|b["']https?://["']""")

    assert [file.name for file in files if built.search(file.read_text())] == []
