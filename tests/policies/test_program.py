"""The real program passes every policy, and needs every exemption."""

import pytest

from policies.exemptions import EXEMPTIONS, READABLE_PATHS
from tests.policies.support import exemptions_used, violations
from tests.program import Resource, containers, platform_config, run_program


def inputs(resources: list[Resource]) -> list[tuple[str, str, dict[str, object]]]:
    return [(resource.type, resource.name, resource.inputs) for resource in resources]


@pytest.mark.parametrize("stack", ["local", "prod"])
def test_the_program_passes_every_policy(stack: str) -> None:
    assert violations(inputs(run_program(stack, platform_config(stack)))) == []


def test_every_exemption_is_needed() -> None:
    assert exemptions_used(inputs(run_program("local", platform_config("local")))) == set(EXEMPTIONS)


def test_every_path_that_may_be_read_is_needed() -> None:
    bound = {
        (service, mount["source"])
        for service, container in containers(run_program("local", platform_config("local"))).items()
        for mount in container.get("mounts", ())
        if mount["type"] == "bind" and not mount["source"].endswith(".sock")
    }
    assert bound == {(readable.service, readable.path) for readable in READABLE_PATHS}


@pytest.mark.parametrize(
    ("field", "weaker"),
    [("pids", 500), ("memory_mb", 1024), ("network", "bridge"), ("read_only_root", False), ("timeout_seconds", 60)],
)
def test_a_weaker_profile_in_the_settings_is_refused_by_name(field: str, weaker: object) -> None:
    platform = platform_config("local", sandbox={"profile": {field: weaker}})
    found = violations(inputs(run_program("local", platform)))
    assert [violation.policy for violation in found] == [f"sandbox-{field.replace('_', '-')}"]
