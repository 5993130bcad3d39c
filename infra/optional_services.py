"""Settings of the services around the API, each of which can be switched off. `docs/SETTINGS.md` lists all keys."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints, field_validator

from app.process.settings import Settings
from app.status import notices
from infra.receivers import Alertmanager, Switch

ROOT = Path(__file__).resolve().parent.parent
"""The folder with Pulumi.yaml."""


class Prometheus(Switch):
    """Metrics, recording rules and alerts."""

    # 100 years. Prometheus and Loki count durations in nanoseconds, in 64 bits: from 292 years on they don't start.
    retention_days: Annotated[int, Field(ge=1, le=36_500)] = 15
    """Days for which metrics are kept."""
    scrape_seconds: Annotated[int, Field(ge=1, le=300)] = 15
    """Seconds between two scrapes, and between two evaluations of the rules."""
    runbooks: Annotated[str, StringConstraints(pattern=r"^(https?://\S+/)?$")] = ""
    """URL of this repository's files, with a slash at its end: alerts link their runbooks below it."""


class Loki(Switch):
    """Logs."""

    retention_hours: Annotated[int, Field(ge=24, le=876_000, multiple_of=24)] = 360
    """Hours for which logs are kept, a multiple of 24: Loki's index has one table a day."""


class Jaeger(Switch):
    """Traces, on a volume: they outlive a restart."""

    retention_hours: Annotated[int, Field(ge=1, le=8_760)] = 24
    """Hours for which traces are kept."""
    disk_mb: Annotated[int, Field(ge=100, le=1_000_000)] = 4_000
    """Disk that traces take at most, in MB. It bounds the spans a second: of what exceeds that, whole traces are
    dropped."""


class Status(Switch):
    """The status page at `status.<domain>`: files that the edge serves itself, whatever else is away."""

    notices: Annotated[str, Field(validate_default=True)] = "notices"
    """Folder of Markdown files, an incident or a piece of planned work each; relative to Pulumi.yaml."""

    @field_validator("notices")
    @classmethod
    def _can_be_shown(cls, folder: str) -> str:
        notices.read(ROOT / folder)
        return folder


class OpenBao(Switch):
    """Secrets by OpenBao, which brings a changed one to its service without an `up`. Its seal is opened by the secret
    vps:openbaoSealKey."""

    enabled: bool = False
    """Whether the service runs."""


class Services(Settings):
    """The services around the API. Each can be switched off, for instance on a small host.

    The name of a service is that of its field with hyphens, as in node-exporter.
    """

    prometheus: Prometheus = Prometheus()
    alertmanager: Alertmanager = Alertmanager()
    loki: Loki = Loki()
    collector: Switch = Switch()
    jaeger: Jaeger = Jaeger()
    node_exporter: Switch = Switch()
    container_exporter: Switch = Switch()
    blackbox_exporter: Switch = Switch()
    grafana: Switch = Switch()
    status: Status = Status()
    portainer: Switch = Switch()
    openbao: OpenBao = OpenBao()


SERVICES = {field.replace("_", "-"): field for field in Services.model_fields}
"""The field of `Services` by the service's name."""
