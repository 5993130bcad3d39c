"""Alertmanager's configuration: who hears of which alert, how soon and how often.

Understood by 0.25 and later.
"""

from dataclasses import dataclass
from typing import Any

NOBODY, OPERATOR, HEARTBEAT = "nobody", "operator", "heartbeat"


@dataclass(frozen=True)
class Email:
    """A mailbox, reached over STARTTLS by way of `server` (`host:port`)."""

    to: str
    sender: str
    server: str
    user: str
    password: str


@dataclass(frozen=True)
class Slack:
    """A channel of Slack. `url` is its incoming webhook."""

    channel: str
    url: str


@dataclass(frozen=True)
class Receivers:
    """Everyone who is told. `heartbeat_url` is posted to for as long as alerts work: its silence is the alarm."""

    webhook_url: str | None = None
    heartbeat_url: str | None = None
    email: Email | None = None
    slack: Slack | None = None


def alertmanager_config(receivers: Receivers) -> dict[str, Any]:
    """The content of alertmanager.yml.

    Critical alerts reach the operator within seconds and are repeated each hour, warnings within half a minute and
    twice a day. The watchdog, which always fires, goes to the heartbeat alone. Without a receiver alerts are only
    shown.
    """
    operator = _operator(receivers)
    heard_by = OPERATOR if len(operator) > 1 else NOBODY
    everyone: list[dict[str, Any]] = [{"name": NOBODY}]
    if heard_by == OPERATOR:
        everyone.append(operator)
    if receivers.heartbeat_url:
        everyone.append(
            {"name": HEARTBEAT, "webhook_configs": [{"url": receivers.heartbeat_url, "send_resolved": False}]}
        )
    watchdog = {
        "matchers": ['alertname="Watchdog"'],
        "receiver": HEARTBEAT if receivers.heartbeat_url else NOBODY,
        "group_wait": "0s",
        "group_interval": "1m",
        "repeat_interval": "1m",
    }
    critical = {"matchers": ['severity="critical"'], "group_wait": "5s", "repeat_interval": "1h"}
    return {
        "route": {
            "receiver": heard_by,
            "group_by": ["alertname", "job", "service"],
            "group_wait": "30s",
            "group_interval": "5m",
            "repeat_interval": "12h",
            "routes": [watchdog, critical],
        },
        "inhibit_rules": [
            # The same thing at two severities is told once.
            {
                "source_matchers": ['severity="critical"'],
                "target_matchers": ['severity="warning"'],
                "equal": ["alertname", "job", "service", "route", "mountpoint", "certificate"],
            },
            # A service that is gone explains what its own numbers say.
            {
                "source_matchers": ['alertname="TargetMissing"'],
                "target_matchers": ['alertname!="TargetMissing"', 'alertname!="Watchdog"'],
                "equal": ["job"],
            },
        ],
        "receivers": everyone,
    }


def _operator(receivers: Receivers) -> dict[str, Any]:
    receiver: dict[str, Any] = {"name": OPERATOR}
    if receivers.webhook_url:
        receiver["webhook_configs"] = [{"url": receivers.webhook_url, "send_resolved": True}]
    if mail := receivers.email:
        receiver["email_configs"] = [
            {
                "to": mail.to,
                "from": mail.sender,
                "smarthost": mail.server,
                "auth_username": mail.user,
                "auth_password": mail.password,
                "send_resolved": True,
            }
        ]
    if slack := receivers.slack:
        receiver["slack_configs"] = [{"channel": slack.channel, "api_url": slack.url, "send_resolved": True}]
    return receiver
