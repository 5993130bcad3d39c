"""Who hears of alerts: Alertmanager."""

from typing import Any

import pulumi
import yaml

from infra.config import Secrets
from infra.service import Config, Health, Mount, Service, ServiceArgs, data_volume
from infra.services.edge import Route
from infra.services.placement import Place
from infra.settings import Alertmanager as AlertmanagerSettings
from monitoring.alertmanager.config import Email, Receivers, Slack, alertmanager_config
from monitoring.prometheus.config import Target

PORT = 9093
ADDRESS = f"alertmanager:{PORT}"
TARGET = Target(ADDRESS)
_CONFIG = "/etc/alertmanager"
_DATA = "/alertmanager"


class Alertmanager(pulumi.ComponentResource):
    """Alertmanager, the one service beside the blackbox exporter that reaches outside: receivers are there."""

    def __init__(
        self,
        place: Place,
        settings: AlertmanagerSettings,
        secrets: Secrets,
        outbound_network: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("vps:infra:Alertmanager", "alertmanager", None, opts)
        Service(
            "alertmanager",
            ServiceArgs(
                prefix=place.prefix,
                image=place.image,
                entrypoint=["alertmanager"],
                command=[
                    f"--config.file={_CONFIG}/alertmanager.yml",
                    f"--storage.path={_DATA}",
                    # A single one has no peers to listen for.
                    "--cluster.listen-address=",
                    "--log.format=json",
                ],
                health=Health(["amtool", f"--alertmanager.url=http://localhost:{PORT}", "cluster", "show"]),
                memory_mb=64,
                cpus=0.5,
                user="65534:65534",
                networks=[place.network, outbound_network],
                config=Config(_CONFIG, {"alertmanager.yml": _config(settings, secrets)}),
                mounts=[Mount(data_volume("alertmanager", place.prefix, self).name, _DATA)],
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})


def route(host: str) -> Route:
    """Alertmanager has no users of its own: the edge asks for the password."""
    return Route("alertmanager", [host], f"http://{ADDRESS}", "password", requests_per_minute=600)


def _config(settings: AlertmanagerSettings, secrets: Secrets) -> pulumi.Output[str]:
    """The text of alertmanager.yml: a secret where it holds one."""
    known = pulumi.Output.all(
        webhook=secrets.alert_webhook_url,
        heartbeat=secrets.alert_heartbeat_url,
        smtp_password=secrets.alert_smtp_password,
        slack=secrets.alert_slack_url,
    )
    return known.apply(lambda values: yaml.safe_dump(alertmanager_config(_receivers(settings, values))))


def _receivers(settings: AlertmanagerSettings, values: dict[str, Any]) -> Receivers:
    return Receivers(
        webhook_url=values["webhook"],
        heartbeat_url=values["heartbeat"],
        email=Email(**settings.email.model_dump(), password=values["smtp_password"]) if settings.email else None,
        slack=Slack(**settings.slack.model_dump(), url=values["slack"]) if settings.slack else None,
    )
