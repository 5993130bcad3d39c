"""Dashboards: Grafana."""

import yaml

from app.backup.settings import Copying
from infra.service import SECRETS, Config, Context, Health, Mount, Route, Secret, Service, ServiceArgs, Volume
from infra.services.edge import url
from monitoring.files import render
from monitoring.grafana.files import dashboard_files
from monitoring.grafana.sources import datasources

_URL = "http://grafana:3000"
_CONFIG = "/etc/grafana"


def describe(context: Context) -> ServiceArgs:
    """Its dashboards and data sources are files, so its volume holds only what its users make."""
    settings = context.settings
    sources = {service.name: service.source for service in context.services if service.source}
    return ServiceArgs(
        image="grafana",
        entrypoint=["/run.sh"],
        health=Health(["wget", "-q", "--spider", "http://localhost:3000/api/health"]),
        memory_mb=384,
        cpus=1.0,
        user="472:472",
        networks=["monitoring"],
        environment={
            "GF_SERVER_ROOT_URL": url(settings, settings.edge.host("grafana")),
            "GF_SECURITY_ADMIN_PASSWORD__FILE": f"{SECRETS}/admin-password",
            "GF_AUTH_ANONYMOUS_ENABLED": "false",
            "GF_USERS_ALLOW_SIGN_UP": "false",
            "GF_ANALYTICS_REPORTING_ENABLED": "false",
            "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
        },
        config=Config(
            _CONFIG,
            {
                "provisioning/datasources/platform.yml": yaml.safe_dump(datasources(sources)),
                "provisioning/dashboards/platform.yml": render("grafana/provider.yaml"),
                **{f"dashboards/{name}": content for name, content in dashboard_files().items()},
            },
        ),
        mounts=[Mount(Volume("grafana-data", copying=Copying(databases=("grafana.db",))), "/var/lib/grafana")],
        tmp_mb=64,
    )


GRAFANA = Service(
    "grafana",
    describe,
    secrets=lambda _: {"admin-password": Secret("grafana_password")},
    route=Route(_URL, "none", 1200, health_path="/api/health", login="grafana_password"),
)
