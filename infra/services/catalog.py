"""Every service of the platform."""

from infra.service import Service
from infra.services.alertmanager import ALERTMANAGER
from infra.services.backup import BACKUP
from infra.services.blackbox import BLACKBOX
from infra.services.collector import COLLECTOR
from infra.services.containers import CONTAINER_EXPORTER
from infra.services.edge import TRAEFIK
from infra.services.grafana import GRAFANA
from infra.services.jaeger import JAEGER
from infra.services.loki import LOKI
from infra.services.node_exporter import NODE_EXPORTER
from infra.services.openbao import KEEPER, OPENBAO
from infra.services.packages import COPY, PACKAGES, ROOMS_COPY, SENDING
from infra.services.portainer import PORTAINER
from infra.services.prometheus import PROMETHEUS
from infra.services.prometheus_adapter import METRICS_ADAPTER
from infra.services.sandbox import API, EXECUTOR, ROOMS_API, ROOMS_EXECUTOR, unit
from infra.services.status import STATUS
from infra.services.valkey import STORE
from infra.settings import PlatformSettings

EXPORTERS = (NODE_EXPORTER, CONTAINER_EXPORTER, BLACKBOX)
OBSERVABILITY = (PROMETHEUS, ALERTMANAGER, LOKI, COLLECTOR, JAEGER, *EXPORTERS, GRAFANA, METRICS_ADAPTER)
MANAGEMENT = (PORTAINER,)


def running(settings: PlatformSettings) -> list[Service]:
    """The services of a stack. The edge is the last, after all that it publishes."""
    optional = [service for service in (*OBSERVABILITY, *MANAGEMENT, STATUS) if settings.runs(service.name)]
    vault = [OPENBAO, KEEPER] if settings.runs(OPENBAO.name) else []
    store = [STORE] if settings.sandbox.in_valkey else []
    copied = bool(settings.cluster and settings.sandbox.packages)
    packages = [SENDING, COPY] if copied else [PACKAGES] if settings.sandbox.packages else []
    others = [service for number in range(2, settings.sandbox.units + 1) for service in unit(number)]
    backup = [BACKUP] if settings.backup else []
    rooms = [*([ROOMS_COPY] if copied else []), ROOMS_EXECUTOR, ROOMS_API]
    others += rooms if settings.rooms_apart else []
    return [API, EXECUTOR, *others, *vault, *store, *packages, *optional, *backup, TRAEFIK]
