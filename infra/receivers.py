"""Settings of who hears of alerts. `docs/SETTINGS.md` lists all keys."""

from typing import Annotated, Literal

from pydantic import StringConstraints

from app.process.settings import Settings

Address = Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+$")]


class Switch(Settings):
    """A service that can be switched off."""

    enabled: bool = True
    """Whether the service runs."""


class Email(Settings):
    """Alerts by e-mail, over STARTTLS. The password is the secret vps:alertSmtpPassword."""

    to: Address
    """Address that receives alerts."""
    sender: Address
    """Address in the From header."""
    server: Annotated[str, StringConstraints(pattern=r"^[a-z0-9.-]+:\d+$")]
    """Mail server, as in smtp.example.com:587."""
    user: Annotated[str, StringConstraints(min_length=1)]
    """User name at the mail server."""


class Slack(Settings):
    """Alerts in a Slack channel. The URL of the incoming webhook is the secret vps:alertSlackUrl."""

    channel: Annotated[str, StringConstraints(pattern=r"^#\S+$")]
    """Channel, as in #alerts."""


class Telegram(Settings):
    """Alerts in a Telegram chat. The token of the bot is the secret vps:alertTelegramToken."""

    chat: int
    """Number of the chat, which is negative for a group."""


class PagerDuty(Settings):
    """Alerts in PagerDuty. The key of its Events API v2 integration is the secret vps:alertPagerdutyKey."""

    region: Literal["us", "eu"] = "us"
    """Service region of the account."""


class Alertmanager(Switch):
    """Receivers of alerts. Without one, alerts are only shown at Alertmanager's URL."""

    webhook: bool = False
    """Post alerts, as Alertmanager's JSON, to the URL in the secret `vps:alertWebhookUrl`."""
    email: Email | None = None
    """E-mail over STARTTLS; the password is `vps:alertSmtpPassword`."""
    slack: Slack | None = None
    """Slack; the URL of the incoming webhook is `vps:alertSlackUrl`."""
    telegram: Telegram | None = None
    """Telegram; the token of the bot is `vps:alertTelegramToken`."""
    discord: bool = False
    """Discord, to the channel's webhook in the secret `vps:alertDiscordUrl`."""
    teams: bool = False
    """Microsoft Teams, to the workflow ("post to a channel when a webhook request is received") whose URL is the secret
    `vps:alertTeamsUrl`."""
    pushover: bool = False
    """Pushover, as the application in the secret `vps:alertPushoverToken` to the user in `vps:alertPushoverUser`."""
    pagerduty: PagerDuty | None = None
    """PagerDuty; the key of its Events API v2 integration is `vps:alertPagerdutyKey`."""
    heartbeat: bool = False
    """Post to the URL in the secret `vps:alertHeartbeatUrl` every minute while alerting works. A dead man's switch
    there raises the alarm when the posts stop."""
