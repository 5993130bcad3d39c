"""A full disk under a second Docker: executions are refused while it is full, and run again afterwards."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.runtimes import ENGINES_OWN
from tests import own_docker
from tests.sandbox.processes import Platform
from tests.waiting import until
from tools.machine import docker_engine
from tools.machine.docker_engine import DockerEngine

_SIZE = 400 * 2**20
"""Size of the disk in bytes: three times the image."""
_SECONDS = 30
HELLO = "echo hello"


class Disk:
    """A file system in a file, mounted over a loop device."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "disk"
        self._file = folder / "disk.ext4"
        self._filling = self.root / "filling"

    def mount(self) -> None:
        """Create and mount it. The test is skipped where mounting is not possible."""
        self.root.mkdir()
        with self._file.open("wb") as file:
            file.truncate(_SIZE)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", self._file], check=True)
        mount = ["mount", "-o", "loop", str(self._file), str(self.root)]
        mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
        if mounted.returncode:
            pytest.skip(f"a loop device can't be mounted here: {mounted.stderr.strip()}")

    def fill(self) -> None:
        """Fill the free space to the last block. Call it again after something was freed."""
        with self._filling.open("ab") as filling:
            for step in (2**20, 2**12):
                size = os.fstat(filling.fileno()).st_size
                try:
                    while True:
                        os.posix_fallocate(filling.fileno(), size, step)
                        size += step
                except OSError:
                    continue

    def free(self) -> None:
        """Free the space that `fill` took."""
        self._filling.unlink()

    def close(self) -> None:
        """Unmount it and delete the file."""
        subprocess.run(["umount", self.root], check=True)
        self._file.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk for Docker's data folder alone."""
    if reason := own_docker.unavailable("mkfs.ext4"):
        pytest.skip(f"a second Docker can't run here: {reason}")
    disk = Disk(tmp_path)
    disk.mount()
    try:
        yield disk
    finally:
        disk.close()


@pytest.fixture
def platform(disk: Disk, images: str, stacks: Iterator[str], tmp_path: Path) -> Iterator[Platform]:
    """A platform with Bash alone, whose Docker stores its data on that disk."""
    bash = json.loads(images)["bash"]
    with own_docker.running(disk.root) as own:
        own.take_images(DockerEngine(docker_engine.configured_url()), [bash])
        platform = Platform(
            next(stacks),
            own.engine.url,
            json.dumps({"bash": bash}),
            tmp_path / "platform",
            EXECUTOR_RUNTIME=ENGINES_OWN,
        )
        try:
            yield platform.start()
        finally:
            platform.stop()


def test_executions_are_refused_until_a_full_disk_has_space(platform: Platform, disk: Disk) -> None:
    """Sandboxes that were made before still run code; then each execution is refused, with the cause in the log."""
    platform.wait_until_full("bash", 1)
    refused = until(lambda: _refusal(platform, disk), _SECONDS, "a refusal")
    assert (refused.status_code, refused.json()["code"]) == (503, "engine_unavailable")
    assert refused.headers["content-type"] == "application/problem+json"
    assert int(refused.headers["retry-after"]) > 0
    assert refused.elapsed.total_seconds() < _SECONDS
    health = until(lambda: _illness(platform, disk), _SECONDS, "an unhealthy GET /health")
    assert (health.status_code, health.json()["engine"]) == (503, "failing")
    assert platform.executor is not None
    assert "no space left on device" in platform.executor.log.read_text()
    until(lambda: _nothing_is_left(platform, disk), _SECONDS, "sandboxes that could not be made to be removed")

    disk.free()
    platform.wait_until_well()
    platform.wait_until_full("bash", 1)
    assert platform.run("bash", HELLO)["stdout"] == "hello\n"
    platform.wait_until_idle()


def _refusal(platform: Platform, disk: Disk) -> httpx.Response | None:
    disk.fill()  # a sandbox that has ended freed its space
    answer = platform.post("bash", HELLO)
    return answer if answer.status_code != httpx.codes.OK else None


def _illness(platform: Platform, disk: Disk) -> httpx.Response | None:
    _refusal(platform, disk)
    answer = platform.health()
    return answer if answer.status_code != httpx.codes.OK else None


def _nothing_is_left(platform: Platform, disk: Disk) -> bool:
    disk.fill()
    return platform.metric("sandbox_alive") == len(platform.sandboxes()) == 0
