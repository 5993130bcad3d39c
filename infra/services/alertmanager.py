"""Who hears of alerts: Alertmanager."""

from typing import Any

import pulumi
import yaml

from infra.service import Config, Context, Health, Mount, Route, Service, ServiceArgs, Target, Volume
from infra.settings import Alertmanager as AlertmanagerSettings
from monitoring.files import load

_ADDRESS = "alertmanager:9093"
_CONFIG = "/etc/alertmanager"
_DATA = "/alertmanager"


def describe(context: Context) -> ServiceArgs:
    """Receivers are outside, so it reaches the outbound network."""
    secrets = pulumi.Output.all(
        webhook=context.secrets.alert_webhook_url,
        heartbeat=context.secrets.alert_heartbeat_url,
        smtp_password=context.secrets.alert_smtp_password,
        slack=context.secrets.alert_slack_url,
    )
    settings = context.settings.services.alertmanager
    return ServiceArgs(
        image="alertmanager",
        entrypoint=["alertmanager"],
        command=[
            f"--config.file={_CONFIG}/alertmanager.yml",
            f"--storage.path={_DATA}",
            # A single one has no peers to listen for.
            "--cluster.listen-address=",
            "--log.format=json",
        ],
        health=Health(["amtool", "--alertmanager.url=http://localhost:9093", "cluster", "show"]),
        memory_mb=64,
        cpus=0.5,
        user="65534:65534",
        networks=["monitoring", "outbound"],
        config=Config(_CONFIG, {"alertmanager.yml": secrets.apply(lambda values: config(settings, values))}),
        mounts=[Mount(Volume("alertmanager-data"), _DATA)],
    )


def config(settings: AlertmanagerSettings, secrets: dict[str, Any]) -> str:
    """The text of alertmanager.yml. The watchdog goes to the heartbeat alone; without a receiver alerts are only shown.

    Args:
        settings: who is told.
        secrets: `webhook`, `heartbeat` and `slack` are URLs, `smtp_password` is a password; None where not needed.
    """
    receivers: dict[str, dict[str, Any]] = {"nobody": {}, "operator": {}, "heartbeat": {}}
    if settings.webhook:
        receivers["operator"]["webhook_configs"] = [{"url": secrets["webhook"], "send_resolved": True}]
    if mail := settings.email:
        receivers["operator"]["email_configs"] = [
            {
                "to": mail.to,
                "from": mail.sender,
                "smarthost": mail.server,
                "auth_username": mail.user,
                "auth_password": secrets["smtp_password"],
                "send_resolved": True,
            }
        ]
    if slack := settings.slack:
        told = {"channel": slack.channel, "api_url": secrets["slack"], "send_resolved": True}
        receivers["operator"]["slack_configs"] = [told]
    if settings.heartbeat:
        receivers["heartbeat"]["webhook_configs"] = [{"url": secrets["heartbeat"], "send_resolved": False}]
    named = [{"name": name, **told} for name, told in receivers.items() if told or name == "nobody"]
    operator, heartbeat = (name if receivers[name] else "nobody" for name in ("operator", "heartbeat"))
    routes = load("alertmanager/alertmanager.yml", operator=operator, heartbeat=heartbeat)
    return yaml.safe_dump({**routes, "receivers": named})


ALERTMANAGER = Service(
    "alertmanager",
    describe,
    target=Target(_ADDRESS),
    # It has no users of its own: the edge asks for the password.
    route=Route(f"http://{_ADDRESS}", "password", requests_per_minute=600),
    alerts_address=_ADDRESS,
)
