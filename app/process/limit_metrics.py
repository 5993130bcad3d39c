"""The profile's limits as a figure: the api and the executor each tell theirs, and an alert compares them."""

from prometheus_client import CollectorRegistry, Gauge

from app.profile import SandboxProfile


def register(profile: SandboxProfile, registry: CollectorRegistry) -> None:
    """Add `sandbox_profile_limit`, in the unit of each limit's name."""
    gauge = Gauge(
        "sandbox_profile_limit", "Limits of each sandbox, in the unit of their name.", ["limit"], registry=registry
    )
    for limit, value in profile.limits().items():
        gauge.labels(limit).set(value)
