"""The figures of the keeper, as Prometheus reads them."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge


class Metrics:
    """The figures, in a registry of their own."""

    def __init__(self, services: Iterable[str]) -> None:
        self.registry = CollectorRegistry()
        self.answers = Gauge(
            "keeper_openbao_answers", "1 while OpenBao answers and is not sealed, else 0.", registry=self.registry
        )
        self.expires = Gauge(
            "keeper_agent_token_expires_time_seconds",
            "When the token of a service's agent ends unless it is renewed, in seconds since 1970.",
            ["service"],
            registry=self.registry,
        )
        self.opened = Counter(
            "keeper_logins_opened",
            "Logins that somebody else than the service's agent has unwrapped.",
            ["service"],
            registry=self.registry,
        )
        # From 0 on, so that Prometheus sees the first one as an increase.
        for service in services:
            self.opened.labels(service)
