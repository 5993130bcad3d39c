"""Which process `make profile` reads: never one of a visitor's."""

from types import SimpleNamespace
from typing import Any

import pytest

from tools.commands.profile import process_of
from tools.console.steps import StepFailed

VISITORS = ["70", "60", "python3 -m app.executor"]


def container(first: int, *processes: list[str]) -> Any:
    top = {"Titles": ["PID", "PPID", "COMMAND"], "Processes": [VISITORS, *processes]}
    return SimpleNamespace(name="vps-x", attrs={"State": {"Pid": first}}, top=lambda ps_args: top)


def test_the_api_is_the_first_process() -> None:
    assert process_of(container(50, ["50", "1", "python -m app.api"])) == 50


def test_the_executor_is_the_child_of_its_launcher() -> None:
    processes = (["50", "1", "python -m app.executor.launcher"], ["60", "50", "/usr/bin/python3 -m app.executor"])
    assert process_of(container(50, *processes)) == 60


def test_a_program_that_is_not_ours_is_refused() -> None:
    with pytest.raises(StepFailed, match="no Python of ours"):
        process_of(container(50, ["50", "1", "traefik --configFile=/etc/traefik/traefik.yml"]))
