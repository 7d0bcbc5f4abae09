"""What the front says itself, as bytes: problems as JSON or as a page, preflights, and onwards."""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from urllib.parse import quote

from proxy.errors import Problem
from proxy.gateway.guards import Peer, origin_form
from proxy.gateway.http1 import RequestHead
from proxy.problems import is_navigation, problem_body, problem_headers
from proxy.system.origin import CallerOrigins

REASONS = {status.value: status.phrase for status in HTTPStatus} | {
    431: "Request Header Fields Too Large"
}

# In a request to the control routes: whose key was shown, percent-encoded. Ours alone to set.
CALLER = b"X-SRProxy-Caller"


def build_problem_answer(
    problem: Problem,
    head: RequestHead | None,
    *,
    date: bytes,
    cors: Sequence[tuple[bytes, bytes]],
    problem_page: Callable[[Problem], bytes] | None,
    page_headers: Sequence[tuple[str, str]],
) -> tuple[bytes, bytes]:
    """Build the head of a problem's answer, all but Connection and the blank line, and its body."""
    headers = problem_headers(problem)
    if problem_page is not None and head is not None and is_navigation(_header_of(head)):
        body = problem_page(problem)
        content_type = "text/html; charset=utf-8"
        present = {name.lower() for name, _ in headers}
        headers += [header for header in page_headers if header[0].lower() not in present]
    else:
        body = problem_body(problem)
        content_type = "application/problem+json"
    lines = [
        f"HTTP/1.1 {problem.status} {REASONS.get(problem.status, '')}\r\n",
        f"Content-Type: {content_type}\r\n",
        f"Content-Length: {len(body)}\r\n",
    ]
    lines += [f"{name}: {value}\r\n" for name, value in headers]
    block = "".join(lines).encode("latin-1") + date
    block += b"".join([b"%b: %b\r\n" % header for header in cors])
    if head is not None and head.method == b"HEAD":
        body = b""
    return block, body


def _header_of(head: RequestHead) -> Callable[[str], str | None]:
    def header(name: str) -> str | None:
        value = head.fields.get(name.encode())
        return None if value is None else value.decode("latin-1")

    return header


def build_preflight_answer(headers: Sequence[tuple[bytes, bytes]], date: bytes) -> bytes:
    """Build the head of the answer to an admitted CORS preflight."""
    lines = [b"%b: %b\r\n" % header for header in headers]
    return b"HTTP/1.1 204 No Content\r\n%b%b" % (b"".join(lines), date)


def build_control_request(head: RequestHead, caller: str | None) -> bytes:
    """Build a request's head anew for the control routes, with the caller's name for the audit.

    The answer to it closes the connection: what might be smuggled behind it is never parsed.
    """
    target = head.target if head.target.startswith(b"/") else origin_form(head.target)
    lines = [b"%b %b HTTP/1.%d\r\n" % (head.method, target, head.minor)]
    lines += [
        b"%b: %b\r\n" % header
        for header in head.headers
        if header[0].lower() not in (b"connection", b"upgrade", CALLER.lower())
    ]
    if caller is not None:
        lines.append(b"%b: %b\r\n" % (CALLER, quote(caller).encode()))
    return b"".join(lines) + b"Connection: close\r\n\r\n"


def origin_of(head: RequestHead | None, peer: Peer, origins: CallerOrigins) -> bytes:
    """Return the origin that a caller used: by its Host, else the address it connected to."""
    host = head.fields.get(b"host") if head is not None else None
    if host:
        authority = host.decode("latin-1")
    elif peer.local is None:
        authority = "localhost"  # a Unix socket has no name
    else:
        address, port = peer.local
        authority = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    return origins.of(authority, tls=peer.tls).encode("latin-1")
