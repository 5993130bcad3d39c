"""Dashboards: Grafana."""

import pulumi
import yaml

from infra.edge import Route
from infra.observability import prometheus
from infra.observability.place import Place
from infra.service import SECRETS, Config, Health, Mount, Service, ServiceArgs, data_volume

_PORT = 3000


class Grafana(pulumi.ComponentResource):
    """Grafana, with Prometheus as a provisioned data source of a fixed uid. `url` is where a browser reaches it."""

    def __init__(
        self, place: Place, url: str, password: pulumi.Output[str], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("vps:infra:Grafana", "grafana", None, opts)
        source = {
            "name": "Prometheus",
            "uid": "prometheus",
            "type": "prometheus",
            "url": prometheus.URL,
            "isDefault": True,
        }
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
                config=Config(
                    "/etc/grafana/provisioning/datasources",
                    {"prometheus.yml": yaml.safe_dump({"apiVersion": 1, "datasources": [source]})},
                ),
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
