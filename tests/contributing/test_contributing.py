"""Each diff in CONTRIBUTING.md applies to the repository as it is, and does what the text beside it says."""

from pathlib import Path

import pytest

from tests.checkout import Copy, commands

DOCUMENT = "CONTRIBUTING.md"
TESTS_FAILED = 1
LOOK = """
from tests.policies.support import violations
from tests.program import containers, platform_config, run_program, watched_file

resources = run_program("local", platform_config("local"))
hello = containers(resources)["hello"]
assert (hello["readOnly"], hello["memory"], hello["command"]) == (True, 64, ["--port=8080"]), hello
routes = watched_file(resources, "traefik")
assert "Host(`hello.localhost`)" in routes, routes
assert violations((resource.type, resource.name, resource.inputs) for resource in resources) == []
"""


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path / "copy")


def test_an_environment_that_is_added_so_can_be_switched_on_and_is_in_the_documents(copy: Copy) -> None:
    """Whether its code runs, tests/sandbox/ shows of those that there are."""
    (change,) = commands(DOCUMENT, "Add an environment", "diff")
    (check,) = commands(DOCUMENT, "Add an environment")
    copy.apply(change)
    copy.run(f"{check}.venv/bin/ruff check app && .venv/bin/ruff format --check app")
    assert "| `lua` | lua | `lua5.4` | no |" in (copy.folder / "README.md").read_text()


def test_a_service_that_is_added_so_has_its_container_and_its_route_and_passes_the_pack(copy: Copy) -> None:
    (change,) = commands(DOCUMENT, "Add a service", "diff")
    copy.apply(change)
    (copy.folder / "look.py").write_text(LOOK)
    copy.run(".venv/bin/python look.py && .venv/bin/ruff check infra && .venv/bin/ruff format --check infra")


def test_a_policy_that_is_added_so_fires(copy: Copy) -> None:
    case, rule = commands(DOCUMENT, "Add a policy", "diff")
    check, _ = commands(DOCUMENT, "Add a policy")
    copy.apply(case)
    assert copy.attempt(check).returncode == TESTS_FAILED
    copy.apply(rule)
    copy.run(check)


def test_an_alert_that_is_added_so_has_its_cases_its_runbook_and_its_row(copy: Copy) -> None:
    """Whether promtool accepts it, tests/monitoring/ shows."""
    for diff in commands(DOCUMENT, "Add an alert", "diff"):
        copy.apply(diff)
    (check,) = commands(DOCUMENT, "Add an alert")
    copy.run(f".venv/bin/python -m docs.reference\n{check}")
    assert "| [StreamsPileUp](#streamspileup) | warning | 10m |" in (copy.folder / "docs/OPERATIONS.md").read_text()
