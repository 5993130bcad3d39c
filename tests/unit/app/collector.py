"""A fake OTLP/HTTP collector, and a reader of its requests."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Span:
    """A span as the collector received it. Ids are hexadecimal, times are in nanoseconds."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    start: int
    end: int
    failed: bool
    attributes: dict[str, str]


def spans(body: bytes) -> list[Span]:
    """The spans in an ExportTraceServiceRequest, the earliest first."""
    found = []
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        service = next(item.value.string_value for item in resource.resource.attributes if item.key == "service.name")
        found += [
            Span(
                service=service,
                name=span.name,
                trace=span.trace_id.hex(),
                id=span.span_id.hex(),
                parent=span.parent_span_id.hex(),
                start=span.start_time_unix_nano,
                end=span.end_time_unix_nano,
                failed=span.status.code == 2,
                attributes={item.key: item.value.string_value for item in span.attributes},
            )
            for scope in resource.scope_spans
            for span in scope.spans
        ]
    return sorted(found, key=lambda span: span.start)


@dataclass
class Collector:
    """Answers with `status` and keeps the spans that it accepted."""

    url: str
    status: int = 200
    asked: int = 0
    spans: list[Span] = field(default_factory=list)


@contextlib.contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert (self.path, self.headers["Content-Type"]) == ("/v1/traces", "application/x-protobuf")
            collector.asked += 1
            if collector.status == 200:
                collector.spans += spans(body)
            self.send_response(collector.status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
