"""The config that a stack runs with: the tracked template, the machine's own values, and secrets made here.

The result is a file in the stack's home. The template is only read, so that `git status` stays clean.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from infra.config import GENERATED_SECRETS, NAMESPACE, SECRET_KEYS, SettingsError, parse_settings
from infra.images import IMAGES_OF_OURS
from infra.settings import PlatformSettings, Services
from tools.build.images import ImageSet
from tools.console.steps import StepFailed
from tools.machine.docker_engine import DockerEngine
from tools.paths import ROOT

PLATFORM = f"{NAMESPACE}:platform"
GENERATED = tuple(f"{NAMESPACE}:{SECRET_KEYS[field]}" for field in GENERATED_SECRETS)
_SECRETS = {f"{NAMESPACE}:{key}" for key in SECRET_KEYS.values()}
ONLY_CORE: Mapping[str, Mapping[str, bool]] = {field: {"enabled": False} for field in Services.model_fields}
"""The `services` of a stack that runs the API and what it depends on, and no other service."""
SALT = "encryptionsalt"
_HEADER = "# Made by `make up` from {template}: change that one.\n"


def template_file(template: str, root: Path = ROOT) -> Path:
    """The tracked file of a stack's config."""
    return root / f"Pulumi.{template}.yaml"


def load(file: Path) -> dict[str, Any]:
    """A config file as it is; empty when there is none.

    Raises:
        StepFailed: it isn't YAML, or no mapping.
    """
    try:
        content = yaml.safe_load(file.read_text()) if file.exists() else None
    except yaml.YAMLError as error:
        raise StepFailed(f"{file} is not YAML: {error}", "Correct it, then run this again.") from error
    if not isinstance(content or {}, dict):
        raise StepFailed(f"{file} must hold a mapping with the key `config`.", "Correct it, then run this again.")
    return content or {}


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` on top of `under`, mappings merged key by key; anything else in `over` wins whole."""
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        both_are_mappings = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[key] = merge(below, value) if both_are_mappings else value  # type: ignore[arg-type]
    return merged


def machine_values(engine: DockerEngine, images: ImageSet) -> dict[str, Any]:
    """What this machine adds to `vps:platform`."""
    return {
        "engine": {"host": engine.url, "socket": engine.socket_on_its_host()},
        "images": dict(images.references),
        "unavailable": dict(images.unavailable),
        "sandbox": {"runtime": engine.runtime()},
    }


def compose(
    template: Mapping[str, Any], machine: Mapping[str, Any], overrides: Mapping[str, Any], previous: Mapping[str, Any]
) -> dict[str, Any]:
    """The whole generated file. The template's own values win over the machine's, and `overrides` over both.

    The salt and the secrets come from `previous`, the file as it was, so that what they encrypt stays readable.
    """
    config = dict(template.get("config") or {})
    kept = {key: value for key, value in (previous.get("config") or {}).items() if key in _SECRETS}
    platform = merge(merge(machine, config.get(PLATFORM) or {}), overrides)
    return {SALT: previous[SALT], "config": {**config, PLATFORM: platform, **kept}}


def render(content: Mapping[str, Any], template: str) -> str:
    """The file's text."""
    return _HEADER.format(template=template_file(template).name) + yaml.safe_dump(dict(content), sort_keys=False)


def settings(name: str, template: str, overrides: Mapping[str, Any]) -> PlatformSettings:
    """What a stack is going to be, as far as it is known before its images are.

    Raises:
        StepFailed: the template or the overrides can't be used; the message names each bad key.
    """
    file = template_file(template)
    config = load(file).get("config") or {}
    unbuilt = {"images": dict.fromkeys(IMAGES_OF_OURS, "not-built-yet")}
    try:
        platform = merge(merge(unbuilt, config.get(PLATFORM) or {}), overrides)
        return parse_settings(platform, stack=name)
    except (SettingsError, AttributeError) as error:
        raise StepFailed(str(error), f"Correct {file}, then run this again. Nothing was changed.") from error
