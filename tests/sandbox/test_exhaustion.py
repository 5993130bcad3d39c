"""The limits of the executor's own container are reached: whoever runs is told, and the platform recovers."""

import httpx
import pytest

from tests.sandbox.conftest import MakePlatform
from tests.sandbox.processes import Platform
from tests.waiting import until

HELLO = "print('hello')"
HOG = "held = bytes([1]) * 2**20 * 200\nprint('held')"
SECONDS = 30


@pytest.fixture
def platform(make_platform: MakePlatform) -> Platform:
    """A platform with Python alone."""
    bounds = '{"python": {"min": 1, "max": 2}}'
    return make_platform(EXECUTOR_ENVIRONMENTS='["python"]', EXECUTOR_POOLS=bounds).start()


def _refusal(platform: Platform) -> httpx.Response | None:
    answer = platform.post("python", HELLO)
    return answer if answer.status_code != httpx.codes.OK else None


def test_executions_are_refused_until_the_container_has_processes_left(platform: Platform) -> None:
    """Sandboxes that were made before still run code; then each execution is refused, with the cause in the log."""
    platform.wait_until_full("python", 1)
    platform.wait_until_idle()
    platform.executor.bound(pids_limit=str(len(platform.executor.processes())))
    refused = until(lambda: _refusal(platform), SECONDS, "a refusal")
    assert (refused.status_code, refused.json()["code"]) == (503, "engine_unavailable")
    assert int(refused.headers["retry-after"]) > 0
    assert platform.health().json()["engine"] == "failing"
    assert "no sandbox of python can be made" in platform.executor.log()
    platform.executor.bound(pids_limit="-1")
    platform.wait_until_well()
    assert platform.run("python", HELLO)["stdout"] == "hello\n"
    platform.wait_until_idle()


def test_a_container_without_memory_ends_code_and_not_the_executor(platform: Platform) -> None:
    """The code stays below the memory of its own sandbox."""
    assert platform.run("python", HOG)["stdout"] == "held\n"
    platform.wait_until_idle()
    platform.executor.bound(memory="190m", memory_swap="190m")
    answer = platform.run("python", HOG)
    assert (answer["status"], answer["stdout"]) == ("memory_limit", "")
    platform.wait_until_well()
    assert platform.run("python", HELLO)["stdout"] == "hello\n"
    platform.wait_until_idle()
