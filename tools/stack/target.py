"""The stack that a command is for: the one on this machine, or one of a tracked config file on its server."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from infra.host.host import docker_url
from infra.settings import PlatformSettings
from tools.build import images
from tools.console.steps import Report, StepFailed
from tools.machine import docker_engine, docker_tunnel, pulumi_toolchain
from tools.machine.docker_engine import DockerEngine
from tools.stack import config, health
from tools.stack.health import ServiceState
from tools.stack.local_stack import Stack
from tools.stack.pulumi_stack import PulumiStack


@dataclass(frozen=True)
class Target:
    """A Docker that answers, and the stack in it. `image` is the one that restores backups."""

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
    here = {"engine": {"host": docker_engine.configured_url()}} if stack == config.LOCAL else {}
    return config.settings(stack, here)


def stack(name: str, report: Report) -> PulumiStack:
    """The stack of `Pulumi.<name>.yaml`, to be read. Its Docker need not answer.

    Raises:
        StepFailed: there is no such file, its settings are not valid, or there is no usable Pulumi.
    """
    url = settings(name).engine.host
    toolchain = pulumi_toolchain.ensure(report)
    return Stack(toolchain, name, DockerEngine(url)) if name == config.LOCAL else PulumiStack(toolchain, name)


@contextlib.contextmanager
def docker(settings: PlatformSettings, report: Report, *, as_root: bool = False) -> Iterator[DockerEngine]:
    """The Docker of a stack, which is reached while the block runs: on a server as the deploy user, or as the one who
    prepares it.

    Raises:
        StepFailed: it does not answer.
    """
    if settings.host:
        with docker_tunnel.engine(settings.host, report, as_root=as_root) as url:
            yield _answering(url, docker_url(settings.host), report)
    else:
        yield _answering(settings.engine.host, settings.engine.host, report)


@contextlib.contextmanager
def reached(stack: str, report: Report) -> Iterator[Target]:
    """The stack of `Pulumi.<stack>.yaml`, whose Docker is reached while the block runs.

    Raises:
        StepFailed: there is no such file, its settings are not valid, or its Docker does not answer.
    """
    found = settings(stack)
    with docker(found, report) as engine:
        local = stack == config.LOCAL
        ours = images.ensure(engine, found.sandbox.environments, report).references if local else {}
        yield Target(engine, found.name, ours.get("backup") or found.image("backup"))


@contextlib.contextmanager
def running(stack: str, report: Report) -> Iterator[tuple[DockerEngine, list[ServiceState]]]:
    """The Docker of a stack, which is reached while the block runs, and its services.

    Raises:
        StepFailed: as for `reached`; or nothing runs.
    """
    found = settings(stack)
    with docker(found, report) as engine:
        states = health.services(engine.client(), found.name)
        if not states:
            raise StepFailed("Nothing runs.", "`make up` brings the platform up.")
        yield engine, states


def _answering(url: str, place: str, report: Report) -> DockerEngine:
    engine = docker_engine.find(url)
    if engine is None:
        raise StepFailed(
            f"No Docker answers at {place}.", "Start it, or fix the connection (SSH, its key).", report.log
        )
    return engine
