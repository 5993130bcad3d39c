"""What the real engine refuses, and that nothing is half-applied after it."""

import socket
from typing import Any

import pytest
import yaml

from tests.stacks import StackFactory
from tools.console.steps import Report, StepFailed
from tools.machine.preparation import Prepared
from tools.stack import docker_objects
from tools.stack.config import ONLY_CORE, PLATFORM, load, merge
from tools.stack.local_stack import Stack

UNVERSIONED = {"traefik": "traefik:latest"}


def test_a_policy_that_is_broken_fails_the_preview_by_name(new_stack: StackFactory, report: Report) -> None:
    with pytest.raises(StepFailed, match=r"policy pack refuses this stack.\n  image-version: "):
        new_stack(images=UNVERSIONED).preview(report)


def test_an_up_that_a_policy_refuses_makes_nothing(new_stack: StackFactory, prepared: Prepared, report: Report) -> None:
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
def test_the_preview_names_the_key_of_a_setting_that_can_not_be_used(
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


def test_a_wrong_passphrase_is_told_and_changes_nothing(new_stack: StackFactory, report: Report) -> None:
    stack = new_stack()
    right = stack.passphrase_file.read_text()
    stack.passphrase_file.write_text("wrong")
    with pytest.raises(StepFailed, match="is not the one that the stack was encrypted with"):
        stack.up(report)
    stack.passphrase_file.write_text(right)
    stack.preview(report)


def test_production_previews(new_stack: StackFactory, report: Report) -> None:
    """The tracked prod config over SSH to a documentation address: nothing is looked up at preview."""
    stack = _production(new_stack, report)
    said = stack.preview(report, "--diff")
    assert "ssh://deploy@vps.example.com:22" in said
    assert "https://sandbox.example.com" in said
    assert "cloudflare-secret" not in said


def _production(new_stack: StackFactory, report: Report) -> Stack:
    stack = new_stack(
        "prod",
        services={name: {"enabled": False} for name in ("grafana", "portainer")},
        # Nobody is spoken to, so any file will do for a key.
        host={"ssh": {"identity_file": __file__}},
    )
    stack.set_secret("vps:cloudflareToken", "cloudflare-secret", report)
    return stack


def test_a_port_that_is_taken_leaves_a_stack_that_the_next_up_mends(
    new_stack: StackFactory, prepared: Prepared, report: Report
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        stack = new_stack(edge={"http_port": other.getsockname()[1]}, services=ONLY_CORE)
        with pytest.raises(StepFailed):
            stack.up(report)
    stack.mend(report)
    stack.up(report)
    stack.destroy(report)
    assert docker_objects.find(prepared.engine.client(), stack.prefix).names == []
