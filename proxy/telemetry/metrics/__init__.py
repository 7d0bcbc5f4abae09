"""Metrics: plain accumulators on the hot path, Prometheus families only when scraped."""

from proxy.telemetry.metrics.metrics import AccountSample, Callers, Metrics

__all__ = ["AccountSample", "Callers", "Metrics"]
