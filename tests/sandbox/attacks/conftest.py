"""Attacks on the sandbox. After each of them the platform must be as well as it was before."""

import statistics
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.sandbox.processes import RUNTIME, Platform, until

HELLO = "print('hello')"
RECOVERY_SECONDS = 15
"""Within these the sandboxes of an attack are gone. Killing 50 busy processes takes most of a second."""
SLOWER = 3
"""How many times the usual a hello may take afterwards: a busy machine varies by that, a harmed platform by more."""
NOISE_SECONDS = 0.3


@pytest.fixture(scope="session")
def runtime() -> str:
    """Which runtime holds the sandboxes."""
    return RUNTIME


@pytest.fixture(scope="session")
def usual_seconds(shared: Platform) -> float:
    """How long a hello takes before the first attack."""
    return statistics.median(_hello(shared) for _ in range(5))


@pytest.fixture(scope="session")
def idle_sandboxes(shared: Platform, usual_seconds: float) -> int:
    """How many sandboxes there are while nothing runs."""
    seen = [-1]

    def same() -> bool:
        time.sleep(1)
        seen.append(len(shared.sandboxes()))
        return seen[-1] == seen[-2]

    until(same, RECOVERY_SECONDS, "a number of idle sandboxes that stays")
    return seen[-1]


@pytest.fixture
def platform(platform: Platform, usual_seconds: float, idle_sandboxes: int) -> Iterator[Platform]:
    """The shared platform, which must be unharmed after the attack."""
    yield platform
    until(lambda: len(platform.sandboxes()) <= idle_sandboxes, RECOVERY_SECONDS, "the attack's sandboxes to be removed")
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
