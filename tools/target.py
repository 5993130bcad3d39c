"""Which stack a command is about: the one on this machine, or one of a tracked config file on its own engine."""

from dataclasses import dataclass

from tools import docker_engine, images, stack_config
from tools.commands.up import STACK
from tools.docker_engine import DockerEngine
from tools.steps import Report, StepFailed


@dataclass(frozen=True)
class Target:
    """An engine that answers, and the stack on it. `image` is one of the stack's, for helpers that need any."""

    engine: DockerEngine
    prefix: str
    image: str


def find(stack: str, report: Report) -> Target:
    """The stack of `Pulumi.<stack>.yaml`.

    Raises:
        StepFailed: there is no such file, it can't be used, or its engine does not answer.
    """
    if not stack_config.template_file(stack).exists():
        raise StepFailed(f"There is no Pulumi.{stack}.yaml.", "Name a stack that has one: local, prod.")
    settings = stack_config.settings(stack, stack, {})
    is_here = stack == STACK
    url = docker_engine.configured_url() if is_here else settings.engine.host
    engine = docker_engine.find(url)
    if engine is None:
        raise StepFailed(f"No Docker engine answers at {url}.", "Start it, or see to the way there (SSH, its key).")
    image = images.ensure(engine, report).references["app"] if is_here else settings.image("app")
    return Target(engine, settings.name, image)
