"""A Problem as an answer: problem+json (RFC 9457) with Proxy-Status (RFC 9209), as plain values.

It repeats nothing of the request but what `detail` says.
"""

import json
from collections.abc import Callable

from proxy.errors import Problem


def problem_headers(problem: Problem) -> list[tuple[str, str]]:
    """Build the headers that every answer of the proxy's own carries, content type excepted."""
    headers = [
        (
            "Proxy-Status",
            f'smartrecruiters-proxy; error={problem.kind.error_type}; details="{problem.code}"',
        ),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
    ]
    if problem.retry_after is not None:
        headers.append(("Retry-After", str(problem.retry_after)))
    headers.extend(problem.headers)
    return headers


def problem_body(problem: Problem) -> bytes:
    """Build the problem+json body."""
    members: dict[str, object] = {
        "type": f"urn:smartrecruiters-proxy:{problem.code}",
        "title": problem.kind.title,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
        "side": problem.side.value,
    }
    if problem.reason is not None:
        members["reason"] = problem.reason
    if problem.login_url is not None:
        members["login_url"] = problem.login_url
    members.update(problem.members)
    return json.dumps(members, ensure_ascii=False).encode()


def is_navigation(header: Callable[[str], str | None]) -> bool:
    """Tell whether a person in a browser will see the answer, which is then a page.

    `header` gives a request's header by its lower-case name. Browsers send Fetch Metadata to
    localhost and over TLS; elsewhere they are known by what they accept first, which no program's
    default is (Java's names text/html too, but not application/xhtml+xml).
    """
    accept = header("accept") or ""
    mode = header("sec-fetch-mode")
    if mode is None:
        return "text/html" in accept and "application/xhtml+xml" in accept
    destination = header("sec-fetch-dest") or "document"
    return mode == "navigate" and destination == "document" and "text/html" in accept
