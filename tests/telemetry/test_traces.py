"""One span a call, with nothing of its query, headers or body; and nothing at all when off."""

import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from proxy.telemetry.traces import Traces, open_traces
from proxy.telemetry.traffic import RequestRecord

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


def record(**members: object) -> RequestRecord:
    made = RequestRecord("id-1", 1764058000.0, "GET", b"/candidates/CANARY-id", b"q=CANARY-query")
    made.status, made.whose, made.duration = 200, "upstream", 0.5
    made.operation, made.account, made.client = "GET /candidates/{id}", "default", "127.0.0.1"
    for name, value in members.items():
        setattr(made, name, value)
    return made


@pytest.fixture
def spans():
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    traces = Traces(provider)

    def of(*records: RequestRecord):
        for made in records:
            traces.tell(made)
        return exporter.get_finished_spans()

    yield of
    traces.close()


def test_a_call_is_one_span_that_continues_the_caller_s_trace(spans):
    (span,) = spans(record(traceparent=f"00-{TRACE}-{PARENT}-01", held=0.25))

    assert span.name == "GET /candidates/{id}"
    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == PARENT
    assert (span.start_time, span.end_time) == (1764058000_000000000, 1764058000_500000000)
    assert span.attributes["http.route"] == "/candidates/{id}"
    assert span.attributes["http.response.status_code"] == 200
    assert span.attributes["srproxy.held"] == 0.25
    assert span.status.is_unset


def test_nothing_of_the_target_is_in_a_span(spans):
    found = spans(
        record(), record(operation="other"), record(request_id="CANARY-chosen", named=True),
        record(method="CANARY-method"),
    )  # fmt: skip

    assert len(found) == 4
    assert "CANARY" not in " ".join(span.to_json() for span in found)


@pytest.mark.parametrize("members", [{"status": 503, "code": "dns_error"}, {"aborted": True}])
def test_a_failure_is_an_error(spans, members):
    (span,) = spans(record(**members))

    assert not span.status.is_ok
    assert not span.status.is_unset


def test_what_the_caller_does_not_sample_is_not_exported(spans):
    assert spans(record(traceparent=f"00-{TRACE}-{PARENT}-00")) == ()


@pytest.mark.parametrize(
    "environ",
    [{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}],
)
def test_off_it_loads_nothing(environ):
    assert open_traces(environ, "1.0") is None


def test_without_the_extra_it_says_what_to_install(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)

    assert open_traces({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, "1.0") is None
    assert "smartrecruiters-proxy[otlp]" in caplog.text


def test_spans_reach_a_collector(monkeypatch):
    bodies: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.server_port}"}
    monkeypatch.setenv(*next(iter(environ.items())))  # the SDK reads its own
    traces = open_traces(environ, "1.0")
    assert traces is not None
    traces.tell(record())
    traces.close()
    server.shutdown()
    server.server_close()

    message = ExportTraceServiceRequest.FromString(bodies[0])
    (resource,) = message.resource_spans
    assert [span.name for span in resource.scope_spans[0].spans] == ["GET /candidates/{id}"]
    named = {a.key: a.value.string_value for a in resource.resource.attributes}
    assert named["service.name"] == "smartrecruiters-proxy"


def test_a_collector_that_is_down_does_not_hold_up_the_end(monkeypatch):
    monkeypatch.setattr("proxy.telemetry.traces.CLOSE_TIMEOUT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "2")
        traces = open_traces({"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}, "1.0")
        assert traces is not None
        traces.tell(record())
        began = time.monotonic()
        traces.close()

        assert time.monotonic() - began < 1.5
