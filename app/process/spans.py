"""Spans that are kept in memory until the api fetches them: the executor has no network to send its own."""

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.trace import StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from app.process import correlation
from app.process.correlation import TRACEPARENT
from app.process.tracing import Annotate, Tracing

_KEPT = 2048
"""Most spans that are kept. The executor makes 4 for each execution, and the api fetches them every 2 s."""


class RecordedTracing(Tracing):
    """Spans of the service of this name."""

    def __init__(self, service: str, dropped: Callable[[], None]) -> None:
        self._ended = _Ended(dropped)
        provider = TracerProvider(resource=Resource.create({"service.name": service}), shutdown_on_exit=False)
        provider.add_span_processor(self._ended)
        self._tracer = provider.get_tracer(service)
        self._propagator = TraceContextTextMapPropagator()

    @contextlib.contextmanager
    def span(self, name: str) -> Iterator[Annotate]:
        """See `Tracing`. An exception marks the span as failed; its text is not recorded, as it may quote a visitor."""
        outer = correlation.current.get()
        if outer is None:
            yield lambda _name, _value: None
            return
        span = self._tracer.start_span(name, self._propagator.extract(outer.headers))
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, set_span_in_context(span))
        token = correlation.current.set(replace(outer, traceparent=carrier[TRACEPARENT]))
        try:
            yield span.set_attribute
        except Exception:
            span.set_status(StatusCode.ERROR)
            raise
        finally:
            correlation.current.reset(token)
            span.end()

    def take(self) -> bytes:
        """See `Tracing`."""
        ended, self._ended.spans = self._ended.spans, deque()
        return encode_spans(ended).SerializeToString() if ended else b""


class _Ended(SpanProcessor):
    """Keeps the latest _KEPT spans that have ended."""

    def __init__(self, dropped: Callable[[], None]) -> None:
        self.spans: deque[ReadableSpan] = deque()
        self._dropped = dropped

    def on_end(self, span: ReadableSpan) -> None:
        """Keep a span. The SDK does not call this for traces that are not sampled."""
        if len(self.spans) == _KEPT:
            self.spans.popleft()
            self._dropped()
        self.spans.append(span)
