"""amtool accepts Alertmanager's configuration, and routes alerts to the right receivers."""

import pytest

from infra.receivers import Alertmanager, Email, PagerDuty, Slack, Telegram
from infra.services.alertmanager import config
from tests.monitoring.promtool import Promtool

FILE = "alertmanager.yml"
NOBODY = Alertmanager()
WEBHOOK = Alertmanager(webhook=True)
EVERYBODY = Alertmanager(
    webhook=True,
    heartbeat=True,
    email=Email(to="operator@example.com", sender="alerts@example.com", server="smtp.example.com:587", user="alerts"),
    slack=Slack(channel="#alerts"),
    telegram=Telegram(chat=-100),
    discord=True,
    teams=True,
    pushover=True,
    pagerduty=PagerDuty(),
)


def files(receivers: Alertmanager) -> dict[str, str]:
    return {FILE: config(receivers)}


@pytest.mark.parametrize("receivers", [NOBODY, EVERYBODY], ids=["nobody", "everybody"])
def test_the_configuration_is_accepted(amtool: Promtool, receivers: Alertmanager) -> None:
    code, said = amtool.run(files(receivers), f"check-config {FILE}")
    assert code == 0, said


@pytest.mark.parametrize(
    ("receivers", "labels", "heard_by"),
    [
        (EVERYBODY, "alertname=DiskFull severity=critical", "operator"),
        (EVERYBODY, "alertname=DiskFilling severity=warning", "operator"),
        (EVERYBODY, "alertname=Watchdog severity=none", "heartbeat"),
        (WEBHOOK, "alertname=Watchdog severity=none", "nobody"),
        (NOBODY, "alertname=DiskFull severity=critical", "nobody"),
    ],
)
def test_an_alert_is_routed_to_its_receiver(
    amtool: Promtool, receivers: Alertmanager, labels: str, heard_by: str
) -> None:
    routed = f"config routes test --config.file={FILE} --verify.receivers={heard_by} {labels}"
    code, said = amtool.run(files(receivers), routed)
    assert code == 0, said
