"""The interface of tracing, without OpenTelemetry: a process imports its packages only when traces are on.

Without traces, the edge's `traceparent` still reaches both processes and their logs.
"""

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager

Annotate = Callable[[str, str | float], None]
"""Sets an attribute of the span by name."""


class Tracing:
    """No spans: the ids of a request are passed on unchanged."""

    def span(self, name: str) -> AbstractContextManager[Annotate]:
        """A span around the context, as a child of the one in `correlation.current`, which it replaces there meanwhile.

        Outside of a request there is no span. The context's value sets attributes of the span.
        """
        return contextlib.nullcontext(lambda _name, _value: None)

    def take(self) -> bytes:
        """Remove and return the spans that have ended, as an OTLP ExportTraceServiceRequest; b"" without any."""
        return b""
