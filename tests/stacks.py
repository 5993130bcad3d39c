"""Real stacks of the real program for tests, each with its own name, ports and state folder."""

import secrets
from pathlib import Path

from tools.console.steps import Report
from tools.machine.preparation import Preparation
from tools.stack import docker_objects
from tools.stack.local_stack import Stack


class StackFactory:
    """Makes stacks with unique names. `made` are all of them; `overrides` of a call go over `vps:platform`."""

    def __init__(self, prepared: Preparation, report: Report, folder: Path) -> None:
        self.made: list[Stack] = []
        self._prepared = prepared
        self._report = report
        self._folder = folder

    def __call__(self, template: str = "local", **overrides: object) -> Stack:
        name = f"test-{secrets.token_hex(4)}"
        stack = Stack(
            self._prepared.toolchain,
            name,
            self._prepared.engine,
            home=self._folder / name,
            template=template,
            overrides=overrides,
        )
        stack.configure(self._prepared.images, self._report)
        self.made.append(stack)
        return stack

    def remove(self, stack: Stack) -> None:
        """Remove the containers and volumes of a stack at once, without Pulumi."""
        client = self._prepared.engine.client()
        docker_objects.remove_volumes(client, docker_objects.remove_all(client, stack.prefix))
