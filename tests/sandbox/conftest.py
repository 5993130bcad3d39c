"""Platforms for the tests of the sandbox. Each has its own label, and what a test leaves behind fails it."""

import os
import uuid
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.sandbox.processes import Platform

IMAGES = "VPS_SANDBOX_IMAGES"

MakePlatform = Callable[..., Platform]


@pytest.fixture(scope="session")
def images() -> str:
    """Environment to image, as JSON."""
    if not os.environ.get(IMAGES):
        pytest.fail(f'{IMAGES} is not set: JSON such as {{"python": "<image>", ...}}. `make test` builds them.')
    return os.environ[IMAGES]


@pytest.fixture(scope="session")
def stacks() -> Iterator[str]:
    """Stack labels that nothing else uses."""
    run = uuid.uuid4().hex[:8]
    return (f"vps-test-{run}-{number}" for number in count())


@pytest.fixture(scope="session")
def shared(images: str, stacks: Iterator[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The platform with the floor's profile that most tests share."""
    platform = Platform(next(stacks), images, tmp_path_factory.mktemp("shared") / "platform")
    try:
        yield platform.start()
    finally:
        platform.stop()


@pytest.fixture
def platform(shared: Platform) -> Iterator[Platform]:
    """The shared platform, held to leaving no run behind, and no sandbox that the executor doesn't know."""
    yield shared
    shared.wait_until_idle()


@pytest.fixture
def make_platform(images: str, stacks: Iterator[str], tmp_path: Path) -> Iterator[MakePlatform]:
    """Makes a platform of the test's own, not started, from the executor's variables. Stopped, it must leave none."""
    made: list[Platform] = []

    def make(**variables: str) -> Platform:
        made.append(Platform(next(stacks), images, tmp_path / f"platform{len(made)}", **variables))
        return made[-1]

    yield make
    for platform in made:
        platform.stop_processes()
    left = [name for platform in made for name in platform.sandboxes()]
    for platform in made:
        platform.stop()
    assert left == []
