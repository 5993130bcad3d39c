"""Loads a stack's config: `vps:platform` into `PlatformSettings`, and each secret from a key of its own.

An unknown key, a malformed value or a missing secret raises `SettingsError`, which names the key, the fault and
the fix.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi
from pulumi.runtime.config import get_config_env, is_config_secret
from pydantic import ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from app.process.settings import path
from infra.receivers import Switch
from infra.settings import PlatformSettings

NAMESPACE = "vps"


class SettingsError(pulumi.RunError):
    """The stack's configuration can't be used. Pulumi shows the message to the operator, without a stack trace."""


Secrets = Mapping[str, pulumi.Output[str]]
"""The secrets that a stack needs, by name, as secret outputs."""

_SECRETS = tomllib.loads(Path(__file__).with_name("secrets.toml").read_text())
SECRET_KEYS = {name: to_camel(name) for name in _SECRETS}
"""The config key of each secret by name, without its namespace."""
GENERATED_SECRETS = tuple(name for name, secret in _SECRETS.items() if secret.get("generated"))
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


def needed_secrets(settings: PlatformSettings) -> list[str]:
    """The names of the secrets that a stack with these settings needs."""
    return [
        name
        for name, secret in _SECRETS.items()
        if "needed_by" not in secret or any(_has(settings, key) for key in secret["needed_by"])
    ]


def _load_secrets(config: pulumi.Config, settings: PlatformSettings) -> Secrets:
    found: dict[str, Any] = {}
    for name in needed_secrets(settings):
        key = f"{NAMESPACE}:{SECRET_KEYS[name]}"
        if not config.get(SECRET_KEYS[name]):
            fix = f"make secret KEY={SECRET_KEYS[name]}, or by hand with: pulumi config set --secret {key}"
            raise SettingsError(f"secret {key} is missing. Set it with: {fix}")
        if not is_config_secret(key):
            raise SettingsError(f"{key} is not encrypted. Set it again with: pulumi config set --secret {key}")
        found[name] = config.get_secret(SECRET_KEYS[name])
    return found


def _has(settings: PlatformSettings, key: str) -> bool:
    """Whether the setting with this key, as in `edge.tls`, has a value. Those of a service have one while it runs."""
    found: object = settings
    for part in key.split("."):
        found = getattr(found, part, None)
        if isinstance(found, Switch) and not settings.runs(part):
            return False
    return bool(found)
