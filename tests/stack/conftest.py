"""A real stack of the real program: another name, other ports, a home of its own, gone at the end."""

import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import leftovers
from tools.prepare import Prepared, prepare
from tools.stack import Stack
from tools.steps import Report


@pytest.fixture(scope="session")
def prepared() -> Prepared:
    """Engine, toolchain and images: found, or made."""
    return prepare()


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Where the engine's output goes."""
    return Report(tmp_path_factory.mktemp("stack-logs") / "pulumi.log")


@pytest.fixture(scope="session")
def new_stack(prepared: Prepared, report: Report, tmp_path_factory: pytest.TempPathFactory) -> Iterator["StackFactory"]:
    """Makes configured stacks, and removes whatever they left, also after a failure."""
    factory = StackFactory(prepared, report, tmp_path_factory.mktemp("stacks"))
    yield factory
    client = prepared.engine.client()
    for stack in factory.made:
        found = leftovers.find(client, stack.prefix)
        leftovers.remove(client, found)
        leftovers.remove_volumes(client, found.volumes)


class StackFactory:
    """Stacks of this test run, each with a name that no other run has."""

    def __init__(self, prepared: Prepared, report: Report, folder: Path) -> None:
        self.made: list[Stack] = []
        self._prepared = prepared
        self._report = report
        self._folder = folder

    def __call__(self, template: str = "local", **overrides: object) -> Stack:
        name = f"test-{secrets.token_hex(4)}"
        stack = Stack(
            self._prepared.toolchain,
            self._prepared.engine,
            name=name,
            home=self._folder / name,
            template=template,
            overrides=overrides,
        )
        stack.configure(self._prepared.images, self._report)
        self.made.append(stack)
        return stack


def free_port() -> int:
    """A TCP port of the loopback address that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
