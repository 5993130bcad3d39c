"""Attacks on the sandbox. After each of them the platform must be as well as it was before."""

import statistics
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.sandbox.processes import RUNTIME, Platform

HELLO = "print('hello')"
RECOVERY_SECONDS = 30
"""Within these the sandboxes of an attack are gone. Killing 50 busy processes takes most of a second."""
SLOWER = 3
"""How many times the usual a hello may take afterwards: a busy machine varies by that, a harmed platform by more."""
NOISE_SECONDS = 1


@pytest.fixture(scope="session")
def runtime() -> str:
    """Which runtime holds the sandboxes."""
    return RUNTIME


@pytest.fixture(scope="session")
def usual_seconds(shared: Platform) -> float:
    """How long a hello takes before the first attack."""
    return statistics.median(_hello(shared) for _ in range(5))


@pytest.fixture
def platform(platform: Platform, usual_seconds: float) -> Iterator[Platform]:
    """The shared platform, which must be unharmed after the attack."""
    yield platform
    platform.wait_until_idle(RECOVERY_SECONDS)
    health = platform.health()
    assert (health.status_code, health.json()["status"]) == (200, "ok"), health.text
    load = httpx.get(f"{platform.url}/stats").json()["executor"]
    assert (load["running"], load["waiting"]) == (0, 0)
    longest = SLOWER * usual_seconds + NOISE_SECONDS
    assert any(_hello(platform) <= longest for _ in range(3)), f"three hellos took longer than {longest:.1f} s"


def _hello(platform: Platform) -> float:
    started = time.monotonic()
    assert platform.run("python", HELLO)["stdout"] == "hello\n"
    return time.monotonic() - started
