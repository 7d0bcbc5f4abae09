"""The grammar of allow rules; proxy.gateway.guards decides what a rule matches.

A rule that could never match (an empty segment, an encoded slash, a dot segment, `;`, a query) is
an error rather than a rule that silently admits nothing.
"""

import re

from proxy.config.faults import Wrong, found

METHODS = re.compile(r"\*|[!#$%&'*+.^_`|~0-9A-Za-z-]+(,[!#$%&'*+.^_`|~0-9A-Za-z-]+)*")
PLACEHOLDER = re.compile(r"\*|\{[A-Za-z_][A-Za-z0-9_-]*\}")
# RFC 3986 pchar without `;`, and without escapes that are ambiguous once decoded.
LITERAL = re.compile(r"([A-Za-z0-9._~!$&'()+,=:@-]|%(?!2[eEfF]|5[cC])[0-9A-Fa-f]{2})+")
ACCEPTED = 'accepted: "METHODS PATH", such as "GET,HEAD **", "POST /candidates", "* /jobs/{id}"'


def allow_rule(value: object) -> str:
    """Check one rule; it is kept as written."""
    if not isinstance(value, str):
        raise Wrong(f"{found(value)} is not a rule", ACCEPTED)
    methods, space, path = value.partition(" ")
    if not space or not METHODS.fullmatch(methods) or ("*" in methods and methods != "*"):
        raise Wrong(f"{found(value)} does not begin with methods and one space", ACCEPTED)
    if path in ("**", "/"):
        return value
    if not path.startswith("/"):
        raise Wrong(f"{found(value)} has a path that does not begin with a slash", ACCEPTED)
    *segments, last = path[1:].split("/")
    if last != "**":
        segments.append(last)
    for segment in segments:
        if PLACEHOLDER.fullmatch(segment):
            continue
        if segment in (".", "..") or not LITERAL.fullmatch(segment):
            raise Wrong(
                f"{found(value)} can never match: {found(segment)} is not a segment of a path",
                ACCEPTED,
            )
    return value
