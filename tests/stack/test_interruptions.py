"""An `up` that is interrupted or killed is completed by the next one."""

from collections.abc import Callable

import pytest

from tests.interruptions import cut_off, interrupt, kill
from tests.stacks import StackFactory
from tools.console.steps import Report
from tools.machine.ports import free_port
from tools.machine.preparation import Preparation
from tools.stack import docker_objects, health
from tools.stack.config import ONLY_CORE


@pytest.mark.parametrize(("strike", "after_containers"), [(interrupt, 1), (kill, 3)])
def test_the_next_up_completes_an_interrupted_one(
    new_stack: StackFactory, prepared: Preparation, report: Report, strike: Callable[[int], None], after_containers: int
) -> None:
    port = free_port()
    stack = new_stack(edge={"http_port": port}, services=ONLY_CORE)
    client = prepared.engine.client()

    def is_time() -> bool:
        names = docker_objects.find(client, stack.prefix).names
        return len([name for name in names if name.startswith("container")]) >= after_containers

    cut_off(lambda: stack.up(report), is_time, strike)
    # Pulumi writes those in two steps. Killed between them, it leaves a state that can't be loaded.
    assert list(stack.home.glob("state/**/*.attrs")) == []
    stack.mend(report)
    stack.up(report)
    health.wait(prepared.engine, stack.prefix, f"http://localhost:{port}", report)
    stack.preview(report, "--expect-no-changes")
    stack.destroy(report)
    assert docker_objects.find(prepared.engine.client(), stack.prefix).names == []
