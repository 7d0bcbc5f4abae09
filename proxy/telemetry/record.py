"""What is recorded of one request: no header, no body and no value of a query."""

import re
from typing import Final

from proxy.telemetry.logs import redact

LONGEST_PATH: Final = 2048
KEYS_SHOWN: Final = 32
LONGEST_KEY: Final = 96
REMEMBERED: Final = 4096
# What is no plain name is not shown, nor what has no "=": it may be the value itself.
QUERY_KEY: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_.$\[\]-]{0,63}(?:%5[BD][A-Za-z0-9_.-]{0,16})*")


class RequestRecord:
    """What is recorded of one request; durations in seconds, sizes in bytes."""

    __slots__ = (
        "aborted", "account", "at", "bytes_in", "bytes_out", "caller", "client", "code",
        "duration", "granted", "held", "method", "named", "needs", "operation", "path", "query",
        "rate_limit", "replays", "request_id", "status", "traceparent", "upstream_duration",
        "whose",
    )  # fmt: skip

    def __init__(
        self, request_id: str, at: float, method: str, path: bytes, query: bytes | None = None
    ) -> None:
        self.request_id = request_id
        self.at = at  # when its head had come, on the wall clock
        self.method = method
        self.path = path  # of the target as it came
        self.query = query  # None: the target has no "?"
        self.caller: str | None = None
        self.status = 0
        self.whose = "proxy"
        self.code: str | None = None
        self.duration = 0.0
        self.upstream_duration = 0.0
        self.bytes_in = 0
        self.bytes_out = 0
        self.replays = 0
        self.traceparent: str | None = None
        self.aborted = False
        self.rate_limit: str | None = None  # X-RateLimit-Remaining, for the status page
        self.named = False  # the caller chose request_id
        self.account: str | None = None  # whose credential serves it; None: refused before that
        self.operation = "other"  # the API operation that it is, such as GET /candidates/{id}
        self.client: str | None = None  # the caller's address; None: it came over the Unix socket
        self.held = 0.0  # how long the vendor's limits held it back
        # Of a 403 of the upstream's: the scopes that the call needs, those that the grant has.
        self.needs: tuple[str, ...] = ()
        self.granted: tuple[str, ...] | None = None

    @property
    def target(self) -> bytes:
        """What was asked for, as it came."""
        return self.path if self.query is None else b"%b?%b" % (self.path, self.query)


# What is shown of a query item's name: verdicts remembered, since tools repeat themselves.
_shown: Final[dict[str, str]] = {}


def _learn_key(key: str) -> str:
    shown = key if QUERY_KEY.fullmatch(key) else "?"
    if len(_shown) >= REMEMBERED:
        _shown.clear()
    if len(key) <= LONGEST_KEY:
        _shown[key] = shown
    return shown


def path_and_keys(record: RequestRecord) -> tuple[str, list[str]]:
    """Return the path and the names in the query, never their values."""
    path = record.path.decode("latin-1")
    if len(path) > LONGEST_PATH:
        path = path[:LONGEST_PATH] + "…"
    if record.query is None:
        return path, []
    keys: list[str] = []
    for item in record.query.decode("latin-1").split("&", KEYS_SHOWN):
        name, mark, _ = item.partition("=")
        keys.append((_shown.get(name) or _learn_key(name)) if mark else "?")
    if len(keys) > KEYS_SHOWN:
        keys[-1] = "…"  # all the rest
    return path, keys


def shown_path_and_keys(record: RequestRecord) -> tuple[str, list[str]]:
    """Return the path and the query's names for a page: a caller may have put a secret there."""
    path, keys = path_and_keys(record)
    return redact(path), [redact(key) for key in keys]
