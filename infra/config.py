"""Loads a stack's config: `vps:platform` into `PlatformSettings`, and each secret from a key of its own.

An unknown key, a malformed value or a missing secret raises `SettingsError`, which names the key, the fault and
the fix.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import pulumi
from pulumi.runtime.config import get_config_env, is_config_secret
from pydantic import ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from app.process.settings import path
from infra.receivers import Alertmanager
from infra.settings import PlatformSettings

NAMESPACE = "vps"


class SettingsError(pulumi.RunError):
    """The stack's configuration can't be used. Pulumi shows the message to the operator, without a stack trace."""


Secrets = Mapping[str, pulumi.Output[str]]
"""The secrets that a stack needs, by name, as secret outputs."""


def _alerts(settings: PlatformSettings) -> Alertmanager:
    """Who hears of alerts: nobody while Alertmanager does not run."""
    return settings.services.alertmanager if settings.runs("alertmanager") else Alertmanager()


_NEEDED: Mapping[str, Callable[[PlatformSettings], object]] = MappingProxyType(
    {
        "dashboard_password": lambda _: True,
        "grafana_password": lambda settings: settings.runs("grafana"),
        "portainer_password": lambda settings: settings.runs("portainer"),
        "cloudflare_token": lambda settings: settings.edge.tls or settings.dns,
        "alert_webhook_url": lambda settings: _alerts(settings).webhook,
        "alert_heartbeat_url": lambda settings: _alerts(settings).heartbeat,
        "alert_smtp_password": lambda settings: _alerts(settings).email,
        "alert_slack_url": lambda settings: _alerts(settings).slack,
        "alert_telegram_token": lambda settings: _alerts(settings).telegram,
        "alert_discord_url": lambda settings: _alerts(settings).discord,
        "alert_teams_url": lambda settings: _alerts(settings).teams,
        "alert_pushover_token": lambda settings: _alerts(settings).pushover,
        "alert_pushover_user": lambda settings: _alerts(settings).pushover,
        "alert_pagerduty_key": lambda settings: _alerts(settings).pagerduty,
    }
)
"""Each secret by name, and what is true of the settings of a stack that needs it."""
SECRET_KEYS = {name: to_camel(name) for name in _NEEDED}
"""The config key of each secret by name, without its namespace."""
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
    found: dict[str, Any] = {}
    for name in (name for name, is_needed in _NEEDED.items() if is_needed(settings)):
        key = f"{NAMESPACE}:{SECRET_KEYS[name]}"
        if not config.get(SECRET_KEYS[name]):
            raise SettingsError(f"secret {key} is missing. Set it with: pulumi config set --secret {key}")
        if not is_config_secret(key):
            raise SettingsError(f"{key} is not encrypted. Set it again with: pulumi config set --secret {key}")
        found[name] = config.get_secret(SECRET_KEYS[name])
    return found
