"""The profile's limits as a metric of the api and of the executor. An alert compares the two."""

from prometheus_client import CollectorRegistry, Gauge

from app.profile import SandboxProfile


def register(profile: SandboxProfile, registry: CollectorRegistry) -> None:
    """Add `sandbox_profile_limit` to the registry. Each value has the unit that the limit's name says."""
    gauge = Gauge(
        "sandbox_profile_limit", "Limits of each sandbox, in the unit of their name.", ["limit"], registry=registry
    )
    for limit, value in profile.limits().items():
        gauge.labels(limit).set(value)
