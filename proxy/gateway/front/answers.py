"""What the front says itself: the heads of our own answers, problems, preflights."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from http import HTTPStatus

from proxy.errors import Problem
from proxy.gateway.guards import Peer
from proxy.gateway.http1 import RequestHead
from proxy.messages import Answer
from proxy.problems import is_navigation, problem_body, problem_headers
from proxy.system.origin import CallerOrigins

logger = logging.getLogger(__name__)

REASONS = {status.value: status.phrase for status in HTTPStatus} | {
    431: "Request Header Fields Too Large"
}


def build_answer_lines(
    status: int,
    headers: Iterable[tuple[str, str]],
    length: int | None,
    cors: Iterable[tuple[bytes, bytes]],
) -> list[bytes]:
    """Build the lines of an answer of ours: status, its headers, its length, and those for CORS.

    ValueError for a header that would be two.
    """
    texts = [f"HTTP/1.1 {status} {REASONS.get(status, '')}"]
    texts += [f"{name}: {value}" for name, value in headers]
    if length is not None:
        texts.append(f"Content-Length: {length}")
    if any("\r" in text or "\n" in text for text in texts):
        raise ValueError("a header of an answer holds the end of a line")
    return [*(text.encode() for text in texts), *(b"%b: %b" % header for header in cors)]


def build_problem_answer(problem: Problem) -> Answer:
    """Build the answer of a problem, as JSON."""
    headers = [("Content-Type", "application/problem+json"), *problem_headers(problem)]
    return Answer(problem.status, headers, problem_body(problem))


async def render_problem_answer(
    problem: Problem,
    render: Callable[[Problem], Awaitable[bytes]],
    page_headers: Sequence[tuple[str, str]],
) -> Answer:
    """Build the answer of a problem, as a page; as JSON where there is none to be had."""
    try:
        page = await render(problem)
    except Exception:
        logger.exception("page_not_rendered")
        return build_problem_answer(problem)
    headers = [("Content-Type", "text/html; charset=utf-8"), *problem_headers(problem)]
    return Answer(problem.status, with_common(headers, page_headers), page)


def with_common(
    headers: Sequence[tuple[str, str]], common: Sequence[tuple[str, str]]
) -> list[tuple[str, str]]:
    """Add the headers that every page and every answer of the control routes carries."""
    present = {name.lower() for name, _ in headers}
    return [*headers, *(header for header in common if header[0].lower() not in present)]


def is_for_a_person(head: RequestHead) -> bool:
    """Return whether a browser is going to show the answer."""

    def header(name: str) -> str | None:
        value = head.fields.get(name.encode())
        return None if value is None else value.decode("latin-1")

    return is_navigation(header)


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
