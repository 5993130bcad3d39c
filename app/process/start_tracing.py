"""The traces of a process, as its settings ask for them."""

from collections.abc import Callable

from app.process.tracing import Tracing


def start_tracing(service: str, on: bool, dropped: Callable[[], None]) -> Tracing:
    """The traces of a process. `dropped` is called for each span that was not taken in time."""
    if not on:
        return Tracing()
    from app.process.spans import RecordedTracing  # noqa: PLC0415 - it takes memory

    return RecordedTracing(service, dropped)
