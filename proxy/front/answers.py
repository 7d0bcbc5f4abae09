"""Answers of the proxy's own, as bytes: a Problem as JSON, or as a page for a browser."""

from collections.abc import Callable, Sequence
from http import HTTPStatus

from proxy.errors import Problem
from proxy.http1 import RequestHead
from proxy.problems import problem_body, problem_headers

REASONS = {status.value: status.phrase for status in HTTPStatus} | {
    431: "Request Header Fields Too Large"
}


def is_navigation(head: RequestHead) -> bool:
    """Tell whether a person in a browser is looking at this answer (Fetch Metadata)."""
    fields = head.fields
    return (
        head.method == b"GET"
        and fields.get(b"sec-fetch-mode") == b"navigate"
        and fields.get(b"sec-fetch-dest") == b"document"
        and b"text/html" in fields.get(b"accept", b"")
    )


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
    if problem_page is not None and head is not None and is_navigation(head):
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


def build_preflight_answer(headers: Sequence[tuple[bytes, bytes]], date: bytes) -> bytes:
    """Build the head of the answer to an admitted CORS preflight."""
    lines = [b"%b: %b\r\n" % header for header in headers]
    return b"HTTP/1.1 204 No Content\r\n%b%b" % (b"".join(lines), date)
