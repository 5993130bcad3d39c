"""Stacks that Pulumi refuses. Nothing is applied in part."""

import socket
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.stacks import StackFactory
from tools.console.steps import Report, StepFailed
from tools.machine import process
from tools.machine.preparation import Preparation
from tools.stack import docker_objects
from tools.stack.config import ONLY_CORE, PLATFORM, load, merge
from tools.stack.local_stack import Stack

UNVERSIONED = {"traefik": "traefik:latest"}


def test_a_preview_that_violates_a_policy_fails_with_its_name(new_stack: StackFactory, report: Report) -> None:
    with pytest.raises(StepFailed, match=r"policy pack refuses this stack.\n  image-version: "):
        new_stack(images=UNVERSIONED).preview(report)


def test_an_up_that_violates_a_policy_creates_nothing(
    new_stack: StackFactory, prepared: Preparation, report: Report
) -> None:
    stack = new_stack(images=UNVERSIONED)
    with pytest.raises(StepFailed, match=r"policy pack refuses this stack.\n  image-version: "):
        stack.up(report)
    assert docker_objects.find(prepared.engine.client(), stack.prefix).names == []


@pytest.mark.parametrize(
    ("overrides", "refusal"),
    [
        ({"edge": {"http_prot": 80}}, "edge.http_prot: unknown key"),
        ({"sandbox": {"profile": {"pids": 51}}}, "sandbox.profile: the profile is weaker than the floor: pids is 51"),
        ({"sandbox": {"allowed_origins": ["https://x.org/"]}}, "sandbox.allowed_origins.0: 'https://x.org/' is not an"),
        ({"sandbox": {"pools": {"python": {"min": 8, "max": 2}}}}, "sandbox.pools.python: min is more than max"),
    ],
)
def test_the_preview_names_the_key_of_an_invalid_setting(
    new_stack: StackFactory, report: Report, overrides: dict[str, Any], refusal: str
) -> None:
    stack = new_stack()
    written = load(stack.config_file)
    written["config"] = merge(written["config"], {PLATFORM: overrides})
    stack.config_file.write_text(yaml.safe_dump(written))
    report.log.unlink(missing_ok=True)
    with pytest.raises(StepFailed):
        stack.preview(report)
    said = report.log.read_text()
    assert refusal in said
    assert "Traceback" not in said


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


def test_a_wrong_passphrase_is_reported_and_changes_nothing(new_stack: StackFactory, report: Report) -> None:
    stack = new_stack()
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


def test_the_next_up_completes_one_that_failed_on_a_port_in_use(
    new_stack: StackFactory, prepared: Preparation, report: Report
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        stack = new_stack(edge={"http_port": other.getsockname()[1]}, services=ONLY_CORE)
        with pytest.raises(StepFailed):
            stack.up(report)
    stack.mend(report)
    stack.up(report)
    stack.destroy(report)
    assert docker_objects.find(prepared.engine.client(), stack.prefix).names == []
