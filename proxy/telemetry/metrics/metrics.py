"""What is counted: a finished request costs one dictionary look-up and a few additions.

`labels().inc()` of prometheus-client takes a lock and builds a key for each call. No label is
unbounded: methods that are not usual count as `other`, callers and accounts are names of the
configuration, codes the rows of errors.KINDS, operations those of proxy.smartrecruiters; and beyond
MOST_SERIES combinations the rest is counted together. Nothing of a request's path, query or headers
is ever counted by.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from proxy.telemetry.record import RequestRecord

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
GUARD_CODES: Final = frozenset(
    {"bad_host", "bad_request", "cross_origin", "head_too_large", "not_allowed", "unauthorized"}
)
OUTCOMES: Final = frozenset({"ok", "invalid_grant", "not_spent", "unknown"})
OTHER: Final = "other"
# Up to the 128 s that SmartRecruiters asks clients to wait for an answer. Of no stated
# length: of sixteen floats mypyc makes sixteen objects each time that they are looped over.
BOUNDS: Final[tuple[float, ...]] = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 130.0,
)  # fmt: skip
# Several times what a program calls: 305 operations exist, and each answers with a few statuses.
MOST_SERIES: Final = 5000


class Pool(Protocol):
    """How many connections there are to the upstream, and how many calls wait for one."""

    @property
    def open(self) -> int: ...
    @property
    def idle(self) -> int: ...
    @property
    def waiting(self) -> int: ...


class Callers(NamedTuple):
    """How many callers' connections have a request under way, and how many rest."""

    active: int
    idle: int


@dataclass(frozen=True, slots=True)
class AccountSample:
    """What a scrape shows of an account; instants are seconds since the epoch."""

    name: str
    login_required: bool
    access_token_expires_at: float | None = None
    grant_expires_at: float | None = None
    store_available: bool = True
    times_mended: int = 0


@dataclass(slots=True)
class Histogram:
    """Observations by bucket; cumulated when scraped."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    total: float = 0.0

    def add(self, value: float) -> None:
        """Add one observation, in seconds."""
        index = 0
        for bound in BOUNDS:
            if value <= bound:
                break
            index += 1
        self.counts[index] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Return the cumulated buckets as Prometheus wants them."""
        rows: list[tuple[str, float]] = []
        count = 0
        for bound, own in zip([*map(str, BOUNDS), "+Inf"], self.counts, strict=True):
            count += own
            rows.append((bound, float(count)))
        return rows


class Labels(NamedTuple):
    """The labels of srproxy_requests_total."""

    method: str
    status: str
    whose: str
    code: str
    caller: str
    account: str
    operation: str


@dataclass(slots=True)
class Series:
    """What is added up of the requests that share all labels."""

    labels: Labels
    duration: Histogram  # of all with its `whose` and operation
    upstream: Histogram | None  # of all answers of the upstream's to its operation
    count: int = 0


class Metrics:
    """All counters and gauges of one process.

    What others know better is asked for at a scrape: they set `pool`, `callers`, `held` (requests
    held back at the moment), `accounts`, `lines_lost` and `certificate_expires_at`.
    """

    def __init__(self, version: str) -> None:
        self.version = version
        self.in_flight = 0
        self.before: Callable[[], None] | None = None  # hands over what is not counted yet
        self.pool: Callable[[], Pool] | None = None
        self.callers: Callable[[], Callers] | None = None
        self.held: Callable[[], int] | None = None
        self.accounts: Callable[[], Iterable[AccountSample]] | None = None
        self.lines_lost: Callable[[], int] | None = None
        self.certificate_expires_at: Callable[[], float | None] | None = None
        self.bytes_in = 0
        self.bytes_out = 0
        self.replays = 0
        self.aborted = 0
        self.store_errors = 0
        self.refusals = dict.fromkeys(sorted(GUARD_CODES), 0)
        self.refreshes: dict[tuple[str, str], int] = {}
        self.series: dict[Labels, Series] = {}
        self.durations: dict[tuple[str, str], Histogram] = {}  # by whose and operation
        self.upstream_durations: dict[str, Histogram] = {}  # by operation
        self.held_durations: dict[tuple[str, str], Histogram] = {}  # by operation and account
        self.upstream_limited: dict[tuple[str, str], int] = {}
        self.rate_limit_remaining: dict[tuple[str, str], int] = {}
        self._known: dict[tuple[str | int | None, ...], Series] = {}

    def observe(self, records: Iterable[RequestRecord]) -> None:
        """Count finished requests."""
        before: RequestRecord | None = None
        series: Series | None = None
        for record in records:
            # The same objects as before, in most: that is cheaper to find out than to look up.
            if series is None or before is None or (
                record.operation is not before.operation
                or record.status != before.status
                or record.method != before.method
                or record.whose is not before.whose
                or record.code is not before.code
                or record.caller is not before.caller
                or record.account is not before.account
            ):  # fmt: skip
                series = self._series_of(record)
            before = record
            series.count += 1
            self.bytes_in += record.bytes_in
            self.bytes_out += record.bytes_out
            series.duration.add(record.duration)
            if series.upstream is not None:
                series.upstream.add(record.upstream_duration)
            elif record.code in GUARD_CODES:
                self.refusals[record.code] += 1
            if record.replays:
                self.replays += record.replays
            if record.aborted:
                self.aborted += 1
            if record.held or record.rate_limit is not None:
                self._observe_limits(record, series.labels)

    def limited(self, operation: str, account: str) -> None:
        """Count an answer of the upstream's that said 429, whether the caller saw it or not."""
        key = self._bounded(self.upstream_limited, (operation, account))
        self.upstream_limited[key] = self.upstream_limited.get(key, 0) + 1

    def refreshed(self, account: str, outcome: str) -> None:
        """Count a refresh: `ok`, or a value of errors.Outcome."""
        key = (account, outcome if outcome in OUTCOMES else OTHER)
        self.refreshes[key] = self.refreshes.get(key, 0) + 1

    def store_failed(self) -> None:
        """Count a failed access to the token store."""
        self.store_errors += 1

    def render(self) -> bytes:
        """Return everything in Prometheus' text format."""
        # 15 ms of prometheus-client: the route of the scrape imports it before, in a thread.
        from proxy.telemetry.metrics.exposition import render

        return render(self)

    def _observe_limits(self, record: RequestRecord, labels: Labels) -> None:
        key = (labels.operation, labels.account)
        if record.held:
            self.held_durations.setdefault(key, Histogram()).add(record.held)
        remaining = record.rate_limit
        if remaining is not None and len(remaining) < 10 and remaining.isdecimal():
            self.rate_limit_remaining[key] = int(remaining)

    def _series_of(self, record: RequestRecord) -> Series:
        key = (
            record.operation, record.status, record.method, record.whose, record.code,
            record.caller, record.account,
        )  # fmt: skip
        known = self._known.get(key)
        if known is not None:
            return known
        usual = record.method in METHODS
        labels = Labels(
            method=record.method if usual else OTHER,
            status=str(record.status) if record.status else "none",
            whose=record.whose,
            code=record.code or "",
            caller=record.caller or "",
            account=record.account or "",
            operation=record.operation,
        )
        series = self.series.get(labels)
        if series is None:
            if len(self.series) >= MOST_SERIES:
                labels = Labels(OTHER, OTHER, record.whose, OTHER, OTHER, OTHER, OTHER)
            series = self.series.setdefault(labels, self._new_series(labels))
        if usual and len(self._known) < MOST_SERIES:  # others: as many as a caller invents
            self._known[key] = series
        return series

    def _new_series(self, labels: Labels) -> Series:
        whose, operation = labels.whose, labels.operation
        upstream = None
        if whose == "upstream":
            upstream = self.upstream_durations.setdefault(operation, Histogram())
        return Series(labels, self.durations.setdefault((whose, operation), Histogram()), upstream)

    @staticmethod
    def _bounded(kept: dict[tuple[str, str], int], key: tuple[str, str]) -> tuple[str, str]:
        return key if key in kept or len(kept) < MOST_SERIES else (OTHER, OTHER)
