"""Metrics: plain accumulators on the hot path, Prometheus families only when scraped.

`labels().inc()` of prometheus-client takes a lock and builds a key for each call; here a finished
request costs a dictionary look-up and a few additions. No label is unbounded: methods that are not
usual count as `other`, callers are the names of configured keys, codes the rows of errors.KINDS.
Nothing of a request's path, query or headers is ever counted by.
"""

import platform
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
GUARD_CODES = frozenset(
    {"bad_host", "bad_request", "cross_origin", "head_too_large", "not_allowed", "unauthorized"}
)
OUTCOMES = frozenset({"ok", "invalid_grant", "not_spent", "unknown"})
# Up to the 128 s that SmartRecruiters asks clients to wait for an answer.
BOUNDS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 130.0,
)  # fmt: skip


class Observed(Protocol):
    """What is counted of a finished request (a traffic.Record)."""

    method: str
    status: int
    whose: str
    code: str | None
    caller: str | None
    duration: float
    upstream_duration: float
    bytes_in: int
    bytes_out: int
    replays: int
    aborted: bool


@dataclass(frozen=True, slots=True)
class AccountSample:
    """What is told of an account at a scrape; instants are seconds since the epoch."""

    name: str
    login_required: bool
    access_token_expires_at: float | None = None
    grant_expires_at: float | None = None


@dataclass(slots=True)
class Histogram:
    """Observations by bucket; cumulated when scraped."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    total: float = 0.0

    def buckets(self) -> list[tuple[str, float]]:
        """Return the cumulated buckets as Prometheus wants them."""
        rows: list[tuple[str, float]] = []
        count = 0
        for bound, own in zip([*map(str, BOUNDS), "+Inf"], self.counts, strict=True):
            count += own
            rows.append((bound, float(count)))
        return rows


@dataclass(slots=True)
class Series:
    """What is added up of the requests that share all labels."""

    labels: tuple[str, str, str, str, str]
    count: int = 0


class Metrics(Collector):
    """All counters and gauges of one process."""

    def __init__(self, version: str) -> None:
        self.in_flight = 0
        self.before: Callable[[], None] | None = None  # hands over what is not counted yet
        self.pool: Callable[[], tuple[int, int]] | None = None  # connections open, and idle
        self.accounts: Callable[[], Iterable[AccountSample]] | None = None
        self._version = version
        self._series: dict[tuple[str, int, str, str | None, str | None], Series] = {}
        self._by_labels: dict[tuple[str, str, str, str, str], Series] = {}
        self._duration = Histogram()
        self._upstream_duration = Histogram()
        self._bytes_in = 0
        self._bytes_out = 0
        self._replays = 0
        self._aborted = 0
        self._refusals = dict.fromkeys(sorted(GUARD_CODES), 0)
        self._refreshes: dict[tuple[str, str], int] = {}
        self._store_errors = 0
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def observe(self, records: Iterable[Observed]) -> None:
        """Count finished requests."""
        durations, upstream_durations = self._duration, self._upstream_duration
        for record in records:
            key = (record.method, record.status, record.whose, record.code, record.caller)
            series = self._series.get(key)
            if series is None:
                series = self._new_series(record, key)
            series.count += 1
            self._bytes_in += record.bytes_in
            self._bytes_out += record.bytes_out
            duration = record.duration
            durations.counts[bisect_left(BOUNDS, duration)] += 1
            durations.total += duration
            if record.whose == "upstream":
                duration = record.upstream_duration
                upstream_durations.counts[bisect_left(BOUNDS, duration)] += 1
                upstream_durations.total += duration
            elif record.code in GUARD_CODES:
                self._refusals[record.code] += 1
            if record.replays:
                self._replays += record.replays
            if record.aborted:
                self._aborted += 1

    def refreshed(self, account: str, outcome: str) -> None:
        """Count a refresh: `ok`, or a value of errors.Outcome."""
        key = (account, outcome if outcome in OUTCOMES else "other")
        self._refreshes[key] = self._refreshes.get(key, 0) + 1

    def store_failed(self) -> None:
        """Count a failed access to the token store."""
        self._store_errors += 1

    def render(self) -> bytes:
        """Return everything in Prometheus' text format (CONTENT_TYPE)."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Build the families; prometheus-client calls this at a scrape."""
        if self.before is not None:
            self.before()
        requests = CounterMetricFamily(
            "srproxy_requests",
            "Requests answered, by whose answer it was; code is set on the proxy's own.",
            labels=["method", "status_class", "whose", "code", "caller"],
        )
        for series in self._by_labels.values():
            requests.add_metric(series.labels, series.count)
        yield requests
        yield _histogram(
            "srproxy_request_duration_seconds",
            "From the head of a request to the end of its answer.",
            self._duration,
        )
        yield _histogram(
            "srproxy_upstream_duration_seconds",
            "The upstream's part of it, for requests that it answered.",
            self._upstream_duration,
        )
        yield _gauge("srproxy_requests_in_flight", "Requests under way.", self.in_flight)
        yield _counter("srproxy_received_bytes", "Body bytes from callers.", self._bytes_in)
        yield _counter("srproxy_sent_bytes", "Body bytes to callers.", self._bytes_out)
        yield _counter("srproxy_replays", "Requests sent to the upstream once more.", self._replays)
        yield _counter(
            "srproxy_requests_aborted",
            "Requests broken off before their answer was complete, by either side.",
            self._aborted,
        )
        refusals = CounterMetricFamily(
            "srproxy_refusals", "Requests that a guard refused.", labels=["code"]
        )
        for code, count in self._refusals.items():
            refusals.add_metric([code], count)
        yield refusals
        yield from self._collect_upstream()
        yield from self._collect_grants()
        yield InfoMetricFamily(
            "srproxy_build",
            "The build that runs.",
            value={"version": self._version, "python": platform.python_version()},
        )

    def _collect_upstream(self) -> Iterator[Metric]:
        connections = GaugeMetricFamily(
            "srproxy_upstream_connections", "Connections to the upstream.", labels=["state"]
        )
        if self.pool is not None:
            opened, idle = self.pool()
            connections.add_metric(["active"], opened - idle)
            connections.add_metric(["idle"], idle)
        yield connections

    def _collect_grants(self) -> Iterator[Metric]:
        refreshes = CounterMetricFamily(
            "srproxy_token_refreshes",
            "Refreshes by outcome: ok, not_spent, invalid_grant, unknown.",
            labels=["account", "outcome"],
        )
        access_token = GaugeMetricFamily(
            "srproxy_access_token_expiry_timestamp_seconds",
            "When the access token ends.",
            labels=["account"],
        )
        grant = GaugeMetricFamily(
            "srproxy_grant_expiry_timestamp_seconds",
            "When the refresh token, and with it the grant, ends unless it is used.",
            labels=["account"],
        )
        login = GaugeMetricFamily(
            "srproxy_login_required", "1 when a person has to log in, else 0.", labels=["account"]
        )
        for account in self.accounts() if self.accounts is not None else ():
            # Each outcome from 0, or the first failure would not show as an increase.
            for outcome in sorted(OUTCOMES):
                self._refreshes.setdefault((account.name, outcome), 0)
            login.add_metric([account.name], account.login_required)
            if account.access_token_expires_at is not None:
                access_token.add_metric([account.name], account.access_token_expires_at)
            if account.grant_expires_at is not None:
                grant.add_metric([account.name], account.grant_expires_at)
        for labels, count in self._refreshes.items():
            refreshes.add_metric(labels, count)
        yield from (refreshes, access_token, grant, login)
        yield _counter(
            "srproxy_store_errors", "Failed accesses to the token store.", self._store_errors
        )

    def _new_series(
        self, record: Observed, key: tuple[str, int, str, str | None, str | None]
    ) -> Series:
        usual = record.method in METHODS
        labels = (
            record.method if usual else "other",
            f"{record.status // 100}xx" if record.status else "none",
            record.whose,
            record.code or "",
            record.caller or "",
        )
        series = self._by_labels.setdefault(labels, Series(labels))
        if usual:  # others are as many as a caller likes to invent, so not remembered
            self._series[key] = series
        return series


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _histogram(name: str, text: str, histogram: Histogram) -> Metric:
    family = HistogramMetricFamily(name, text)
    buckets: Sequence[tuple[str, float]] = histogram.buckets()
    family.add_metric([], buckets=buckets, sum_value=histogram.total)
    return family
