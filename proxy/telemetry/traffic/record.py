"""What is told of one request: no header, no body and no value of a query."""

import re
from dataclasses import dataclass

from proxy.telemetry.logs import redact

LONGEST_PATH = 2048
KEYS_SHOWN = 32
LONGEST_KEY = 96
REMEMBERED = 4096
# What is no plain name is not shown, nor what has no "=": it may be the value itself.
QUERY_KEY = re.compile(r"[A-Za-z_$][A-Za-z0-9_.$\[\]-]{0,63}(?:%5[BD][A-Za-z0-9_.-]{0,16})*")


@dataclass(slots=True)
class RequestRecord:
    """What is told of one request; durations in seconds, sizes in bytes."""

    request_id: str
    at: float  # when its head had come, on the wall clock
    method: str
    target: bytes
    caller: str | None = None
    status: int = 0
    whose: str = "proxy"
    code: str | None = None
    duration: float = 0.0
    upstream_duration: float = 0.0
    bytes_in: int = 0
    bytes_out: int = 0
    replays: int = 0
    traceparent: str | None = None
    aborted: bool = False
    rate_limit: str | None = None  # the upstream's X-RateLimit-Remaining, for the status page
    named: bool = False  # the caller chose request_id
    account: str | None = None  # whose credential serves it; None: refused before that was known
    operation: str = "other"  # the API operation that it is, such as GET /candidates/{id}
    client: str | None = None  # the caller's address; None: it came over the Unix socket
    held: float = 0.0  # how long the vendor's limits held it back
    # Of a 403 of the upstream's: the scopes that the call needs, and those that the grant has.
    needs: tuple[str, ...] = ()
    granted: tuple[str, ...] | None = None


class _ShownKeys(dict[str, str]):
    """What is shown of a query item's name: verdicts remembered, since tools repeat themselves."""

    def __missing__(self, key: str) -> str:
        shown = key if QUERY_KEY.fullmatch(key) else "?"
        if len(self) >= REMEMBERED:
            self.clear()
        if len(key) <= LONGEST_KEY:
            self[key] = shown
        return shown


_shown_keys = _ShownKeys()


def path_and_keys(target: bytes) -> tuple[str, list[str]]:
    """Return the path and the names in the query, never their values."""
    path, mark, query = target.decode("latin-1").partition("?")
    if len(path) > LONGEST_PATH:
        path = path[:LONGEST_PATH] + "…"
    if not mark:
        return path, []
    items = query.split("&", KEYS_SHOWN)
    keys = [
        _shown_keys[item.partition("=")[0]] if "=" in item else "?" for item in items[:KEYS_SHOWN]
    ]
    return path, keys if len(items) <= KEYS_SHOWN else [*keys, "…"]


def shown_path_and_keys(target: bytes) -> tuple[str, list[str]]:
    """Return the path and the query's names for a page: a caller may have put a secret there."""
    path, keys = path_and_keys(target)
    return redact(path), [redact(key) for key in keys]
