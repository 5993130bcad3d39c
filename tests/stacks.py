"""Real stacks of the real program for tests, each with its own name, ports and state folder."""

import secrets
from pathlib import Path

from docker.models.containers import Container

from infra.service import ROLE_LABEL, SERVICE_LABEL, STACK_LABEL
from tools.console.steps import Report
from tools.machine.docker_engine import DockerEngine
from tools.machine.preparation import Preparation
from tools.stack import docker_objects
from tools.stack.local_stack import Stack


def containers(engine: DockerEngine, prefix: str) -> dict[str, Container]:
    """The container of each service of a stack."""
    labels = [f"{STACK_LABEL}={prefix}", f"{ROLE_LABEL}=service"]
    found = engine.client().containers.list(filters={"label": labels})
    return {container.labels[SERVICE_LABEL]: container for container in found}


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
