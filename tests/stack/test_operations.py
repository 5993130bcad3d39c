"""What an operator does with a stack that runs: rotate a password, move the state. As docs/OPERATIONS.md says it."""

import dataclasses
import os
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from infra.settings import Services
from tests.ports import free_port
from tests.stacks import StackFactory
from tools import health
from tools.prepare import Prepared
from tools.stack import Stack
from tools.steps import Report

KEY = "vps:dashboardPassword"


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def stack(new_stack: StackFactory, report: Report, port: int) -> Stack:
    """A small one, up."""
    made = new_stack(
        edge={"http_port": port},
        sandbox={"environments": ["bash"]},
        services={name: {"enabled": False} for name in Services.model_fields},
    )
    made.up(report)
    return made


def test_a_rotated_password_replaces_its_reader_alone(
    stack: Stack, prepared: Prepared, report: Report, port: int
) -> None:
    before, old = _containers(stack, prepared), stack.secret(KEY, report)
    stack.set_secret(KEY, "another-password", report)
    stack.up(report)
    health.wait(prepared.engine, stack.prefix, f"http://localhost:{port}", report)
    after = _containers(stack, prepared)
    assert {name for name in before if before[name] != after[name]} == {"traefik"}
    assert _status(port, old) == httpx.codes.UNAUTHORIZED
    assert _status(port, "another-password") == httpx.codes.OK
    assert stack.outputs(report, show_secrets=True)["passwords"]["dashboardPassword"] == "another-password"
    assert "another-password" not in str(stack.outputs(report))


def test_a_state_moves_to_another_backend(stack: Stack, report: Report, tmp_path: Path) -> None:
    moved = dataclasses.replace(stack, home=tmp_path / "moved")
    shutil.copytree(stack.home, moved.home, ignore=shutil.ignore_patterns("state"))
    (moved.home / "state").mkdir()
    file = str(tmp_path / "state.json")
    _pulumi(stack, "stack", "export", "--file", file)
    # Secrets leave the old backend as they were in it: encrypted.
    assert stack.secret(KEY, report) not in Path(file).read_text()
    _pulumi(moved, "stack", "init", "--no-select")
    _pulumi(moved, "stack", "import", "--file", file)
    moved.preview(report, "--expect-no-changes")
    assert moved.outputs(report, show_secrets=True) == stack.outputs(report, show_secrets=True)
    moved.destroy(report)
    assert not _resources(moved, report)


def _containers(stack: Stack, prepared: Prepared) -> dict[str, str]:
    """The id of each service's container."""
    labels = [f"vps.stack={stack.prefix}", "vps.role=service"]
    found = prepared.engine.client().containers.list(filters={"label": labels})
    return {container.labels["vps.service"]: str(container.id) for container in found}


def _status(port: int, password: str) -> int:
    """What the edge's dashboard answers to that password."""
    with httpx.Client(trust_env=False, headers={"host": "traefik.localhost"}) as client:
        return client.get(f"http://127.0.0.1:{port}/api/version", auth=("admin", password)).status_code


def _pulumi(stack: Stack, *arguments: str) -> None:
    """Run Pulumi as an operator would, in a folder that has the project file and the stack's config."""
    subprocess.run(
        [stack.toolchain.pulumi, *arguments, "--stack", stack.name, "--non-interactive"],
        cwd=stack.home,
        env={
            **os.environ,
            **stack.toolchain.environment,
            "PULUMI_BACKEND_URL": f"file://{stack.home / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(stack.passphrase_file),
        },
        check=True,
        capture_output=True,
    )


def _resources(stack: Stack, report: Report) -> list[object]:
    return stack.export(report).get("resources") or []
