"""The stack that a command is for: the one on this machine, or one of a tracked config file on its server."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from infra.host.host import docker_url
from infra.settings import PlatformSettings
from tools.build import images
from tools.console.steps import Report, StepFailed
from tools.machine import docker_engine, docker_tunnel
from tools.machine.docker_engine import DockerEngine
from tools.stack import config, health
from tools.stack.health import ServiceState


@dataclass(frozen=True)
class Target:
    """A Docker that answers, and the stack in it. `image` is one of the stack's images, for helper containers."""

    engine: DockerEngine
    prefix: str
    image: str


def settings(stack: str) -> PlatformSettings:
    """The settings of `Pulumi.<stack>.yaml`.

    Raises:
        StepFailed: there is no such file, or its settings are not valid.
    """
    if not config.template_file(stack).exists():
        raise StepFailed(f"There is no Pulumi.{stack}.yaml.", "Name a stack that has one: local, prod.")
    return config.settings(stack)


@contextlib.contextmanager
def reached(stack: str, report: Report) -> Iterator[Target]:
    """The stack of `Pulumi.<stack>.yaml`, whose Docker is reached while the block runs.

    Raises:
        StepFailed: there is no such file, its settings are not valid, or its Docker does not answer.
    """
    found = settings(stack)
    if stack == config.LOCAL:
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


def running() -> tuple[DockerEngine, list[ServiceState]]:
    """The Docker of this machine, and the services of the stack in it.

    Raises:
        StepFailed: nothing runs.
    """
    engine = docker_engine.find(docker_engine.configured_url())
    states = health.services(engine.client(), config.settings().name) if engine else []
    if engine is None or not states:
        raise StepFailed("Nothing runs.", "`make up` brings the platform up.")
    return engine, states


def _answering(url: str, place: str, report: Report) -> DockerEngine:
    engine = docker_engine.find(url)
    if engine is None:
        raise StepFailed(
            f"No Docker answers at {place}.", "Start it, or fix the connection (SSH, its key).", report.log
        )
    return engine
