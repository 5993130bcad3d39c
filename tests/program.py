"""Runs the real Pulumi program under mocks, and records the resources that it would create."""

import asyncio
import contextlib
import copy
import functools
import json
import os
import runpy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn
from unittest import mock

import bcrypt
import pulumi
import yaml
from pulumi.runtime import rpc
from pulumi.runtime.proto import source_pb2

from infra.images import IMAGES_OF_OURS

ROOT = Path(__file__).resolve().parent.parent
# Any readable file will do: under mocks nobody uses the SSH key.
IDENTITY = Path(__file__)
IMAGES = {name: f"vps/{name}:0123456789ab" for name in IMAGES_OF_OURS}
SECRETS = {
    "dashboardPassword": "dashboard-password",
    "grafanaPassword": "grafana-password",
    "portainerPassword": "portainer-password",
    "cloudflareToken": "cloudflare-token",
    "alertWebhookUrl": "https://hooks.example.com/alert-webhook",
    "alertHeartbeatUrl": "https://hooks.example.com/heartbeat",
    "alertSmtpPassword": "alert-smtp-password",
    "alertSlackUrl": "https://slack.example.com/alert-slack",
    "alertTelegramToken": "123456:alert-telegram",
    "alertDiscordUrl": "https://discord.example.com/alert-discord",
    "alertTeamsUrl": "https://teams.example.com/alert-teams",
    "alertPushoverToken": "alert-pushover-token",
    "alertPushoverUser": "alert-pushover-user",
    "alertPagerdutyKey": "alert-pagerduty-key",
    "openbaoSealKey": "openbao-seal-key",
    "backupPassword": "backup-password",
    "backupS3Id": "backup-s3-id",
    "backupS3Key": "backup-s3-key",
    "backupSftpKey": "backup-sftp-key",
}


@dataclass(frozen=True)
class Resource:
    """A resource as the program declares it. The keys of `inputs` are in camelCase."""

    type: str
    name: str
    inputs: dict[str, Any]


class Recorder(pulumi.runtime.Mocks):
    """Mocks that record every resource, and give the outputs that the program reads."""

    def __init__(self) -> None:
        self.resources: list[Resource] = []

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.resources.append(Resource(args.typ, args.name, dict(args.inputs)))
        return f"{args.name}-id", args.inputs | self.outputs(args)

    def outputs(self, args: pulumi.runtime.MockResourceArgs) -> dict[str, Any]:
        """What a provider computes."""
        computed: dict[str, dict[str, Any]] = {
            "docker:index/remoteImage:RemoteImage": {"imageId": image_id(args.name)},
            "docker:index/network:Network": {"ipamConfigs": [{"subnet": "172.30.0.0/24", "gateway": "172.30.0.1"}]},
        }
        return computed.get(args.typ, {})

    def call(self, args: pulumi.runtime.MockCallArgs) -> NoReturn:
        raise AssertionError(f"the program calls a provider's function at preview: {args.token}")


def image_id(resource: str) -> str:
    """The content digest that the mocks give the image with this resource name."""
    return f"sha256:{resource.encode().hex():0<64.64}"


def platform_config(stack: str, **overrides: Any) -> dict[str, Any]:
    """`vps:platform` of a committed stack file, with the images that `make up` fills in."""
    tracked = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())["config"]["vps:platform"]
    if host := tracked.get("host"):
        host["ssh"]["identity_file"] = str(IDENTITY)
    return {"images": IMAGES, **tracked, **overrides}


def run_program(
    stack: str,
    platform: Mapping[str, Any],
    secrets: Mapping[str, str] = SECRETS,
    encrypted: bool = True,
    extra: Mapping[str, str] = MappingProxyType({}),
) -> list[Resource]:
    """Run `stacks/__main__.py` with this configuration and return all resources that it creates.

    `secrets` are keys without the prefix `vps:`, `extra` whole keys. The program runs once for each configuration.
    """
    config = {"vps:platform": json.dumps(platform), **{f"vps:{k}": v for k, v in secrets.items()}, **extra}
    encrypted_keys = [f"vps:{key}" for key in secrets] if encrypted else []
    return copy.deepcopy(_run(stack, tuple(config.items()), tuple(encrypted_keys)))


@functools.cache
def _run(stack: str, items: tuple[tuple[str, str], ...], encrypted: tuple[str, ...]) -> list[Resource]:
    config = dict(items)
    recorder = Recorder()

    def program() -> None:
        runpy.run_path(str(ROOT / "stacks" / "__main__.py"), run_name="__main__")

    with _event_loop(), _quick(), mock.patch.dict(os.environ, {"PULUMI_CONFIG": json.dumps(config)}):
        pulumi.runtime.set_mocks(recorder, project="vps", stack=stack)
        pulumi.runtime.set_all_config(config, list(encrypted))
        run: Callable[[Callable[[], None]], Callable[[], None]] = pulumi.runtime.test  # the SDK leaves it untyped
        run(program)()
    return recorder.resources


_hashpw = functools.cache(bcrypt.hashpw)


@contextlib.contextmanager
def _quick() -> Iterator[None]:
    """A third of a run's time less: a password's hash, which depends on its arguments alone, is computed once, PyYAML's
    loader in C reads the YAML, and the SDK does not look up the source line of each resource, which only a real engine
    would show."""
    with (
        mock.patch("yaml.SafeLoader", yaml.CSafeLoader),
        mock.patch("bcrypt.hashpw", _hashpw),
        mock.patch("pulumi.runtime.resource._get_stack_trace", source_pb2.StackTrace),
    ):
        yield


@contextlib.contextmanager
def _event_loop() -> Iterator[None]:
    """Sets a new event loop: the SDK uses the thread's current one, which other tests may have closed."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        yield
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def config_files(resources: list[Resource], service: str, kind: str = "config") -> dict[str, str]:
    """The text of each configuration file of a service by its path. Secrets are in clear text."""
    uploads = readable(containers(resources, kind)[service]["uploads"])
    return {upload["file"]: upload["content"] for upload in uploads}


def watched_file(resources: list[Resource], service: str) -> str:
    """The text of the file that a service watches."""
    (entry,) = containers(resources, "watched")[service]["envs"]
    return str(entry).removeprefix("CONTENT=")


def readable(value: Any) -> Any:
    """A value from the mocks, with its secrets in clear text."""
    if isinstance(value, Mapping):
        secret = rpc._special_sig_key in value
        return readable(value["value"]) if secret else {key: readable(item) for key, item in value.items()}
    return [readable(item) for item in value] if isinstance(value, list) else value


def containers(resources: list[Resource], role: str = "service") -> dict[str, dict[str, Any]]:
    """The inputs of the containers of one role, by service."""
    found = {}
    for resource in resources:
        if resource.type == "docker:index/container:Container":
            labels = {label["label"]: label["value"] for label in resource.inputs["labels"]}
            if labels["vps.role"].removesuffix("-loader") == role:
                found[labels["vps.service"]] = resource.inputs
    return found
