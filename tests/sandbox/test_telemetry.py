"""Traces, logs and metrics of the two processes, for real executions and containers."""

import json
from collections.abc import Iterator

import httpx
import pytest

from tests.sandbox.conftest import MakePlatform
from tests.sandbox.processes import Platform
from tests.unit.app.collector import Collector, collecting
from tests.waiting import until

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
IDS = {"X-Request-Id": "r1", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
HELLO = {"environment": "python", "code": "print('secret words')"}

HOLDER = """
import signal
signal.signal(signal.SIGUSR1, lambda *_: b"x" * 300 * 1024**2)
held = b"x" * 100 * 1024**2
while True:
    signal.pause()
"""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


@pytest.fixture
def only_python(images: str) -> dict[str, str]:
    """Variables of an executor with Python alone, which starts faster."""
    return {
        "EXECUTOR_ENVIRONMENTS": json.dumps({"python": json.loads(images)["python"]}),
        "EXECUTOR_POOLS": '{"python": {"min": 1, "max": 2}}',
    }


def test_an_execution_is_one_trace_and_one_line_in_each_log(
    make_platform: MakePlatform, collector: Collector, only_python: dict[str, str]
) -> None:
    platform = make_platform(**only_python, EXECUTOR_TRACES="true", API_OTLP_ENDPOINT=collector.url).start()
    result = httpx.post(f"{platform.url}/execute", json=HELLO, headers=IDS, timeout=30).json()
    until(lambda: len(collector.spans) == 6, 10, "the spans to arrive")
    found = {span.name: span for span in collector.spans}
    assert {span.trace for span in found.values()} == {TRACE}
    below = {span.id: span.name for span in found.values()} | {"00f067aa0ba902b7": "edge"}
    assert {(span.service, span.name, below[span.parent]) for span in found.values()} == {
        ("api", "execute", "edge"),
        ("executor", "execution", "execute"),
        ("executor", "queue", "execution"),
        ("executor", "claim", "execution"),
        ("executor", "run", "execution"),
        ("executor", "clean-up", "execution"),
    }
    assert found["clean-up"].end > found["execution"].end
    assert platform.metric("executor_spans_dropped_total") == 0
    ids = {"request_id": "r1", "trace_id": TRACE, "execution_id": result["execution_id"], "status": "success"}
    for process, message in ((platform.api, "execution"), (platform.executor, "sandbox released")):
        assert process is not None
        lines = [json.loads(line) for line in process.log.read_text().splitlines()]
        (line,) = [line for line in lines if line["message"] == message]
        assert line.items() >= ids.items()
        assert "secret" not in process.log.read_text()


def test_metrics_of_the_services_containers(make_platform: MakePlatform, only_python: dict[str, str]) -> None:
    platform = make_platform(**only_python, EXECUTOR_CONTAINERS_SECONDS="0.2")
    holder = _service(platform, json.loads(only_python["EXECUTOR_ENVIRONMENTS"])["python"])
    try:
        platform.start()
        until(lambda: platform.metric("container_healthy", service="holder") == 1, 15, "the metric of its health")
        found = {sample.name: sample.value for sample in platform.samples() if sample.labels.get("service") == "holder"}
        assert 100 <= found["container_memory_bytes"] / 1024**2 <= 120
        assert found["container_memory_limit_bytes"] == 200 * 1024**2
        assert found["container_cpu_seconds_total"] > 0
        assert 1 <= found["container_pids"] <= 3  # its health check is a process too
        assert found["container_network_receive_bytes_total"] >= 0
        assert found["container_start_time_seconds"] > 1_700_000_000
        assert (found["container_restarts"], found["container_oom_killed"]) == (0, 0)
        platform.wait_until_idle()
        until(
            lambda: platform.metric("sandbox_containers") == platform.metric("sandbox_alive"),
            10,
            "the two counts of sandboxes to be equal",
        )
        too_much = ["python3", "-c", "import os, signal; os.kill(1, signal.SIGUSR1)"]
        platform.engine.exec_start(platform.engine.exec_create(holder, too_much)["Id"])
        until(lambda: platform.metric("container_restarts", service="holder") == 1, 15, "the metric of its restart")
        assert platform.metric("container_oom_killed", service="holder") == 1
    finally:
        platform.engine.remove_container(holder, force=True)
    until(
        lambda: not [sample for sample in platform.samples() if sample.labels.get("service")], 10, "its metrics to go"
    )


def _service(platform: Platform, image: str) -> str:
    """Start a container that is labelled as a service of the stack, and return its name.

    It holds 100 of its 200 MB of memory, and allocates 300 MB more on SIGUSR1.
    """
    docker = platform.engine
    container = docker.create_container(
        image,
        entrypoint=["python3", "-c", HOLDER],
        name=f"{platform.stack}-holder",
        labels={"vps.stack": platform.stack, "vps.service": "holder", "vps.role": "service"},
        healthcheck={"test": ["CMD", "true"], "interval": 1_000_000_000, "timeout": 5_000_000_000},
        host_config=docker.create_host_config(mem_limit="200m", restart_policy={"Name": "always"}),
    )
    docker.start(container)
    return f"{platform.stack}-holder"
