"""Dashboards: Grafana."""

from collections.abc import Mapping

import pulumi
import yaml

from infra.service import SECRETS, Config, Health, Mount, Service, ServiceArgs, data_volume
from infra.services.edge import Route
from infra.services.placement import Place
from monitoring.grafana.files import dashboard_files
from monitoring.grafana.sources import DASHBOARDS, datasources, provider

_PORT = 3000
_CONFIG = "/etc/grafana"


class Grafana(pulumi.ComponentResource):
    """Grafana, with the dashboards and their data sources.

    `url` is where a browser reaches it, `sources` the URLs of the servers that it asks, by their uid.
    """

    def __init__(
        self,
        place: Place,
        url: str,
        sources: Mapping[str, str],
        password: pulumi.Output[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("vps:infra:Grafana", "grafana", None, opts)
        Service(
            "grafana",
            ServiceArgs(
                prefix=place.prefix,
                image=place.image,
                entrypoint=["/run.sh"],
                command=[],
                health=Health(["wget", "-q", "--spider", f"http://localhost:{_PORT}/api/health"]),
                memory_mb=384,
                cpus=1.0,
                user="472:472",
                networks=[place.network],
                environment={
                    "GF_SERVER_ROOT_URL": url,
                    "GF_SECURITY_ADMIN_PASSWORD__FILE": f"{SECRETS}/admin-password",
                    "GF_AUTH_ANONYMOUS_ENABLED": "false",
                    "GF_USERS_ALLOW_SIGN_UP": "false",
                    "GF_ANALYTICS_REPORTING_ENABLED": "false",
                    "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
                },
                config=Config(_CONFIG, _files(sources)),
                secrets={"admin-password": password},
                mounts=[Mount(data_volume("grafana", place.prefix, self).name, "/var/lib/grafana")],
                tmp_mb=64,
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})


def route(host: str) -> Route:
    """Grafana has its own log-in."""
    return Route("grafana", [host], f"http://grafana:{_PORT}", "none", 1200, health_path="/api/health")


def _files(sources: Mapping[str, str]) -> dict[str, str]:
    """Everything that it is provisioned with, by the path below its configuration's folder."""
    folder = DASHBOARDS.removeprefix(f"{_CONFIG}/")
    return {
        "provisioning/datasources/platform.yml": yaml.safe_dump(datasources(dict(sources))),
        "provisioning/dashboards/platform.yml": yaml.safe_dump(provider()),
        **{f"{folder}/{name}": content for name, content in dashboard_files().items()},
    }
