"""The pool: each of its sandboxes runs one execution, and those that die are replaced."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.sandbox.conftest import MakePlatform
from tests.sandbox.processes import RUNTIME, Platform
from tests.waiting import until

HELLO = "print('hello')"


def test_a_sandbox_is_used_once(platform: Platform) -> None:
    before = set(platform.sandboxes())
    ids = [platform.run("python", HELLO)["execution_id"] for _ in range(4)]
    assert len(set(ids)) == 4
    platform.wait_until_idle()
    platform.wait_until_full("python", 1)
    left = set(platform.sandboxes())
    assert not left & set(ids)
    assert left != before


def test_a_burst_grows_the_pool_within_its_bounds(make_platform: MakePlatform) -> None:
    bounds = {"python": {"min": 1, "max": 2}}
    bounds |= {name: {"min": 0, "max": 1} for name in ("python-data", "node", "bash")}
    platform = make_platform(EXECUTOR_POOLS=json.dumps(bounds)).start()
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: platform.run("python", HELLO)["status"], range(20)))
    assert answers == ["success"] * 20
    platform.wait_until_full("python", 2)
    platform.wait_until_idle()
    assert len(platform.sandboxes()) <= 5
    assert platform.run("bash", "echo none was ready")["status"] == "success"


def test_an_idle_sandbox_that_is_killed_is_replaced(platform: Platform) -> None:
    platform.wait_until_full("python", 1)
    died = platform.metric("sandbox_died_idle_total")
    killed = platform.sandboxes()
    for sandbox in killed:
        platform.executor.kill(sandbox)
    until(
        lambda: platform.metric("sandbox_died_idle_total") == died + len(killed),
        10,
        "the executor to count the killed sandboxes",
    )
    answer = platform.run("python", HELLO)
    assert (answer["status"], answer["stdout"]) == ("success", "hello\n")
    until(lambda: not set(killed) & set(platform.sandboxes()), 10, "the killed sandboxes to be removed")


def test_a_running_sandbox_that_is_killed_from_outside(platform: Platform) -> None:
    with platform.stream("python", "print('up')\nwhile True: pass") as stream:
        started = stream.receive()
        stream.until_output("up\n")
        platform.executor.kill(started["execution_id"])
        result = stream.end()
    assert (result["status"], result["stdout"]) == ("killed", "up\n")


def _seconds_to_refusal(platform: Platform, times: int) -> Iterator[float]:
    """The seconds that each of `times` requests waits for its 503. The least of them is free of other load."""
    with httpx.Client(base_url=platform.url) as client:
        for _ in range(times):
            started = time.monotonic()
            assert client.post("/execute", json={"environment": "python", "code": HELLO}).status_code == 503
            yield time.monotonic() - started


def test_a_full_queue_refuses_at_once_and_a_queued_execution_after_its_deadline(make_platform: MakePlatform) -> None:
    platform = make_platform(EXECUTOR_CONCURRENCY="1", EXECUTOR_QUEUE="1", EXECUTOR_QUEUE_SECONDS="3").start()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(platform.run, "python", "while True: pass", timeout=8)
        platform.wait_for_run()
        started = time.monotonic()
        second = pool.submit(platform.post, "python", HELLO)
        until(lambda: platform.metric("sandbox_queue") == 1, 5, "the queue to be full")
        assert min(_seconds_to_refusal(platform, 10)) < 0.05
        refused = second.result()
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "3")
        assert 3 <= time.monotonic() - started < 6
        first.result()


ENDS = (
    "print()",
    "raise SystemExit(3)",
    "import os; os.fork()",
    "import os; os.kill(os.getpid(), 9)",
    "bytearray(2**29)",
)
"""Programs that end in different ways."""
EXECUTIONS = 60 if RUNTIME == "runsc" else 200
OWN_DESCRIPTORS, DESCRIPTORS_OF_A_SANDBOX = 30, 8


def test_many_executions_leave_no_file_mount_process_or_descriptor(platform: Platform) -> None:
    """A third of them is made to order. gVisor's own processes, and the files of either runtime, go too."""

    def run(number: int) -> None:
        platform.run("python", ENDS[number % len(ENDS)], args=["x"] * (number % 3 == 0))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(EXECUTIONS)))
    platform.wait_until_idle(30)
    alive = set(platform.sandboxes())
    kept, descriptors = platform.executor.kept()
    assert kept == alive
    assert descriptors <= OWN_DESCRIPTORS + DESCRIPTORS_OF_A_SANDBOX * len(alive)
