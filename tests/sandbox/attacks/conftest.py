"""Attacks on the sandbox. After each attack the platform must be as healthy and fast as before."""

import statistics
import time
from collections.abc import Iterator, Mapping

import httpx
import pytest

from app.environments import ENVIRONMENTS
from tests.sandbox.attacks.carrier import armed
from tests.sandbox.executor import Host
from tests.sandbox.processes import ANSWER_SECONDS, RUNTIME, Platform
from tests.waiting import SLOWNESS

HELLO = "print('hello')"
RECOVERY_SECONDS = 30
"""Time until the sandboxes of an attack must be gone. Killing 50 busy processes takes most of a second."""
SLOWER = 3
"""Factor by which an execution may be slower afterwards. A busy machine varies by this much."""
NOISE_SECONDS = 1 * SLOWNESS
"""Added to that, for short executions."""


@pytest.fixture(scope="session")
def runtime() -> str:
    """The name of the OCI runtime under test."""
    return RUNTIME


@pytest.fixture(scope="session")
def attacked(
    host: Host, images: Mapping[str, str], names: Iterator[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    """The platform of all attacks, with the floor's profile, and a Python in each environment that this run has."""
    environments = [name for name in ENVIRONMENTS if name in images]
    folder = tmp_path_factory.mktemp("attacked") / "it"
    with armed(host.client, environments) as image:
        platform = Platform(host, next(names), environments, folder, image=image)
        try:
            yield platform.start()
        finally:
            platform.stop()


@pytest.fixture(scope="session")
def usual_seconds(attacked: Platform) -> float:
    """Median time of a trivial execution before the first attack."""
    return statistics.median(_hello(attacked) for _ in range(5))


@pytest.fixture
def platform(attacked: Platform, usual_seconds: float) -> Iterator[Platform]:
    """The attacked platform; after the attack it must be idle, healthy and not slower."""
    platform = attacked
    yield platform
    platform.wait_until_idle(RECOVERY_SECONDS)
    health = platform.health()
    assert (health.status_code, health.json()["status"]) == (200, "ok"), health.text
    load = httpx.get(f"{platform.url}/stats", timeout=ANSWER_SECONDS).json()["executor"]
    assert (load["running"], load["waiting"]) == (0, 0)
    longest = SLOWER * usual_seconds + NOISE_SECONDS
    assert any(_hello(platform) <= longest for _ in range(3)), (
        f"three trivial executions took longer than {longest:.1f} s each"
    )


def _hello(platform: Platform) -> float:
    started = time.monotonic()
    assert platform.run("python", HELLO)["stdout"] == "hello\n"
    return time.monotonic() - started
