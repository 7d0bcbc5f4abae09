"""The grammar of limit rules: "5/s GET /reporting-api/**", "1 at once POST /x/{id}".

proxy.gateway.limits decides what a rule counts; the operation is written as in allow rules.
"""

import re
from typing import Literal, NamedTuple

from proxy.config.allow_rules import allow_rule
from proxy.config.faults import Wrong, found

RULE = re.compile(r"([0-9]{1,6})(/s| at once) (\S+ \S+)")
ACCEPTED = 'accepted: "N/s METHODS PATH" or "N at once METHODS PATH", such as "5/s GET /jobs/{id}"'


class LimitRule(NamedTuple):
    """At most `count` requests a second, or at once, of the operations that match."""

    count: int  # type: ignore[assignment] # in place of tuple's method
    per: Literal["second", "at_once"]
    # Names of methods, or "*" alone for every method.
    methods: tuple[str, ...]
    # As in allow rules: segments, `{name}` or `*` for exactly one, a last `**` for any rest.
    path: str


def limit_rule(value: object) -> LimitRule:
    """Parse one rule."""
    if isinstance(value, LimitRule):
        return value
    parts = RULE.fullmatch(value) if isinstance(value, str) else None
    if parts is None:
        raise Wrong(f"{found(value)} is not a limit rule", ACCEPTED)
    count, unit, operation = parts.groups()
    if int(count) == 0:
        raise Wrong(f"{found(value)} would never let a request pass", ACCEPTED)
    try:
        methods, _, path = allow_rule(operation).partition(" ")
    except Wrong as error:
        raise Wrong(error.what, ACCEPTED) from None
    per: Literal["second", "at_once"] = "second" if unit == "/s" else "at_once"
    return LimitRule(int(count), per, tuple(methods.split(",")), path)
