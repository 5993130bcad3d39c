"""Metrics and dashboards: Prometheus and Grafana."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import yaml

from infra.edge import Route
from infra.service import SECRETS, Config, Health, Mount, Service, ServiceArgs, data_volume
from infra.settings import Prometheus as PrometheusSettings
from monitoring.prometheus.config import Target, prometheus_config

PROMETHEUS_PORT = 9090
GRAFANA_PORT = 3000


@dataclass(frozen=True)
class PrometheusArgs:
    """`targets` are by job, reachable on `network`."""

    prefix: str
    image: pulumi.Input[str]
    settings: PrometheusSettings
    network: pulumi.Input[str]
    targets: Mapping[str, Target]


class Prometheus(pulumi.ComponentResource):
    """Prometheus, with its data on a volume of its own."""

    def __init__(self, args: PrometheusArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("vps:infra:Prometheus", "prometheus", None, opts)
        config = prometheus_config(
            {"prometheus": Target(f"localhost:{PROMETHEUS_PORT}"), **args.targets}, args.settings.scrape_seconds
        )
        Service(
            "prometheus",
            ServiceArgs(
                prefix=args.prefix,
                image=args.image,
                entrypoint=["prometheus"],
                command=[
                    "--config.file=/etc/prometheus/prometheus.yml",
                    "--storage.tsdb.path=/prometheus",
                    f"--storage.tsdb.retention.time={args.settings.retention_days}d",
                ],
                health=Health(["promtool", "check", "healthy", f"--url=http://localhost:{PROMETHEUS_PORT}"]),
                memory_mb=512,
                cpus=1.0,
                user="65534:65534",
                networks=[args.network],
                config=Config("/etc/prometheus", {"prometheus.yml": yaml.safe_dump(config)}),
                mounts=[Mount(data_volume("prometheus", args.prefix, self).name, "/prometheus")],
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})


@dataclass(frozen=True)
class GrafanaArgs:
    """`url` is where a browser reaches it."""

    prefix: str
    image: pulumi.Input[str]
    network: pulumi.Input[str]
    url: str
    password: pulumi.Output[str]


class Grafana(pulumi.ComponentResource):
    """Grafana, with Prometheus as a provisioned data source of a fixed uid."""

    def __init__(self, args: GrafanaArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("vps:infra:Grafana", "grafana", None, opts)
        source = {
            "name": "Prometheus",
            "uid": "prometheus",
            "type": "prometheus",
            "url": f"http://prometheus:{PROMETHEUS_PORT}",
            "isDefault": True,
        }
        Service(
            "grafana",
            ServiceArgs(
                prefix=args.prefix,
                image=args.image,
                entrypoint=["/run.sh"],
                command=[],
                health=Health(["wget", "-q", "--spider", f"http://localhost:{GRAFANA_PORT}/api/health"]),
                memory_mb=384,
                cpus=1.0,
                user="472:472",
                networks=[args.network],
                environment={
                    "GF_SERVER_ROOT_URL": args.url,
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
                secrets={"admin-password": args.password},
                mounts=[Mount(data_volume("grafana", args.prefix, self).name, "/var/lib/grafana")],
                tmp_mb=64,
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})


def prometheus_route(host: str) -> Route:
    """Prometheus has no users of its own: the edge asks for the password."""
    return Route("prometheus", [host], f"http://prometheus:{PROMETHEUS_PORT}", "password", requests_per_minute=600)


def grafana_route(host: str) -> Route:
    """Grafana has its own log-in."""
    return Route("grafana", [host], f"http://grafana:{GRAFANA_PORT}", "none", requests_per_minute=1200)
