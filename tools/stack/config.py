"""The config that a stack runs with: the tracked template, this machine's values, and generated secrets.

It is a file in the stack's home. The template is never written, so that `git status` stays clean.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from infra.config import GENERATED_SECRETS, NAMESPACE, SECRET_KEYS, SettingsError, parse_settings
from infra.images import IMAGES_OF_OURS, UPSTREAM_IMAGES
from infra.optional_services import Services
from infra.settings import PlatformSettings
from tools.build.images import ImageSet
from tools.console.steps import StepFailed
from tools.machine.docker_engine import DockerEngine
from tools.paths import ROOT

LOCAL = "local"
"""The stack on this machine, and the template of its config."""
PLATFORM = f"{NAMESPACE}:platform"
GENERATED = tuple(f"{NAMESPACE}:{SECRET_KEYS[field]}" for field in GENERATED_SECRETS)
_SECRETS = {f"{NAMESPACE}:{key}" for key in SECRET_KEYS.values()}
ONLY_CORE: Mapping[str, Mapping[str, bool]] = {field: {"enabled": False} for field in Services.model_fields}
"""The `services` of a stack that runs the API and what it depends on, and no other service."""
SALT = "encryptionsalt"
_NAMES = {*IMAGES_OF_OURS, *UPSTREAM_IMAGES}
_HEADER = "# Written by `make up` from {template}: change that file.\n"


def argument(stack: str) -> str:
    """What follows a command of `make` for a stack: nothing where it is the one on this machine."""
    return "" if stack == LOCAL else f" STACK={stack}"


def template_file(template: str, root: Path = ROOT) -> Path:
    """The tracked config file of a stack."""
    return root / f"Pulumi.{template}.yaml"


def load(file: Path) -> dict[str, Any]:
    """The content of a config file; empty when there is no file.

    Raises:
        StepFailed: it is not YAML, or not a mapping.
    """
    try:
        content = yaml.safe_load(file.read_text()) if file.exists() else None
    except yaml.YAMLError as error:
        raise StepFailed(f"{file} is not YAML: {error}", "Correct it, then run this again.") from error
    if not isinstance(content or {}, dict):
        raise StepFailed(f"{file} must hold a mapping with the key `config`.", "Correct it, then run this again.")
    return content or {}


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` on top of `under`: mappings are merged key by key, any other value of `over` replaces that of `under`."""
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        both_are_mappings = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[key] = merge(below, value) if both_are_mappings else value  # type: ignore[arg-type]
    return merged


def machine_values(engine: DockerEngine, images: ImageSet) -> dict[str, Any]:
    """The values of `vps:platform` that this machine provides."""
    return {
        "engine": {
            "host": engine.url,
            "socket": engine.socket_on_its_host(),
            "cgroup_version": engine.cgroup_version(),
            "apparmor": engine.apparmor(images.references["app"]),
        },
        **image_values(images),
        "sandbox": {"cpus": engine.processors()},
    }


def image_values(images: ImageSet) -> dict[str, Any]:
    """The values of `vps:platform` that say which images there are."""
    return {
        "images": {name: image for name, image in images.references.items() if name in _NAMES},
        "unavailable": dict(images.unavailable),
    }


def node_values(engine: DockerEngine, images: ImageSet) -> dict[str, Any]:
    """The values of `vps:platform` for a cluster on this machine, whose control groups are those of Docker's host."""
    return {"engine": {"cgroup_version": engine.cgroup_version()}, **image_values(images)}


def compose(
    template: Mapping[str, Any], machine: Mapping[str, Any], overrides: Mapping[str, Any], previous: Mapping[str, Any]
) -> dict[str, Any]:
    """The content of the generated file. The template wins over the machine's values, and `overrides` win over both.

    The salt and the secrets are taken from `previous`, the file's content so far: they encrypt what the state holds.
    """
    config = dict(template.get("config") or {})
    kept = {key: value for key, value in (previous.get("config") or {}).items() if key in _SECRETS}
    platform = merge(merge(machine, config.get(PLATFORM) or {}), overrides)
    return {SALT: previous[SALT], "config": {**config, PLATFORM: platform, **kept}}


def render(content: Mapping[str, Any], template: str) -> str:
    """The text of the generated file."""
    return _HEADER.format(template=template_file(template).name) + yaml.safe_dump(dict(content), sort_keys=False)


def settings(
    template: str = LOCAL, overrides: Mapping[str, Any] = MappingProxyType({}), name: str | None = None
) -> PlatformSettings:
    """The settings of a stack, before its images are known. Its name is that of the template, unless one is given.

    Raises:
        StepFailed: the template or the overrides are not valid; the message names each bad key.
    """
    file = template_file(template)
    config = load(file).get("config") or {}
    unbuilt = {"images": dict.fromkeys(IMAGES_OF_OURS, "not-built-yet")}
    try:
        platform = merge(merge(unbuilt, config.get(PLATFORM) or {}), overrides)
        return parse_settings(platform, stack=name or template)
    except (SettingsError, AttributeError) as error:
        raise StepFailed(str(error), f"Correct {file}, then run this again. Nothing was changed.") from error
