"""Who hears of alerts: Alertmanager. It reads the receivers' secrets from files when it sends."""

import json
from typing import Any

import yaml

from app.process.settings import Settings
from infra.receivers import Alertmanager as AlertmanagerSettings
from infra.service import (
    SECRETS,
    Config,
    Context,
    Health,
    Mount,
    Route,
    Service,
    ServiceArgs,
    Target,
    Volume,
    of_prefix,
)
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
            # How often it writes silences, and what it has sent, to its volume.
            "--data.maintenance-interval=1m",
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
        mounts=[Mount(Volume("alertmanager-data"), _DATA)],
    )


def config(settings: AlertmanagerSettings) -> str:
    """The text of alertmanager.yml. The watchdog goes to the heartbeat alone. Without a receiver, alerts are shown."""
    told = _receivers(settings)
    heartbeat = told.pop("heartbeat", {})
    operator = {key: value for receiver in told.values() for key, value in receiver.items()}
    receivers = {"operator": operator, "heartbeat": heartbeat}
    hears = {name: name if known else "nobody" for name, known in receivers.items()}
    routes = load("alertmanager/alertmanager.yml", **hears)
    named = [{"name": name, **known} for name, known in receivers.items() if known]
    return yaml.safe_dump({**routes, "receivers": [{"name": "nobody"}, *named]})


def _receivers(settings: AlertmanagerSettings) -> dict[str, dict[str, Any]]:
    """Alertmanager's own configuration of each receiver that is set, by the key of the settings."""
    found = {}
    for kind, chosen in settings:
        if chosen and kind != "enabled":
            # JSON, since it quotes what YAML would read as something else.
            values = {key: json.dumps(value) for key, value in chosen} if isinstance(chosen, Settings) else {}
            url = _PAGERDUTY[settings.pagerduty.region] if settings.pagerduty else ""
            found[kind] = load(f"alertmanager/receivers/{kind}.yml", secrets=SECRETS, events=url, **values)
    return found


ALERTMANAGER = Service(
    "alertmanager",
    describe,
    secrets=lambda settings: of_prefix("alert_", settings),
    target=Target(_ADDRESS),
    # It has no users of its own: the edge asks for the password.
    route=Route(f"http://{_ADDRESS}", "password", requests_per_minute=600),
    alerts_address=_ADDRESS,
)
