"""OpenTelemetry traces, one span a call: with the extra `otlp`, where the environment asks for it.

On where OTEL_EXPORTER_OTLP_ENDPOINT (or …_TRACES_ENDPOINT) is set; every other OTEL_ variable is
the SDK's own to read. A span is made of the record that the log has, once the call is over: its
name is the operation, its parent the caller's `traceparent`. It never holds a path, which may name
a candidate, or anything of a query, a header or a body.
"""

import logging
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from proxy.telemetry.traffic import RequestRecord

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.util.types import AttributeValue

logger = logging.getLogger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
NAME = "smartrecruiters-proxy"
CLOSE_TIMEOUT = 3.0


def open_traces(environ: Mapping[str, str], version: str) -> "Traces | None":
    """Begin to export where the environment asks for it and the extra is installed."""
    if not any(environ.get(name) for name in ENDPOINTS):
        return None
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        logger.warning(
            "traces_off an OTLP endpoint is set, but OpenTelemetry is not installed: "
            "pip install 'smartrecruiters-proxy[otlp]'"
        )
        return None
    attributes = {"service.version": version}
    if not environ.get("OTEL_SERVICE_NAME"):
        attributes["service.name"] = NAME
    provider = TracerProvider(resource=Resource.create(attributes), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Traces(provider)


class Traces:
    """Spans on their way to a collector, in batches, by a thread of the SDK's."""

    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry.trace import SpanKind, Status, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer(NAME)
        self._kind = SpanKind.SERVER
        self._failed = Status(StatusCode.ERROR)
        self._context_of = TraceContextTextMapPropagator().extract

    def tell(self, record: RequestRecord) -> None:
        """Make the span of a call that is over."""
        carrier = {} if record.traceparent is None else {"traceparent": record.traceparent}
        method, _, route = record.operation.partition(" ")
        span = self._tracer.start_span(
            record.operation if route else method,
            context=self._context_of(carrier),
            kind=self._kind,
            attributes=_attributes(record, route),
            start_time=int(record.at * 1e9),
        )
        if record.status >= 500 or record.aborted:
            span.set_status(self._failed)
        span.end(int((record.at + record.duration) * 1e9))

    def close(self) -> None:
        """Send what waits, for three seconds at most; blocks, so call it in a thread.

        The SDK tries a collector that is down again and again, whatever time it is given.
        """
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(CLOSE_TIMEOUT)


def _attributes(record: RequestRecord, route: str) -> dict[str, "AttributeValue"]:
    """Return the attributes of a call's span, by OpenTelemetry's names where it has one."""
    attributes: dict[str, AttributeValue | None] = {
        "http.request.method": record.method if record.method.isalpha() else None,
        "http.route": route or None,
        "http.response.status_code": record.status or None,
        "http.request.body.size": record.bytes_in,
        "http.response.body.size": record.bytes_out,
        "client.address": record.client,
        "error.type": record.code,
        "srproxy.request_id": None if record.named else record.request_id,
        "srproxy.whose": record.whose,
        "srproxy.account": record.account,
        "srproxy.caller": record.caller,
        "srproxy.upstream_duration": record.upstream_duration,
        "srproxy.held": record.held,
        "srproxy.replays": record.replays,
        "srproxy.aborted": record.aborted,
    }
    return {name: value for name, value in attributes.items() if value is not None}
