"""What the exporter knows of a container beside the kernel's counters."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Container:
    """A service's container. `started` is in seconds since 1970, `pod` the name of its pod on a cluster."""

    id: str
    service: str
    pod: str = ""
    restarts: int
    started: float
