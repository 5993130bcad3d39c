"""Alertmanager's own tool on its configuration: that it is accepted, and who hears of what."""

import pytest
import yaml

from monitoring.alertmanager.config import Email, Receivers, Slack, alertmanager_config
from tests.monitoring.promtool import Promtool

FILE = "alertmanager.yml"
NOBODY = Receivers()
EVERYBODY = Receivers(
    webhook_url="https://hooks.example.com/alerts",
    heartbeat_url="https://hooks.example.com/heartbeat",
    email=Email("operator@example.com", "alerts@example.com", "smtp.example.com:587", "alerts", "a password"),
    slack=Slack("#alerts", "https://slack.example.com/hook"),
)


def files(receivers: Receivers) -> dict[str, str]:
    return {FILE: yaml.safe_dump(alertmanager_config(receivers))}


@pytest.mark.parametrize("receivers", [NOBODY, EVERYBODY], ids=["nobody", "everybody"])
def test_the_configuration_is_accepted(amtool: Promtool, receivers: Receivers) -> None:
    code, said = amtool.run(files(receivers), f"check-config {FILE}")
    assert code == 0, said


@pytest.mark.parametrize(
    ("receivers", "labels", "heard_by"),
    [
        (EVERYBODY, "alertname=DiskFull severity=critical", "operator"),
        (EVERYBODY, "alertname=DiskFilling severity=warning", "operator"),
        (EVERYBODY, "alertname=Watchdog severity=none", "heartbeat"),
        (Receivers(webhook_url="https://hooks.example.com/alerts"), "alertname=Watchdog severity=none", "nobody"),
        (NOBODY, "alertname=DiskFull severity=critical", "nobody"),
    ],
)
def test_alerts_go_where_they_belong(amtool: Promtool, receivers: Receivers, labels: str, heard_by: str) -> None:
    routed = f"config routes test --config.file={FILE} --verify.receivers={heard_by} {labels}"
    code, said = amtool.run(files(receivers), routed)
    assert code == 0, said
