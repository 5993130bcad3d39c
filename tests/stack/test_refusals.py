"""Stacks that Pulumi refuses. Nothing is applied in part."""

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.stacks import StackFactory
from tools.console.steps import Report, StepFailed
from tools.machine import process
from tools.machine.preparation import Preparation
from tools.stack import docker_objects
from tools.stack.config import PLATFORM, load, merge
from tools.stack.local_stack import Stack

UNVERSIONED = {"traefik": "traefik:latest"}


@pytest.fixture(scope="module")
def stack(new_stack: StackFactory) -> Stack:
    """A stack that is never up. Whoever configures it wrongly puts that right."""
    return new_stack()


@pytest.mark.parametrize("command", [Stack.preview, Stack.up])
def test_a_command_that_violates_a_policy_fails_with_its_name_and_creates_nothing(
    stack: Stack, prepared: Preparation, report: Report, command: Callable[[Stack, Report], str]
) -> None:
    dataclasses.replace(stack, overrides={"images": UNVERSIONED}).configure(prepared.images, report)
    with pytest.raises(StepFailed, match=r"policy pack refuses this stack.\n  image-version: "):
        command(stack, report)
    assert docker_objects.find(prepared.engine.client(), stack.prefix).names == []
    stack.configure(prepared.images, report)


def test_the_preview_names_the_key_of_each_invalid_setting(stack: Stack, prepared: Preparation, report: Report) -> None:
    sandbox = {
        "profile": {"pids": 51},
        "allowed_origins": ["https://x.org/"],
        "pools": {"python": {"min": 8, "max": 2}},
    }
    written = load(stack.config_file)
    written["config"] = merge(written["config"], {PLATFORM: {"edge": {"http_prot": 80}, "sandbox": sandbox}})
    stack.config_file.write_text(yaml.safe_dump(written))
    report.log.unlink(missing_ok=True)
    with pytest.raises(StepFailed):
        stack.preview(report)
    said = report.log.read_text()
    for refusal in (
        "edge.http_prot: unknown key",
        "sandbox.profile: the profile is weaker than the floor: pids is 51",
        "sandbox.allowed_origins.0: 'https://x.org/' is not an",
        "sandbox.pools.python: min is more than max",
    ):
        assert refusal in said
    assert "Traceback" not in said
    stack.configure(prepared.images, report)


def test_a_program_without_config_gets_an_empty_one(prepared: Preparation, report: Report, tmp_path: Path) -> None:
    runtime = {"name": "python", "options": {"toolchain": "pip", "virtualenv": sys.prefix}}
    (tmp_path / "Pulumi.yaml").write_text(yaml.safe_dump({"name": "empty", "runtime": runtime}))
    (tmp_path / "__main__.py").write_text("import pulumi; pulumi.export('found', pulumi.Config('vps').get('platform'))")
    (tmp_path / "state").mkdir()
    environment = {
        **prepared.toolchain.environment,
        "PULUMI_BACKEND_URL": f"file://{tmp_path}/state",
        "PULUMI_CONFIG_PASSPHRASE": "any",
    }
    for command in ("stack init organization/empty/none", "preview --stack none"):
        argv = [str(prepared.toolchain.pulumi), *command.split(), "--non-interactive"]
        process.run(argv, report, environment=environment, cwd=tmp_path)


def test_a_wrong_passphrase_is_reported_and_changes_nothing(stack: Stack, report: Report) -> None:
    right = stack.passphrase_file.read_text()
    stack.passphrase_file.write_text("wrong")
    with pytest.raises(StepFailed, match="is not the one that the stack was encrypted with"):
        stack.up(report)
    stack.passphrase_file.write_text(right)
    stack.preview(report)


def test_the_production_stack_previews_without_its_host(new_stack: StackFactory, report: Report) -> None:
    """The address is a documentation address: a preview connects to no host."""
    stack = _production(new_stack, report)
    said = stack.preview(report, "--diff")
    assert "ssh://deploy@vps.example.com:22" in said
    assert "https://sandbox.example.com" in said
    assert "cloudflare-secret" not in said


def _production(new_stack: StackFactory, report: Report) -> Stack:
    stack = new_stack(
        "prod",
        services={name: {"enabled": False} for name in ("grafana", "portainer")},
        # No connection is made, so any file serves as the key.
        host={"ssh": {"identity_file": __file__}},
    )
    stack.set_secret("vps:cloudflareToken", "cloudflare-secret", report)
    return stack
