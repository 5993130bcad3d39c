"""Which stack a command is about: the one on this machine, or one of a tracked config file on its own engine."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from infra.host.host import docker_url
from infra.settings import PlatformSettings
from tools.build import images
from tools.commands.up import STACK
from tools.console.steps import Report, StepFailed
from tools.machine import docker_engine, docker_tunnel
from tools.machine.docker_engine import DockerEngine
from tools.stack import config


@dataclass(frozen=True)
class Target:
    """An engine that answers, and the stack on it. `image` is one of the stack's, for helpers that need any."""

    engine: DockerEngine
    prefix: str
    image: str


def settings(stack: str) -> PlatformSettings:
    """What `Pulumi.<stack>.yaml` says.

    Raises:
        StepFailed: there is no such file, or it can't be used.
    """
    if not config.template_file(stack).exists():
        raise StepFailed(f"There is no Pulumi.{stack}.yaml.", "Name a stack that has one: local, prod.")
    return config.settings(stack, stack, {})


@contextlib.contextmanager
def reached(stack: str, report: Report) -> Iterator[Target]:
    """The stack of `Pulumi.<stack>.yaml`, whose engine answers while the block runs.

    Raises:
        StepFailed: there is no such file, it can't be used, or its engine does not answer.
    """
    found = settings(stack)
    if stack == STACK:
        url = docker_engine.configured_url()
        engine = _answering(url, url, report)
        made = images.ensure(engine, found.sandbox.environments, report)
        yield Target(engine, found.name, made.references["app"])
    elif found.host:
        with docker_tunnel.engine(found.host, report) as url:
            yield Target(_answering(url, docker_url(found.host), report), found.name, found.image("app"))
    else:
        url = found.engine.host
        yield Target(_answering(url, url, report), found.name, found.image("app"))


def _answering(url: str, place: str, report: Report) -> DockerEngine:
    engine = docker_engine.find(url)
    if engine is None:
        raise StepFailed(
            f"No Docker engine answers at {place}.", "Start it, or see to the way there (SSH, its key).", report.log
        )
    return engine
