"""The headers of every control answer, and the files that its content security policy admits."""

import base64
import hashlib
from functools import cache
from importlib.resources import files

STYLE = "style.css"
SCRIPTS = ("copy.js", "page.js", "step.js")


@cache
def asset(name: str) -> str:
    """Return the text of a style or script, exactly as it stands in a page."""
    return files("proxy.control").joinpath("templates", name).read_text(encoding="utf-8").strip()


@cache
def content_security_policy() -> str:
    """Return the policy of every answer: our own style and script, our own origin, nothing else."""
    scripts = " ".join(_hash(asset(name)) for name in SCRIPTS)
    return (
        f"default-src 'none'; script-src {scripts}; style-src {_hash(asset(STYLE))}; "
        "connect-src 'self'; img-src 'self' data:; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    )


def security_headers() -> list[tuple[str, str]]:
    """Return the headers that every page and control answer carries."""
    return [
        ("Content-Security-Policy", content_security_policy()),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
        ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("Cache-Control", "no-store"),
    ]


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
