"""The executor's container lacks something, or loses a process: whoever runs is told, and the platform recovers."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from app.runtimes import RUNTIMES
from tests.sandbox.conftest import MakePlatform
from tests.sandbox.processes import RUNTIME, Answer, Platform
from tests.waiting import until

HELLO = "print('hello')"
HOG = "held = bytes([1]) * 2**20 * 200\nprint('held')"
FORK = "import os\nprint('begun', flush=True)\ninput()\nos.fork()"
SLEEP = "import time\nprint('begun', flush=True)\ntime.sleep(6)\nprint('ended')"
NOT_TOUCHED, ENDED = ("success", "begun\nended\n", None), ("killed", "begun\n", "The code was stopped before its end.")
SECONDS = 30


@pytest.fixture
def platform(make_platform: MakePlatform) -> Platform:
    """A platform with Python alone."""
    bounds = '{"python": {"min": 1, "max": 2}}'
    return make_platform(EXECUTOR_ENVIRONMENTS='["python"]', EXECUTOR_POOLS=bounds).start()


def _refusal(platform: Platform, **more: object) -> httpx.Response | None:
    answer = platform.post("python", HELLO, **more)
    return answer if answer.status_code != httpx.codes.OK else None


def test_executions_are_refused_until_the_container_has_processes_left(platform: Platform) -> None:
    """Sandboxes that were made before still run code; then each execution is refused, with the cause in the log."""
    platform.wait_until_full("python", 1)
    platform.wait_until_idle()
    platform.executor.bound(pids_limit=str(len(platform.executor.processes())))
    refused = until(lambda: _refusal(platform), SECONDS, "a refusal")
    _check_refusal(refused)
    assert platform.health().json()["engine"] == "failing"
    assert "no sandbox of python can be made" in platform.executor.log()
    platform.executor.bound(pids_limit="-1")
    _check_recovery(platform)


def test_a_container_without_memory_ends_code_and_not_the_executor(platform: Platform) -> None:
    """The code stays below the memory of its own sandbox."""
    assert platform.run("python", HOG)["stdout"] == "held\n"
    platform.wait_until_idle()
    platform.executor.bound(memory="190m", memory_swap="190m")
    answer = platform.post("python", HOG)
    _check_refusal(answer)
    _check_lacking(answer.json(), "memory")
    with platform.stream("python", HOG) as stream:
        _check_lacking(stream.end(), "memory")
    _check_recovery(platform)


def test_code_that_runs_in_a_container_without_processes_is_told_so(platform: Platform) -> None:
    """The code stays below the processes of its own sandbox."""
    with platform.stream("python", FORK) as stream:
        stream.until_output("begun")
        platform.executor.bound(pids_limit="1")
        stream.send("stdin", data="\n")
        _check_lacking(stream.end(), "processes")
    platform.executor.bound(pids_limit="-1")
    _check_recovery(platform)


def test_executions_are_refused_until_the_sandboxes_file_system_has_room(platform: Platform) -> None:
    """It is in memory. The executor writes to no disk, so that a full one is no matter of its."""
    platform.wait_until_idle()
    # It is filled all the time: a sandbox that goes leaves room for the next one.
    fill = "timeout 15 sh -c 'while :; do cat /dev/zero; done >>/run/sandboxes/filler 2>/dev/null'; true"
    with ThreadPoolExecutor(1) as pool:
        pool.submit(platform.executor.inside, "sh", "-c", fill)
        _check_refusal(until(lambda: _refusal(platform), SECONDS, "a refusal"))
    assert "no sandbox of python can be made" in platform.executor.log()
    platform.executor.inside("rm", "/run/sandboxes/filler")
    _check_recovery(platform)


def test_executions_are_refused_while_the_runtime_is_killed(platform: Platform) -> None:
    """Arguments have each sandbox made to order."""
    platform.wait_until_idle()
    with ThreadPoolExecutor(1) as pool:
        killing = pool.submit(platform.executor.kill_runtimes, RUNTIME, seconds=3)
        _check_refusal(until(lambda: _refusal(platform, args=["x"]), SECONDS, "a refusal"))
        killing.result()
    assert f"{RUNTIME} could not start a sandbox" in platform.executor.log()
    _check_recovery(platform)


def test_code_that_runs_when_the_runtime_is_killed_has_an_end(platform: Platform) -> None:
    """crun is gone once it has started a sandbox. gVisor's processes hold the code until it ends."""
    with ThreadPoolExecutor(1) as pool, platform.stream("python", SLEEP) as stream:
        stream.until_output("begun")
        killing = pool.submit(platform.executor.kill_runtimes, RUNTIME, seconds=3)
        _check_refusal(until(lambda: _refusal(platform, args=["x"]), SECONDS, "a refusal"))
        killing.result()
        end = stream.end()
    assert (end["status"], end["stdout"], end["error"]) == (ENDED if RUNTIMES[RUNTIME].own_kernel else NOT_TOUCHED)
    _check_recovery(platform)


def test_all_ends_with_the_executors_process_and_nothing_is_left_at_the_next_start(platform: Platform) -> None:
    platform.wait_until_idle()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(platform.post, "python", "while True: pass")
        platform.wait_for_run()
        platform.executor.kill_itself()
        assert (answer.result().status_code, answer.result().json()["code"]) == (503, "executor_unavailable")
    platform.executor.restart()
    _check_recovery(platform)


def _check_refusal(refused: httpx.Response) -> None:
    assert (refused.status_code, refused.json()["code"]) == (503, "engine_unavailable")
    assert int(refused.headers["retry-after"]) > 0


def _check_lacking(problem: Answer, what: str) -> None:
    assert problem["code"] == "engine_unavailable", problem
    assert problem["detail"].startswith(f"The platform had no {what} left for your code. This is a fault of the")


def _check_recovery(platform: Platform) -> None:
    platform.wait_until_well()
    assert platform.run("python", HELLO)["stdout"] == "hello\n"
    platform.wait_until_idle()
