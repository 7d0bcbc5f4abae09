"""Metrics: what is counted, and that nothing makes the series grow without bound."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from proxy.telemetry.metrics import AccountSample, Metrics
from proxy.telemetry.traffic import RequestRecord

ROOT = Path(__file__).parents[2]
RECORD = RequestRecord(
    request_id="r",
    at=0.0,
    method="GET",
    target=b"/candidates/secret-id?pageId=secret",
    status=200,
    whose="upstream",
    duration=0.03,
    upstream_duration=0.02,
    bytes_in=10,
    bytes_out=1000,
)


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return samples(metrics)[name, tuple(sorted(labels.items()))]


def test_requests_are_counted_by_method_class_side_code_and_caller():
    metrics = Metrics("1.0")
    for record in (
        RECORD,
        replace(RECORD, status=201),
        replace(RECORD, status=403, whose="proxy", code="not_allowed", caller="reader"),
        replace(RECORD, status=0, aborted=True),
    ):
        metrics.observe([record])

    def requests(**labels: str) -> float:
        return value(metrics, "srproxy_requests_total", method="GET", **labels)

    assert requests(status_class="2xx", whose="upstream", code="", caller="") == 2
    assert requests(status_class="4xx", whose="proxy", code="not_allowed", caller="reader") == 1
    assert requests(status_class="none", whose="upstream", code="", caller="") == 1
    assert value(metrics, "srproxy_requests_aborted_total") == 1
    assert value(metrics, "srproxy_refusals_total", code="not_allowed") == 1
    assert value(metrics, "srproxy_refusals_total", code="bad_host") == 0


def test_durations_and_bytes_are_added_up():
    metrics = Metrics("1.0")
    metrics.observe([RECORD])
    metrics.observe([replace(RECORD, whose="proxy", code="bad_host", duration=500.0)])

    assert value(metrics, "srproxy_request_duration_seconds_count") == 2
    assert value(metrics, "srproxy_request_duration_seconds_sum") == pytest.approx(500.03)
    assert value(metrics, "srproxy_request_duration_seconds_bucket", le="0.025") == 0
    assert value(metrics, "srproxy_request_duration_seconds_bucket", le="0.05") == 1
    assert value(metrics, "srproxy_request_duration_seconds_bucket", le="130.0") == 1
    assert value(metrics, "srproxy_request_duration_seconds_bucket", le="+Inf") == 2
    assert value(metrics, "srproxy_upstream_duration_seconds_count") == 1
    assert value(metrics, "srproxy_received_bytes_total") == 20
    assert value(metrics, "srproxy_sent_bytes_total") == 2000


def test_a_caller_cannot_make_series():
    metrics = Metrics("1.0")
    for number in range(1000):
        metrics.observe([replace(RECORD, method=f"M{number}", target=b"/%d" % number)])

    assert len(metrics._series) == 0
    assert (
        value(
            metrics,
            "srproxy_requests_total",
            method="other",
            status_class="2xx",
            whose="upstream",
            code="",
            caller="",
        )
        == 1000
    )


def test_nothing_of_a_request_is_in_the_text():
    metrics = Metrics("1.0")
    metrics.observe([RECORD])

    assert b"secret" not in metrics.render()


def test_accounts_and_the_pool_are_asked_at_the_scrape():
    metrics = Metrics("1.0")
    metrics.pool = lambda: (5, 2)
    metrics.accounts = lambda: [
        AccountSample("default", False, access_token_expires_at=1764060000.0, grant_expires_at=2e9)
    ]
    metrics.refreshed("default", "ok")
    metrics.refreshed("default", "ok")
    metrics.refreshed("default", "surprise")
    metrics.store_failed()

    assert value(metrics, "srproxy_upstream_connections", state="active") == 3
    assert value(metrics, "srproxy_upstream_connections", state="idle") == 2
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
        name == "srproxy_build_info" and ("version", "1.2.3") in labels
        for name, labels in samples(metrics)
    )


def families() -> set[str]:
    """Every name of our own, as a query would use it."""
    metrics = Metrics("1.0")
    metrics.pool = lambda: (0, 0)
    metrics.accounts = lambda: [AccountSample("default", True, 1.0, 1.0)]
    metrics.observe([RECORD])
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
