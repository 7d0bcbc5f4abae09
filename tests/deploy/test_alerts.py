"""Each alert, tried by promtool over an hour: it fires while what it tells of is so, and then not.

A run's minute 0 is the epoch, so an instant in the future is a small number.
"""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

RULES = Path(__file__).parents[2] / "deploy/alerts.yml"
MINUTES = (1, 17, 25, 60)
DAY = 86400
OF = '{instance="p", account="default"}'
ALL = 'srproxy_requests_total{instance="p", status="200", code=""}'
FAILED = 'srproxy_requests_total{instance="p", status="503", code="dns_error"}'
SLOW = "srproxy_upstream_duration_seconds"

# Each alert: series by the minute ("x60": to minute 60), and at which of the MINUTES it fires.
FIRING: dict[str, tuple[dict[str, str], set[int]]] = {
    "SmartRecruitersLoginRequired": ({f"srproxy_login_required{OF}": "1x60"}, {1, 17, 25, 60}),
    "SmartRecruitersGrantEndsSoon": (
        {f"srproxy_grant_expiry_timestamp_seconds{OF}": f"{5 * DAY}x60"},
        {17, 25, 60},
    ),
    "SmartRecruitersRefreshFailing": (
        {'srproxy_token_refreshes_total{instance="p", account="default", outcome="unknown"}':
         "0+2x60"},
        {17, 25, 60},
    ),
    "SmartRecruitersAccessTokenExpired": (
        {
            f"srproxy_access_token_expiry_timestamp_seconds{OF}": "0x60",
            f"srproxy_login_required{OF}": "0x60",
            'srproxy_requests_total{instance="p", code="token_endpoint_unavailable"}': "0+9x60",
        },
        {17, 25, 60},
    ),
    "SmartRecruitersStoreUnavailable": (
        {'srproxy_store_available{instance="p"}': "0x60"}, {1, 17, 25, 60},
    ),
    "SmartRecruitersCertificateEndsSoon": (
        {'srproxy_tls_certificate_expiry_timestamp_seconds{instance="p"}': f"{10 * DAY}x60"},
        {17, 25, 60},
    ),
    "SmartRecruitersCertificateEnds": (
        {'srproxy_tls_certificate_expiry_timestamp_seconds{instance="p"}': f"{2 * DAY}x60"},
        {1, 17, 25, 60},
    ),
    "SmartRecruitersHeldBack": ({'srproxy_held_requests{instance="p"}': "3x60"}, {17, 25, 60}),
    "SmartRecruitersLimited": (
        {'srproxy_upstream_limited_total{instance="p", account="default", operation="GET /jobs"}':
         "0+3x60"},
        {17, 25, 60},
    ),
    "SmartRecruitersLogLinesLost": (
        {'srproxy_log_lines_lost_total{instance="p"}': "0+5x60"}, {17, 25, 60},
    ),
    "SmartRecruitersCallsFailFast": ({ALL: "0+90x60", FAILED: "0+10x60"}, {17, 25, 60}),
    "SmartRecruitersCallsFail": ({ALL: "0+90x60", FAILED: "0+10x60"}, {17, 25, 60}),
    "SmartRecruitersSlow": (
        {
            f'{SLOW}_bucket{{instance="p", le="2.5"}}': "0+50x60",
            f'{SLOW}_count{{instance="p"}}': "0+100x60",
        },
        {17, 25, 60},
    ),
}  # fmt: skip
# What comes to its end at minute 20 fires no more an hour later, and what is well never does.
OVER = {
    "SmartRecruitersLoginRequired": {f"srproxy_login_required{OF}": "1x20 0x39"},
    "SmartRecruitersStoreUnavailable": {'srproxy_store_available{instance="p"}': "0x20 1x39"},
    "SmartRecruitersHeldBack": {'srproxy_held_requests{instance="p"}': "3x20 0x39"},
    "SmartRecruitersLogLinesLost": {'srproxy_log_lines_lost_total{instance="p"}': "0+5x20 100x39"},
    "SmartRecruitersCallsFailFast": {ALL: "0+90x60", FAILED: "0+10x20 200x39"},
}
WELL = {
    f"srproxy_login_required{OF}": "0x60",
    f"srproxy_grant_expiry_timestamp_seconds{OF}": f"{27 * DAY}x60",
    f"srproxy_access_token_expiry_timestamp_seconds{OF}": "9999x60",
    'srproxy_token_refreshes_total{instance="p", account="default", outcome="ok"}': "0+1x60",
    'srproxy_token_refreshes_total{instance="p", account="default", outcome="unknown"}': "0x60",
    'srproxy_store_available{instance="p"}': "1x60",
    'srproxy_tls_certificate_expiry_timestamp_seconds{instance="p"}': f"{80 * DAY}x60",
    'srproxy_held_requests{instance="p"}': "3x5 0x5 3x5 0x45",
    'srproxy_log_lines_lost_total{instance="p"}': "0x60",
    ALL: "0+10000x60",
    FAILED: "0+1x60",
    f'{SLOW}_bucket{{instance="p", le="2.5"}}': "0+99x60",
    f'{SLOW}_count{{instance="p"}}': "0+100x60",
}

pytestmark = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed"
)


def alerts() -> list[str]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule]


def tried(tmp_path: Path, series: dict[str, str], expected: dict[str, set[int]]) -> str:
    """Run promtool; return what it complains of."""
    tests: list[dict[str, Any]] = [
        {
            "eval_time": f"{minute}m",
            "expr": f'count(ALERTS{{alertname="{alert}", alertstate="firing"}})',
            "exp_samples": [{"labels": "{}", "value": 1}] if minute in minutes else [],
        }
        for alert, minutes in expected.items()
        for minute in MINUTES
    ]
    suite = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "30s",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": s, "values": v} for s, v in series.items()],
                "promql_expr_test": tests,
            }
        ],
    }
    path = tmp_path / "suite.yml"
    path.write_text(yaml.safe_dump(suite))
    done = subprocess.run(
        ["promtool", "test", "rules", str(path)], capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_every_alert_is_tried():
    assert set(FIRING) == set(alerts())


@pytest.mark.parametrize("alert", FIRING)
def test_an_alert_fires_as_long_as_what_it_tells_of_is_so(tmp_path, alert):
    series, minutes = FIRING[alert]

    assert tried(tmp_path, series, {alert: minutes}) == ""


@pytest.mark.parametrize("alert", OVER)
def test_an_alert_ends_with_what_it_tells_of(tmp_path, alert):
    _, minutes = FIRING[alert]
    # Counters are looked at over ten minutes, so their alerts end that much later.
    late = {25} if alert == "SmartRecruitersLogLinesLost" else set()

    assert tried(tmp_path, OVER[alert], {alert: (minutes & {1, 17}) | late}) == ""


def test_no_alert_fires_while_all_is_well(tmp_path):
    assert tried(tmp_path, WELL, {alert: set() for alert in alerts()}) == ""
