"""The final address of a login, as people paste it: read leniently, compared strictly.

Browsers hide `http://`, a default port and a lone slash; mail programs and terminals break a long
line and put brackets or quotes around it; editors add a byte order mark. None of that is part of
the address. What is left must be the redirect URI with a query behind it: a code alone, or an
address of another place, is not taken. What is sent to SmartRecruiters is the configured redirect
URI, never what was pasted.
"""

import re
from urllib.parse import SplitResult, urlsplit

PORTS = {"http": 80, "https": 443}
INVISIBLE = dict.fromkeys(map(ord, "\ufeff\u200b\u200c\u200d\u2060\u00ad"))
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
AROUND = "<>()[]{}\"'`“”‘’«»"


def pasted_query(text: str, redirect_uri: str) -> str | None:
    """Return the query of a pasted address, or None where it is no address of the redirect URI."""
    own = urlsplit(redirect_uri)
    address = _tidy(text)
    if not SCHEME.match(address):
        address = f"{own.scheme}://{address.removeprefix('//')}"
    try:
        parts = urlsplit(address)
        is_ours = parts.username is None and _place(parts) == _place(own)
    except ValueError:
        return None
    # The vendor's own decline has raw spaces in it, and browsers show them decoded.
    return parts.query.replace(" ", "%20") if is_ours else None


def _tidy(text: str) -> str:
    # A line that was broken by hand or by a program goes on without a blank; a blank within a line
    # is part of a description.
    lines = (line.strip(" \t") for line in text.translate(INVISIBLE).splitlines())
    return "".join(lines).strip().strip(AROUND).strip()


def _place(parts: SplitResult) -> tuple[str, str | None, int | None, str]:
    port = PORTS.get(parts.scheme) if parts.port is None else parts.port
    return parts.scheme, parts.hostname, port, parts.path or "/"
