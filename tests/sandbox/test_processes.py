"""What happens when the api, the executor or the client goes away, and when the platform is overloaded."""

import json
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from tests.sandbox.conftest import MakePlatform
from tests.sandbox.processes import START_SECONDS, Platform
from tests.waiting import until

FOREVER = "while True: pass"
HELLO = "print('hello')"


@contextmanager
def running(platform: Platform, seconds: float = 20) -> Iterator[list[httpx.Response | httpx.TransportError]]:
    """An execution with a timeout of `seconds` runs during the block; the list has its answer or error afterwards."""
    ends: list[httpx.Response | httpx.TransportError] = []

    def post() -> None:
        try:
            ends.append(platform.post("python", FOREVER, timeout=seconds))
        except httpx.TransportError as error:
            ends.append(error)

    poster = threading.Thread(target=post)
    poster.start()
    try:
        platform.wait_for_run()
        yield ends
    finally:
        poster.join()


def test_concurrent_executions_do_not_mix_their_output(platform: Platform) -> None:
    def run(number: int) -> bool:
        return bool(platform.run("python", f"print({number})")["stdout"] == f"{number}\n")

    with ThreadPoolExecutor(12) as pool:
        assert all(pool.map(run, range(12)))
    assert httpx.get(f"{platform.url}/stats").json()["executor"] == {"running": 0, "waiting": 0, "concurrency": 4}


def test_a_full_platform_refuses_with_busy_until_it_has_room(make_platform: MakePlatform) -> None:
    platform = make_platform(EXECUTOR_CONCURRENCY="1", EXECUTOR_QUEUE="0", EXECUTOR_QUEUE_SECONDS="3").start()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(platform.run, "python", FOREVER, timeout=3)
        platform.wait_for_run()
        refused = platform.post("python", HELLO)
        assert (refused.status_code, refused.json()["code"]) == (503, "busy")
        assert refused.headers["retry-after"] == "3"
        assert platform.health().json() == {"status": "ok", "engine": "reachable", "active_sandboxes": 1}
        assert first.result()["status"] == "timeout"
    assert platform.run("python", HELLO)["status"] == "success"


def test_a_client_that_disconnects_ends_its_execution(platform: Platform) -> None:
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{platform.url}/execute", json={"environment": "python", "code": FOREVER}, timeout=1)
    platform.wait_until_idle()
    assert httpx.get(f"{platform.url}/stats").json()["executor"]["running"] == 0


def test_clients_that_disconnect_at_any_moment_leave_no_sandbox(platform: Platform) -> None:
    def leave(number: int) -> None:
        with pytest.raises(httpx.ReadTimeout):
            body = {"environment": "python", "code": FOREVER}
            httpx.post(f"{platform.url}/execute", json=body, timeout=0.02 + number * 0.01)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(leave, range(40)))
    platform.wait_until_idle()
    assert platform.health().json()["active_sandboxes"] == 0
    assert platform.run("python", HELLO)["status"] == "success"


def test_executions_end_when_the_api_is_killed(make_platform: MakePlatform) -> None:
    platform = make_platform().start()
    with running(platform) as ends:
        assert platform.api is not None
        platform.api.signal(signal.SIGKILL)
        platform.wait_until_idle()
    assert isinstance(ends[0], httpx.TransportError)
    platform.start_api()
    platform.wait_until_well()
    assert platform.run("python", HELLO)["status"] == "success"


def test_an_executor_that_is_killed_ends_with_its_sandboxes_and_can_start_anew(make_platform: MakePlatform) -> None:
    platform = make_platform().start()
    with running(platform) as ends:
        platform.executor.signal(signal.SIGKILL)
    assert isinstance(ends[0], httpx.Response)
    assert (ends[0].status_code, ends[0].json()["code"]) == (503, "executor_unavailable")
    assert platform.health().status_code == 503
    assert not platform.executor.running
    platform.executor.start()
    platform.wait_until_well()
    assert platform.run("python", HELLO)["status"] == "success"
    platform.wait_until_idle()


def test_runs_end_with_a_refusal_when_the_executor_is_stopped(make_platform: MakePlatform) -> None:
    platform = make_platform().start()
    with running(platform) as ends:
        assert platform.executor.signal(signal.SIGTERM) < 10
    assert isinstance(ends[0], httpx.Response)
    assert (ends[0].status_code, ends[0].json()["code"]) == (503, "engine_unavailable")


@pytest.mark.parametrize("seconds", [0, 0.5, 1, 1.5, 2, 3, 4])
def test_an_executor_that_is_stopped_before_it_serves_ends_at_once(make_platform: MakePlatform, seconds: float) -> None:
    executor = make_platform().executor
    executor.start()
    # Until runc has executed the command, it is runc itself that a signal ends.
    until(lambda: not executor.processes()[0].endswith("runc init"), START_SECONDS, "the start of the command")
    time.sleep(seconds)
    assert executor.signal(signal.SIGTERM) < 5
    code, log = executor.wait(START_SECONDS)
    assert code == 0
    assert {json.loads(line)["level"] for line in log.splitlines()} <= {"info", "warning"}


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"EXECUTOR_PROFILE": '{"network": "host"}'}, ["EXECUTOR_PROFILE", "network is 'host'"]),
        (
            {"EXECUTOR_PROFILE": '{"pids": 51, "user": "root"}'},
            ["pids is 51, and must be at most 50", "user is 'root', and must be exactly 'own'"],
        ),
        ({"EXECUTOR_CONCURRENCY": "none"}, ["EXECUTOR_CONCURRENCY", "from 1 to 256"]),
        ({"EXECUTOR_ENVIRONMENTS": '["cobol"]'}, ["EXECUTOR_ENVIRONMENTS", "no environment cobol"]),
        ({"EXECUTOR_RUNTIME": "no-such-runtime"}, ["no-such-runtime", "EXECUTOR_RUNTIME"]),
        ({"EXECUTOR_ROOTS": "/nonexistent"}, ["/nonexistent"]),
    ],
)
def test_the_executor_refuses_to_start_on_settings_that_cannot_work(
    make_platform: MakePlatform, variables: dict[str, str], words: list[str]
) -> None:
    executor = make_platform(**variables).executor
    executor.start()
    code, log = executor.wait(START_SECONDS)
    assert code == 1
    assert "Traceback" not in log
    for word in words:
        assert word in log
