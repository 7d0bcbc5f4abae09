"""Traffic: one record a request, for the access log, the live list and the metrics."""

from proxy.telemetry.record import RequestRecord, path_and_keys, shown_path_and_keys
from proxy.telemetry.traffic.access_log import AccessLog
from proxy.telemetry.traffic.lines import describe
from proxy.telemetry.traffic.traffic import Traffic

__all__ = [
    "AccessLog",
    "RequestRecord",
    "Traffic",
    "describe",
    "path_and_keys",
    "shown_path_and_keys",
]
