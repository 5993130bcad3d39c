"""Platforms for the tests of the sandbox, each with an executor of its own. A sandbox left over fails the test."""

import json
import os
import shlex
import uuid
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path

import pytest

from app.environments import DEFAULT_ENVIRONMENTS
from tests.emulated.machine import EMULATED, Machine
from tests.sandbox import executor
from tests.sandbox.executor import Host
from tests.sandbox.processes import Platform
from tools.machine import docker_engine
from tools.machine.docker_engine import DockerEngine

IMAGES = "VPS_SANDBOX_IMAGES"

MakePlatform = Callable[..., Platform]


def _given(variable: str, example: str) -> str:
    if not os.environ.get(variable):
        pytest.fail(f"{variable} is not set: {example}. `make test` builds them.")
    return os.environ[variable]


@pytest.fixture(scope="session")
def images() -> Mapping[str, str]:
    """The image of each environment of this run, by its name."""
    found: Mapping[str, str] = json.loads(_given(IMAGES, 'JSON such as {"python": "<image>", ...}'))
    return found


@pytest.fixture(scope="session")
def host(request: pytest.FixtureRequest) -> Host:
    """The host that runs the executors: this machine, or the emulated VPS."""
    _given(executor.IMAGE, "the executor's image")
    if EMULATED in os.environ:
        machine: Machine = request.getfixturevalue("prepared_machine")
        return Host(machine.engine, machine.reach, lambda code: machine.shell(shlex.join(["python3", "-c", code])))
    return Host(DockerEngine(docker_engine.configured_url()))


@pytest.fixture(scope="session")
def names() -> Iterator[str]:
    """Unique names of containers."""
    run = uuid.uuid4().hex[:8]
    return (f"vps-test-{run}-{number}-executor" for number in count())


@pytest.fixture(scope="session")
def shared(
    host: Host,
    images: Mapping[str, str],
    names: Iterator[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Platform]:
    """The platform with the floor's profile and every environment, shared by most tests."""
    platform = Platform(host, next(names), list(images), tmp_path_factory.mktemp("shared") / "platform")
    try:
        yield platform.start()
    finally:
        platform.stop()


@pytest.fixture
def platform(shared: Platform) -> Iterator[Platform]:
    """The shared platform. After the test no execution may run, and the executor must know each sandbox that exists."""
    yield shared
    shared.wait_until_idle()


@pytest.fixture
def make_platform(
    host: Host, images: Mapping[str, str], names: Iterator[str], tmp_path: Path
) -> Iterator[MakePlatform]:
    """A factory of platforms that are not started, from environment variables of either process.

    They have the default environments: the executor starts a sandbox of each, which takes time.
    """
    environments = [name for name in images if name in DEFAULT_ENVIRONMENTS]
    made: list[Platform] = []

    def make(**variables: str) -> Platform:
        folder = tmp_path / f"platform{len(made)}"
        made.append(Platform(host, next(names), environments, folder, **variables))
        return made[-1]

    yield make
    for platform in made:
        platform.stop()
