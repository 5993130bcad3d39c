"""What every suite that brings a real stack up shares."""

from collections.abc import Iterator

import pytest

from tests.stacks import StackFactory
from tools.console.steps import Report
from tools.machine.preparation import Prepared, prepare
from tools.stack import docker_objects


@pytest.fixture(scope="session")
def prepared() -> Prepared:
    """Engine, toolchain and images: found, or made."""
    return prepare()


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Where the output of the Pulumi engine goes."""
    return Report(tmp_path_factory.mktemp("stack-logs") / "pulumi.log")


@pytest.fixture(scope="session")
def new_stack(prepared: Prepared, report: Report, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackFactory]:
    """Makes configured stacks, and removes whatever they left, also after a failure."""
    factory = StackFactory(prepared, report, tmp_path_factory.mktemp("stacks"))
    yield factory
    client = prepared.engine.client()
    for stack in factory.made:
        docker_objects.remove_volumes(client, docker_objects.remove_all(client, stack.prefix))
