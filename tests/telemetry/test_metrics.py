"""Metrics: what is counted, and that nothing makes the series grow without bound."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from proxy.gateway.upstream.pool import PoolStats
from proxy.system.build import build_kind
from proxy.telemetry.metrics import AccountSample, Callers, Metrics
from proxy.telemetry.metrics.metrics import MOST_SERIES
from proxy.telemetry.traffic import RequestRecord
from tests.support.records import make_record

ROOT = Path(__file__).parents[2]


def finished(**members: Any) -> RequestRecord:
    usual: dict[str, Any] = {
        "target": b"/candidates/secret-id?pageId=secret",
        "account": "default",
        "operation": "GET /candidates/{id}",
        "duration": 0.03,
        "upstream_duration": 0.02,
        "bytes_in": 10,
        "bytes_out": 1000,
    }
    return make_record(**{**usual, **members})


RECORD = finished()


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def requests(metrics: Metrics, **labels: str) -> float:
    usual = {
        "method": "GET", "status": "200", "whose": "upstream", "code": "", "caller": "",
        "account": "default", "operation": "GET /candidates/{id}",
    }  # fmt: skip
    return value(metrics, "srproxy_requests_total", **(usual | labels))


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return samples(metrics)[name, tuple(sorted(labels.items()))]


def test_requests_are_counted_by_their_exact_status_and_every_label():
    metrics = Metrics("1.0")
    for record in (
        RECORD,
        RECORD,
        finished(status=429),
        finished(status=403, whose="proxy", code="not_allowed", caller="reader"),
        finished(status=0, aborted=True),
    ):
        metrics.observe([record])

    assert requests(metrics, status="200") == 2
    assert requests(metrics, status="429") == 1
    assert requests(metrics, status="403", whose="proxy", code="not_allowed", caller="reader") == 1
    assert requests(metrics, status="none") == 1
    assert value(metrics, "srproxy_requests_aborted_total") == 1
    assert value(metrics, "srproxy_refusals_total", code="not_allowed") == 1
    assert value(metrics, "srproxy_refusals_total", code="bad_host") == 0


def test_durations_and_bytes_are_added_up():
    metrics = Metrics("1.0")
    metrics.observe([RECORD])
    metrics.observe([finished(duration=500.0, upstream_duration=0.02)])

    def bucket(le: str) -> float:
        return value(metrics, f"{duration}_bucket", le=le, **labels)

    duration, upstream = "srproxy_request_duration_seconds", "srproxy_upstream_duration_seconds"
    labels = {"whose": "upstream", "operation": "GET /candidates/{id}"}
    assert value(metrics, f"{duration}_count", **labels) == 2
    assert value(metrics, f"{duration}_sum", **labels) == pytest.approx(500.03)
    assert [bucket("0.025"), bucket("0.05"), bucket("130.0"), bucket("+Inf")] == [0, 1, 1, 2]
    assert value(metrics, f"{upstream}_count", operation="GET /candidates/{id}") == 2
    assert value(metrics, "srproxy_received_bytes_total") == 20
    assert value(metrics, "srproxy_sent_bytes_total") == 2000


def test_a_caller_cannot_make_series():
    metrics = Metrics("1.0")
    for number in range(1000):
        metrics.observe([finished(method=f"M{number}", target=b"/%d" % number)])

    assert len(metrics.series) == 1
    assert requests(metrics, method="other") == 1000


def test_no_label_grows_without_bound_whatever_is_observed():
    metrics = Metrics("1.0")
    for number in range(MOST_SERIES + 50):
        metrics.observe([finished(operation=f"GET /{number}", account=f"{number}")])

    assert len(metrics.series) == MOST_SERIES + 1
    rest = dict.fromkeys(("method", "status", "code", "caller", "account", "operation"), "other")
    assert requests(metrics, **rest) == 50


def test_our_own_refusals_are_no_latency_of_the_upstream_s():
    metrics = Metrics("1.0")
    metrics.observe([RECORD])
    metrics.observe([
        finished(status=503, whose="proxy", code="connection_limit_reached", duration=30.0)
    ])  # fmt: skip

    operation = "GET /candidates/{id}"
    upstream = "srproxy_upstream_duration_seconds_sum"
    duration = "srproxy_request_duration_seconds_sum"
    assert value(metrics, upstream, operation=operation) == pytest.approx(0.02)
    assert value(metrics, duration, operation=operation, whose="upstream") == pytest.approx(0.03)
    assert value(metrics, duration, operation=operation, whose="proxy") == 30.0


def test_what_the_vendor_s_limits_do_is_told_by_operation_and_account():
    metrics = Metrics("1.0")
    metrics.held = lambda: 3
    metrics.observe([finished(held=0.7, rate_limit="4"), RECORD])
    metrics.observe([finished(rate_limit="a lot")])
    metrics.limited("GET /candidates/{id}", "default")

    labels = {"operation": "GET /candidates/{id}", "account": "default"}
    assert value(metrics, "srproxy_held_requests") == 3
    assert value(metrics, "srproxy_held_seconds_count", **labels) == 1
    assert value(metrics, "srproxy_held_seconds_sum", **labels) == pytest.approx(0.7)
    assert value(metrics, "srproxy_held_seconds_bucket", le="0.5", **labels) == 0
    assert value(metrics, "srproxy_upstream_limited_total", **labels) == 1
    assert value(metrics, "srproxy_upstream_rate_limit_remaining", **labels) == 4


def test_connections_lost_lines_and_the_certificate_are_asked_for_at_the_scrape():
    metrics = Metrics("1.0")
    metrics.callers = lambda: Callers(2, 5)
    metrics.lines_lost = lambda: 17
    metrics.certificate_expires_at = lambda: 2e9

    assert value(metrics, "srproxy_caller_connections", state="active") == 2
    assert value(metrics, "srproxy_caller_connections", state="idle") == 5
    assert value(metrics, "srproxy_log_lines_lost_total") == 17
    assert value(metrics, "srproxy_tls_certificate_expiry_timestamp_seconds") == 2e9


def test_the_store_is_available_while_it_is_so_for_every_account():
    metrics = Metrics("1.0")
    metrics.accounts = lambda: [
        AccountSample("a", False), AccountSample("b", False, store_available=False)
    ]  # fmt: skip
    assert value(metrics, "srproxy_store_available") == 0

    metrics.accounts = lambda: [AccountSample("a", False)]
    assert value(metrics, "srproxy_store_available") == 1


def test_nothing_of_a_request_is_in_the_text():
    metrics = Metrics("1.0")
    metrics.observe([RECORD])

    assert b"secret" not in metrics.render()


def test_accounts_and_the_pool_are_asked_at_the_scrape():
    metrics = Metrics("1.0")
    metrics.pool = lambda: PoolStats(5, 2, 4)
    metrics.accounts = lambda: [
        AccountSample("default", False, access_token_expires_at=1764060000.0, grant_expires_at=2e9)
    ]
    metrics.refreshed("default", "ok")
    metrics.refreshed("default", "ok")
    metrics.refreshed("default", "surprise")
    metrics.store_failed()

    assert value(metrics, "srproxy_upstream_connections", state="active") == 3
    assert value(metrics, "srproxy_upstream_connections", state="idle") == 2
    assert value(metrics, "srproxy_upstream_waiting_requests") == 4
    assert value(metrics, "srproxy_login_required", account="default") == 0
    assert value(metrics, "srproxy_grant_expiry_timestamp_seconds", account="default") == 2e9
    assert (
        value(metrics, "srproxy_access_token_expiry_timestamp_seconds", account="default")
        == 1764060000
    )
    refreshes = "srproxy_token_refreshes_total"
    assert value(metrics, refreshes, account="default", outcome="ok") == 2
    assert value(metrics, refreshes, account="default", outcome="other") == 1
    assert value(metrics, refreshes, account="default", outcome="invalid_grant") == 0
    assert value(metrics, "srproxy_store_errors_total") == 1


def test_an_account_without_grant_has_no_expiry():
    metrics = Metrics("1.0")
    metrics.accounts = lambda: [AccountSample("default", True)]

    assert value(metrics, "srproxy_login_required", account="default") == 1
    assert not any(name.startswith("srproxy_grant_expiry") for name, _ in samples(metrics))


def test_in_flight_and_build_are_told():
    metrics = Metrics("1.2.3")
    metrics.in_flight = 4

    assert value(metrics, "srproxy_requests_in_flight") == 4
    assert any(
        name == "srproxy_build_info" and {("version", "1.2.3"), ("build", build_kind())} < {*labels}
        for name, labels in samples(metrics)
    )


def families() -> set[str]:
    """Every name of our own, as a query would use it."""
    metrics = Metrics("1.0")
    metrics.pool = lambda: PoolStats(0, 0, 0)
    metrics.callers = lambda: Callers(0, 0)
    metrics.certificate_expires_at = lambda: 1.0
    metrics.accounts = lambda: [AccountSample("default", True, 1.0, 1.0)]
    metrics.observe([finished(held=1.0, rate_limit="1")])
    metrics.limited("other", "default")
    return {
        re.sub(r"_(bucket|count|sum)$", "", name)
        for name, _ in samples(metrics)
        if name.startswith("srproxy_") and not name.endswith("_created")
    }


@pytest.mark.parametrize("name", sorted(families()))
def test_every_metric_is_documented(name):
    assert f"`{name}`" in (ROOT / "docs/behaviour.md").read_text()


def test_the_documentation_names_no_metric_that_does_not_exist():
    documented = re.findall(r"`(srproxy_[a-z_]+)`", (ROOT / "docs/behaviour.md").read_text())

    assert set(documented) == families()


@pytest.mark.parametrize("name", ["grafana-dashboard.json", "alerts.yml"])
def test_what_watches_us_asks_for_metrics_that_exist(name):
    if name.endswith("json"):
        assert json.loads((ROOT / "deploy" / name).read_text())["panels"]
    used = set(re.findall(r"\bsrproxy_[a-z_]+", (ROOT / "deploy" / name).read_text()))

    assert used
    assert {re.sub(r"_(bucket|count|sum)$", "", metric) for metric in used} <= families()


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_accepts_the_alert_rules_and_the_metrics(tmp_path):
    rules = subprocess.run(
        ["promtool", "check", "rules", str(ROOT / "deploy/alerts.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert rules.returncode == 0, rules.stdout + rules.stderr

    metrics = Metrics("1.0")
    metrics.accounts = lambda: [AccountSample("default", True, 1.0, 1.0)]
    metrics.observe([RECORD])
    checked = subprocess.run(
        ["promtool", "check", "metrics"],
        input=metrics.render(),
        capture_output=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    complaints = [line for line in checked.stderr.splitlines() if b"srproxy_" in line]
    assert complaints == []
