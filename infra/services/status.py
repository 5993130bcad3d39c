"""The status page: a job writes its files, and the edge serves them."""

from pathlib import Path

from app.status import notices
from app.status.settings import StatusSettings
from infra.optional_services import ROOT
from infra.service import Config, Context, Files, Health, Mount, Route, Service, ServiceArgs, Volume
from infra.services.edge import hosts, url

_NAME = "status"
_FOLDER = "/var/lib/status"
_NOTICES = "/etc/status"
_PAGE = "index.html"
# The days that Prometheus has forgotten are there alone.
_FILES = Volume("status-data")


def describe(context: Context) -> ServiceArgs:
    """It is healthy while it writes."""
    told = notices.read(ROOT / context.settings.services.status.notices)
    own = status_settings(context, bool(told))
    return ServiceArgs(
        image="app",
        entrypoint=["python", "-m", "app.status"],
        health=Health(["sh", "-c", f'test -n "$(find {_FOLDER}/{_PAGE} -mmin -5)"']),
        memory_mb=64,
        cpus=0.25,
        networks=["monitoring"] if own.prometheus else [],
        config=Config(_NOTICES, told) if told else None,
        mounts=[Mount(_FILES, _FOLDER, in_image=False)],
        environment=own.variables(),
    )


def status_settings(context: Context, has_notices: bool) -> StatusSettings:
    """What the job reads at its start. The page shows the routes that are for visitors."""
    edge = context.settings.edge
    return StatusSettings(
        title=f"Status of {edge.api_hosts[0]}",
        url=url(context.settings, hosts(edge, _NAME)[0]),
        routes=tuple(
            name for name, it in context.routes.items() if it.authentication == "none" and not it.login and not it.files
        ),
        prometheus=next((it.source for it in context.services if it.name == "prometheus"), None),
        folder=Path(_FOLDER),
        notices=Path(_NOTICES) if has_notices else None,
    )


STATUS = Service(
    _NAME,
    describe,
    route=Route(
        "noop@internal",
        "none",
        requests_per_minute=600,
        files=Files(
            Mount(_FILES, _FOLDER, read_only=True),
            {"/": _PAGE, "/feed.xml": "feed.xml", "/status.json": "status.json"},
        ),
    ),
)
