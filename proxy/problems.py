"""A Problem as an answer: problem+json (RFC 9457) with Proxy-Status (RFC 9209), as plain values.

Never holds anything of the request but what its author put into `detail`.
"""

import json

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
    members: dict[str, str | int] = {
        "type": f"urn:smartrecruiters-proxy:{problem.code}",
        "title": problem.kind.title,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
        "side": problem.kind.side.value,
    }
    if problem.reason is not None:
        members["reason"] = problem.reason
    if problem.login_url is not None:
        members["login_url"] = problem.login_url
    return json.dumps(members, ensure_ascii=False).encode()
