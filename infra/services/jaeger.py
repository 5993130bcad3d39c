"""Traces: Jaeger, with Badger on a volume."""

from app.backup.settings import Copying
from infra.optional_services import Jaeger
from infra.service import Config, Context, Health, Mount, Route, Service, ServiceArgs, Target, Volume, go_memory
from monitoring.files import render

_URL = "http://jaeger:16686"
_CONFIG = "/etc/jaeger"
_DATA = "/data"
# Badger never changes a table, and appends to its logs until it names a new table in the manifest.
_COPYING = Copying(steady=("**/MANIFEST", "**/*.sst"))
# Badger fills a table in memory while it writes the one before: 145 MB were in use then, at 300 spans a second, and
# 160 MB were too little.
_MEMORY_MB = 224
_SPAN_BYTES = 1_000
"""Disk for one span with its index. 1,100 bytes in Badger's log became 400 in its tables; the rest is for what has
expired and waits to be removed."""


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
        config=Config(_CONFIG, {"jaeger.yml": _config(context.settings.services.jaeger)}),
        mounts=[Mount(Volume("jaeger-data", copying=_COPYING), _DATA, in_image=False)],
    )


def _config(settings: Jaeger) -> str:
    spans_per_second = settings.disk_mb * 10**6 / _SPAN_BYTES / (settings.retention_hours * 3600)
    return render(
        "jaeger/jaeger.yml",
        data=_DATA,
        hours=settings.retention_hours,
        spans_per_second=max(1, int(spans_per_second)),
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
