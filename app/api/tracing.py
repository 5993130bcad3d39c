"""Traces by OpenTelemetry: one span for each execution, a child of the edge's and the parent of the executor's.

Only with API_OTLP_ENDPOINT are OpenTelemetry's packages imported at all. Without it the edge's `traceparent` still
reaches the executor and the logs.
"""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace

from app import correlation
from app.correlation import TRACEPARENT

Annotate = Callable[[str, str | float], None]
"""Gives the span an attribute: its name and its value."""


class Tracing:
    """No spans of its own: ids are passed on as they came."""

    def span(self, name: str) -> AbstractContextManager[Annotate]:
        """What happens inside belongs to this span, and `correlation.current` names it."""
        return contextlib.nullcontext(lambda _name, _value: None)

    def close(self) -> None:
        """Send what has not been sent yet."""


class OtlpTracing(Tracing):
    """Spans are sent in batches, from a thread, to the OTLP/HTTP endpoint `url`."""

    def __init__(self, service: str, url: str) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

        self._provider = TracerProvider(resource=Resource.create({"service.name": service}))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{url.rstrip('/')}/v1/traces")))
        self._tracer = self._provider.get_tracer(service)
        self._propagator = TraceContextTextMapPropagator()

    @contextlib.contextmanager
    def span(self, name: str) -> Iterator[Annotate]:
        """A span below the current one."""
        outer = correlation.current.get()
        parent = self._propagator.extract(outer.headers if outer else {})
        with self._tracer.start_as_current_span(name, parent) as span:
            carrier: dict[str, str] = {}
            self._propagator.inject(carrier)
            token = correlation.current.set(replace(outer, traceparent=carrier[TRACEPARENT])) if outer else None
            try:
                yield span.set_attribute
            finally:
                if token is not None:
                    correlation.current.reset(token)

    def close(self) -> None:
        """Send what has not been sent yet."""
        self._provider.shutdown()


def tracing(service: str, endpoint: str | None) -> Tracing:
    """Traces to `endpoint`, such as http://collector:4318, or none."""
    return Tracing() if endpoint is None else OtlpTracing(service, endpoint)
