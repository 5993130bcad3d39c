"""Who hears of alerts: Alertmanager. It reads the receivers' secrets from files when it sends."""

from typing import Any

import yaml

from infra.receivers import Alertmanager as AlertmanagerSettings
from infra.service import SECRETS, Config, Context, Health, Mount, Route, Service, ServiceArgs, Target, Volume
from monitoring.files import load

_ADDRESS = "alertmanager:9093"
_CONFIG = "/etc/alertmanager"
_DATA = "/alertmanager"
_PAGERDUTY = {"us": "https://events.pagerduty.com/v2/enqueue", "eu": "https://events.eu.pagerduty.com/v2/enqueue"}


def describe(context: Context) -> ServiceArgs:
    """Receivers are outside, so it reaches the outbound network."""
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
        config=Config(_CONFIG, {"alertmanager.yml": config(context.settings.services.alertmanager)}),
        secrets={name: secret for name, secret in context.secrets.items() if name.startswith("alert_")},
        mounts=[Mount(Volume("alertmanager-data"), _DATA)],
    )


def config(settings: AlertmanagerSettings) -> str:
    """The text of alertmanager.yml. The watchdog goes to the heartbeat alone. Without a receiver, alerts are shown."""
    operator = {f"{kind}_configs": [{**told, "send_resolved": True}] for kind, told in _receivers(settings).items()}
    heartbeat = {"webhook_configs": [{"url_file": _file("alert_heartbeat_url"), "send_resolved": False}]}
    receivers: dict[str, dict[str, Any]] = {"nobody": {}, "operator": operator}
    if settings.heartbeat:
        receivers["heartbeat"] = heartbeat
    named = [{"name": name, **told} for name, told in receivers.items() if told or name == "nobody"]
    routes = load(
        "alertmanager/alertmanager.yml",
        operator="operator" if operator else "nobody",
        heartbeat="heartbeat" if settings.heartbeat else "nobody",
    )
    return yaml.safe_dump({**routes, "receivers": named})


def _receivers(settings: AlertmanagerSettings) -> dict[str, dict[str, Any]]:
    """What Alertmanager needs to know of each of the operator's receivers, by Alertmanager's name for its kind."""
    found: dict[str, dict[str, Any]] = {}
    if settings.webhook:
        found["webhook"] = {"url_file": _file("alert_webhook_url")}
    if mail := settings.email:
        found["email"] = {
            "to": mail.to,
            "from": mail.sender,
            "smarthost": mail.server,
            "auth_username": mail.user,
            "auth_password_file": _file("alert_smtp_password"),
        }
    if slack := settings.slack:
        found["slack"] = {"channel": slack.channel, "api_url_file": _file("alert_slack_url")}
    if telegram := settings.telegram:
        found["telegram"] = {"chat_id": telegram.chat, "bot_token_file": _file("alert_telegram_token")}
    if settings.discord:
        found["discord"] = {"webhook_url_file": _file("alert_discord_url")}
    if settings.teams:
        found["msteamsv2"] = {"webhook_url_file": _file("alert_teams_url")}
    if settings.pushover:
        found["pushover"] = {
            "token_file": _file("alert_pushover_token"),
            "user_key_file": _file("alert_pushover_user"),
        }
    if pagerduty := settings.pagerduty:
        found["pagerduty"] = {"url": _PAGERDUTY[pagerduty.region], "routing_key_file": _file("alert_pagerduty_key")}
    return found


def _file(secret: str) -> str:
    return f"{SECRETS}/{secret}"


ALERTMANAGER = Service(
    "alertmanager",
    describe,
    target=Target(_ADDRESS),
    # It has no users of its own: the edge asks for the password.
    route=Route(f"http://{_ADDRESS}", "password", requests_per_minute=600),
    alerts_address=_ADDRESS,
)
