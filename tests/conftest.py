"""Fixtures of the suites that deploy a real stack."""

from collections.abc import Iterator

import pytest

from tests.stacks import StackFactory
from tools.console.steps import Report
from tools.machine.preparation import Prepared, prepare
from tools.stack import docker_objects


@pytest.fixture(scope="session")
def prepared() -> Prepared:
    """Docker, the Pulumi toolchain and the images, installed or built where they are missing."""
    return prepare()


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A report that writes Pulumi's output to a file."""
    return Report(tmp_path_factory.mktemp("stack-logs") / "pulumi.log")


@pytest.fixture(scope="session")
def new_stack(prepared: Prepared, report: Report, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackFactory]:
    """A factory of configured stacks. Their containers and volumes are removed at the end, also after a failure."""
    factory = StackFactory(prepared, report, tmp_path_factory.mktemp("stacks"))
    yield factory
    client = prepared.engine.client()
    for stack in factory.made:
        docker_objects.remove_volumes(client, docker_objects.remove_all(client, stack.prefix))
