"""Loads a stack's config: `vps:platform` into `PlatformSettings`, and each secret from a key of its own.

An unknown key, a malformed value or a missing secret raises `SettingsError`, which names the key, the fault and
the fix.
"""

from dataclasses import dataclass, fields
from typing import Any

import pulumi
from pulumi.runtime.config import get_config_env, is_config_secret
from pydantic import ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from app.process.settings import path
from infra.settings import PlatformSettings

NAMESPACE = "vps"


class SettingsError(pulumi.RunError):
    """The stack's configuration can't be used. Pulumi shows the message to the operator, without a stack trace."""


@dataclass(frozen=True)
class Secrets:
    """The secrets of a stack, as secret outputs. A secret that the stack does not need is None."""

    dashboard_password: pulumi.Output[str]
    grafana_password: pulumi.Output[str] | None
    portainer_password: pulumi.Output[str] | None
    cloudflare_token: pulumi.Output[str] | None
    alert_webhook_url: pulumi.Output[str] | None
    alert_heartbeat_url: pulumi.Output[str] | None
    alert_smtp_password: pulumi.Output[str] | None
    alert_slack_url: pulumi.Output[str] | None
    alert_telegram_token: pulumi.Output[str] | None
    alert_discord_url: pulumi.Output[str] | None
    alert_teams_url: pulumi.Output[str] | None
    alert_pushover_token: pulumi.Output[str] | None
    alert_pushover_user: pulumi.Output[str] | None
    alert_pagerduty_key: pulumi.Output[str] | None


SECRET_KEYS = {field.name: to_camel(field.name) for field in fields(Secrets)}
"""The config key of each field of `Secrets`, without its namespace."""
GENERATED_SECRETS = ("dashboard_password", "grafana_password", "portainer_password")
"""Passwords that the tools generate for a stack and show to its operator. The others come from other services."""


def load_settings() -> tuple[PlatformSettings, Secrets]:
    """The settings and secrets in the current stack's config.

    Raises:
        SettingsError: a key is unknown, malformed or missing.
    """
    config = pulumi.Config(NAMESPACE)
    known = {f"{NAMESPACE}:{key}" for key in ("platform", *SECRET_KEYS.values())}
    if unknown := sorted(key for key in get_config_env() if key.startswith(f"{NAMESPACE}:") and key not in known):
        raise SettingsError(
            f"unknown config {', '.join(unknown)}; this program reads {', '.join(sorted(known))}. "
            f"Remove it with: pulumi config rm {unknown[0]}"
        )
    settings = parse_settings(config.get_object("platform") or {}, stack=pulumi.get_stack())
    return settings, _load_secrets(config, settings)


def parse_settings(platform: dict[str, Any], stack: str) -> PlatformSettings:
    """`vps:platform` as a model. The stack's name, after `vps-`, is the default of `name`.

    Raises:
        SettingsError: a value can't be used. The message has a line for each fault, which names the key.
    """
    if not isinstance(platform, dict):
        raise SettingsError(f"{NAMESPACE}:platform must be an object, and is {platform!r}")
    try:
        return PlatformSettings.model_validate({"name": f"{NAMESPACE}-{stack}", **platform})
    except ValidationError as error:
        problems = "\n".join(f"  {_describe(problem)}" for problem in error.errors())
        raise SettingsError(
            f"{NAMESPACE}:platform in Pulumi.{stack}.yaml can't be used:\n{problems}\n"
            "Each key is described in docs/SETTINGS.md."
        ) from None


def _describe(problem: ErrorDetails) -> str:
    key = ".".join(path(problem)) or "platform"
    if problem["type"] == "extra_forbidden":
        return f"{key}: unknown key. Remove it, or correct its spelling"
    if problem["type"] == "missing":
        return f"{key}: missing"
    return f"{key}: {problem['msg'].removeprefix('Value error, ')} (found {problem['input']!r:.80})"


def _load_secrets(config: pulumi.Config, settings: PlatformSettings) -> Secrets:
    alerts = settings.services.alertmanager
    alerting = settings.runs("alertmanager")
    needed = {
        "dashboard_password": True,
        "grafana_password": settings.runs("grafana"),
        "portainer_password": settings.runs("portainer"),
        "cloudflare_token": settings.edge.tls is not None or settings.dns is not None,
        "alert_webhook_url": alerting and alerts.webhook,
        "alert_heartbeat_url": alerting and alerts.heartbeat,
        "alert_smtp_password": alerting and alerts.email is not None,
        "alert_slack_url": alerting and alerts.slack is not None,
        "alert_telegram_token": alerting and alerts.telegram is not None,
        "alert_discord_url": alerting and alerts.discord,
        "alert_teams_url": alerting and alerts.teams,
        "alert_pushover_token": alerting and alerts.pushover,
        "alert_pushover_user": alerting and alerts.pushover,
        "alert_pagerduty_key": alerting and alerts.pagerduty is not None,
    }
    found: dict[str, Any] = {}
    for field, is_needed in needed.items():
        key = f"{NAMESPACE}:{SECRET_KEYS[field]}"
        if is_needed and not config.get(SECRET_KEYS[field]):
            raise SettingsError(f"secret {key} is missing. Set it with: pulumi config set --secret {key}")
        if is_needed and not is_config_secret(key):
            raise SettingsError(f"{key} is not encrypted. Set it again with: pulumi config set --secret {key}")
        found[field] = config.get_secret(SECRET_KEYS[field]) if is_needed else None
    return Secrets(**found)
