"""Attacks on the sandbox. After each attack the platform must be as healthy and fast as before."""

import statistics
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.sandbox.processes import RUNTIME, Platform

HELLO = "print('hello')"
RECOVERY_SECONDS = 30
"""Time until the sandboxes of an attack must be gone. Killing 50 busy processes takes most of a second."""
SLOWER = 3
"""Factor by which an execution may be slower afterwards. A busy machine varies by this much."""
NOISE_SECONDS = 1
"""Added to that, for short executions."""


@pytest.fixture(scope="session")
def runtime() -> str:
    """The name of the OCI runtime under test."""
    return RUNTIME


@pytest.fixture(scope="session")
def usual_seconds(shared: Platform) -> float:
    """Median time of a trivial execution before the first attack."""
    return statistics.median(_hello(shared) for _ in range(5))


@pytest.fixture
def platform(platform: Platform, usual_seconds: float) -> Iterator[Platform]:
    """The shared platform; after the attack it must be idle, healthy and not slower."""
    yield platform
    platform.wait_until_idle(RECOVERY_SECONDS)
    health = platform.health()
    assert (health.status_code, health.json()["status"]) == (200, "ok"), health.text
    load = httpx.get(f"{platform.url}/stats").json()["executor"]
    assert (load["running"], load["waiting"]) == (0, 0)
    longest = SLOWER * usual_seconds + NOISE_SECONDS
    assert any(_hello(platform) <= longest for _ in range(3)), (
        f"three trivial executions took longer than {longest:.1f} s each"
    )


def _hello(platform: Platform) -> float:
    started = time.monotonic()
    assert platform.run("python", HELLO)["stdout"] == "hello\n"
    return time.monotonic() - started
