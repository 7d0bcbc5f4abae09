"""The metrics as Prometheus' text: families are built at a scrape, and only then."""

import platform
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from proxy.system.build import build_kind
from proxy.telemetry.metrics.metrics import OUTCOMES, Histogram, Labels, Metrics

BY_OPERATION = ("operation", "account")


def render(metrics: Metrics) -> bytes:
    """Return everything in Prometheus' text format."""
    if metrics.before is not None:
        metrics.before()
    registry = CollectorRegistry()
    registry.register(_Families(metrics))
    ProcessCollector(registry=registry)
    return generate_latest(registry)


class _Families(Collector):
    """The families of one Metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def describe(self) -> Iterator[Metric]:
        """Name nothing: the registry has this one collector, and need not ask it beforehand."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Build the families."""
        metrics = self._metrics
        yield from _requests(metrics)
        yield from _limits(metrics)
        yield from _connections(metrics)
        yield from _grants(metrics)
        yield _counter(
            "srproxy_log_lines_lost",
            "Log lines that could not be written and were dropped.",
            metrics.lines_lost() if metrics.lines_lost is not None else 0,
        )
        yield InfoMetricFamily(
            "srproxy_build",
            "The build that runs.",
            value={
                "version": metrics.version,
                "python": platform.python_version(),
                "build": build_kind(),
            },
        )


def _requests(metrics: Metrics) -> Iterator[Metric]:
    yield _counters(
        "srproxy_requests",
        "Requests answered, by whose answer it was; code is set on the proxy's own.",
        Labels._fields,
        ((series.labels, series.count) for series in metrics.series.values()),
    )
    yield _histograms(
        "srproxy_request_duration_seconds",
        "From the head of a request to the end of its answer.",
        ("whose", "operation"),
        metrics.durations.items(),
    )
    yield _histograms(
        "srproxy_upstream_duration_seconds",
        "From the sending of a request to the head of its answer, where the upstream answered.",
        ("operation",),
        (((operation,), kept) for operation, kept in metrics.upstream_durations.items()),
    )
    yield _gauge("srproxy_requests_in_flight", "Requests under way.", metrics.in_flight)
    yield _counter("srproxy_received_bytes", "Body bytes from callers.", metrics.bytes_in)
    yield _counter("srproxy_sent_bytes", "Body bytes to callers.", metrics.bytes_out)
    yield _counter("srproxy_replays", "Requests sent to the upstream once more.", metrics.replays)
    yield _counter(
        "srproxy_requests_aborted",
        "Requests broken off before their answer was complete, by either side.",
        metrics.aborted,
    )
    yield _counters(
        "srproxy_refusals",
        "Requests that a guard refused.",
        ("code",),
        (((code,), count) for code, count in metrics.refusals.items()),
    )


def _limits(metrics: Metrics) -> Iterator[Metric]:
    yield _gauge(
        "srproxy_held_requests",
        "Requests held back at the moment, until the vendor's limits allow them.",
        metrics.held() if metrics.held is not None else 0,
    )
    yield _histograms(
        "srproxy_held_seconds",
        "How long requests were held back, for those that were.",
        BY_OPERATION,
        metrics.held_durations.items(),
    )
    yield _counters(
        "srproxy_upstream_limited",
        "Answers of the upstream's that said 429, those that no caller saw included.",
        BY_OPERATION,
        metrics.upstream_limited.items(),
    )
    remaining = GaugeMetricFamily(
        "srproxy_upstream_rate_limit_remaining",
        "The upstream's last X-RateLimit-Remaining.",
        labels=BY_OPERATION,
    )
    for labels, value in metrics.rate_limit_remaining.items():
        remaining.add_metric(labels, value)
    yield remaining


def _connections(metrics: Metrics) -> Iterator[Metric]:
    upstream = GaugeMetricFamily(
        "srproxy_upstream_connections", "Connections to the upstream.", labels=["state"]
    )
    waiting = 0
    if metrics.pool is not None:
        pool = metrics.pool()
        waiting = pool.waiting
        upstream.add_metric(["active"], pool.open - pool.idle)
        upstream.add_metric(["idle"], pool.idle)
    yield upstream
    yield _gauge(
        "srproxy_upstream_waiting_requests", "Requests that wait for a connection.", waiting
    )
    callers = GaugeMetricFamily(
        "srproxy_caller_connections", "Connections of callers.", labels=["state"]
    )
    if metrics.callers is not None:
        active, idle = metrics.callers()
        callers.add_metric(["active"], active)
        callers.add_metric(["idle"], idle)
    yield callers
    certificate = GaugeMetricFamily(
        "srproxy_tls_certificate_expiry_timestamp_seconds",
        "When the certificate shown to callers ends.",
    )
    if metrics.certificate_expires_at is not None:
        expires_at = metrics.certificate_expires_at()
        if expires_at is not None:
            certificate.add_metric([], expires_at)
    yield certificate


def _grants(metrics: Metrics) -> Iterator[Metric]:
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
    available, mended = True, 0
    for account in metrics.accounts() if metrics.accounts is not None else ():
        # Each outcome from 0, or the first failure would not show as an increase.
        for outcome in sorted(OUTCOMES):
            metrics.refreshes.setdefault((account.name, outcome), 0)
        available = available and account.store_available
        mended += account.times_mended
        login.add_metric([account.name], account.login_required)
        if account.access_token_expires_at is not None:
            access_token.add_metric([account.name], account.access_token_expires_at)
        if account.grant_expires_at is not None:
            grant.add_metric([account.name], account.grant_expires_at)
    yield _counters(
        "srproxy_token_refreshes",
        "Refreshes by outcome: ok, not_spent, invalid_grant, unknown.",
        ("account", "outcome"),
        metrics.refreshes.items(),
    )
    yield from (access_token, grant, login)
    yield _gauge(
        "srproxy_store_available", "1 while the token store can be read and written.", available
    )
    yield _counter(
        "srproxy_store_errors", "Failed accesses to the token store.", metrics.store_errors
    )
    yield _counter(
        "srproxy_store_mended",
        "Times that the token store came back older than memory and was brought up to date.",
        mended,
    )


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)


def _counters(
    name: str, text: str, labels: Sequence[str], rows: Iterable[tuple[Sequence[str], float]]
) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, count in rows:
        family.add_metric(values, count)
    return family


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _histograms(
    name: str,
    text: str,
    labels: Sequence[str],
    histograms: Iterable[tuple[Sequence[str], Histogram]],
) -> Metric:
    family = HistogramMetricFamily(name, text, labels=labels)
    for values, histogram in histograms:
        family.add_metric(values, buckets=histogram.buckets(), sum_value=histogram.total)
    return family
