"""Platforms for the tests of the sandbox, each with a stack label of its own. A sandbox left over fails the test."""

import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from app.environments import DEFAULT_ENVIRONMENTS
from tests import own_docker
from tests.sandbox.processes import RUNTIME, Platform
from tests.vps import images as image_folders
from tools.console.steps import Report
from tools.machine import docker_engine
from tools.machine.docker_engine import DockerEngine
from tools.paths import cache

IMAGES = "VPS_SANDBOX_IMAGES"

MakePlatform = Callable[..., Platform]


@pytest.fixture(scope="session")
def all_images() -> str:
    """The image of each environment of this run, as JSON."""
    if not os.environ.get(IMAGES):
        pytest.fail(f'{IMAGES} is not set: JSON such as {{"python": "<image>", ...}}. `make test` builds them.')
    return os.environ[IMAGES]


@pytest.fixture(scope="session")
def images(all_images: str) -> str:
    """Those of the default environments. A platform starts a sandbox of each environment, which takes time."""
    return json.dumps({name: image for name, image in json.loads(all_images).items() if name in DEFAULT_ENVIRONMENTS})


@pytest.fixture(scope="session")
def stacks() -> Iterator[str]:
    """Unique stack labels."""
    run = uuid.uuid4().hex[:8]
    return (f"vps-test-{run}-{number}" for number in count())


@pytest.fixture(scope="session")
def engine(all_images: str, report: Report) -> Iterator[str]:
    """The URL of the Docker that runs the sandboxes: the machine's own, or for gVisor a second one that knows runsc."""
    machine = docker_engine.configured_url()
    if RUNTIME != "runsc":
        yield machine
        return
    if reason := own_docker.unavailable(RUNTIME):
        pytest.skip(f"gVisor can't run here: {reason}")
    names = list(json.loads(all_images).values())
    # On the file system of the image folders, so that their files can be hard links.
    folder = Path(tempfile.mkdtemp(prefix="gvisor-", dir=cache()))
    try:
        image_folders.copy(image_folders.ensure(DockerEngine(machine), names, "gvisor-images", report), folder)
        with own_docker.running(folder, RUNTIME) as own:
            yield own.engine.url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def shared(
    engine: str, all_images: str, stacks: Iterator[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    """The platform with the floor's profile and every environment, shared by most tests."""
    platform = Platform(next(stacks), engine, all_images, tmp_path_factory.mktemp("shared") / "platform")
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
def make_platform(engine: str, images: str, stacks: Iterator[str], tmp_path: Path) -> Iterator[MakePlatform]:
    """A factory of platforms that are not started, from environment variables of either process.

    Once stopped, none may leave a sandbox.
    """
    made: list[Platform] = []

    def make(**variables: str) -> Platform:
        made.append(Platform(next(stacks), engine, images, tmp_path / f"platform{len(made)}", **variables))
        return made[-1]

    yield make
    for platform in made:
        platform.stop_processes()
    left = [name for platform in made for name in platform.sandboxes()]
    for platform in made:
        platform.stop()
    assert left == []
