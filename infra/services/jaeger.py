"""Traces: Jaeger, with the latest ones in memory."""

from infra.service import Config, Context, Health, Route, Service, ServiceArgs, Target, go_memory
from monitoring.files import render

_URL = "http://jaeger:16686"
_CONFIG = "/etc/jaeger"
_MEMORY_MB = 160


def describe(context: Context) -> ServiceArgs:
    return ServiceArgs(
        image="jaeger",
        entrypoint=["/cmd/jaeger/jaeger-linux"],
        command=[f"--config={_CONFIG}/jaeger.yml"],
        health=Health(["wget", "-q", "-O", "/dev/null", "http://localhost:13133/status"]),
        memory_mb=_MEMORY_MB,
        cpus=0.5,
        user="10001:10001",
        networks=["monitoring"],
        environment=go_memory(_MEMORY_MB),
        config=Config(
            _CONFIG, {"jaeger.yml": render("jaeger/jaeger.yml", traces=context.settings.services.jaeger.traces)}
        ),
    )


JAEGER = Service(
    "jaeger",
    describe,
    target=Target("jaeger:8888"),
    # It has no users of its own: the edge asks for the password.
    route=Route(_URL, "password", requests_per_minute=600),
    source=_URL,
    otlp_endpoint="http://jaeger:4318",
)
