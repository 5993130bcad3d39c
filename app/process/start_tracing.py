"""Chooses the tracing of a process by its settings."""

from collections.abc import Callable

from app.process.tracing import Tracing


def start_tracing(service: str, on: bool, dropped: Callable[[], None]) -> Tracing:
    """The tracing of the service, without spans unless `on`. `dropped` is called for each span that is discarded."""
    if not on:
        return Tracing()
    from app.process.spans import RecordedTracing  # noqa: PLC0415 - it takes memory

    return RecordedTracing(service, dropped)
