"""Metrics for Prometheus, on a port of their own."""

import json
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.api.metrics import Metrics
from app.executor.metrics import Metrics as ExecutorMetrics
from app.profile import SandboxProfile
from app.wire.problems import Code
from app.wire.protocol import ExecutionResult
from tests.unit.app.fake_executor import RESULT, FakeExecutor, refuses
from tests.unit.app.fake_visitor import built

pytestmark = pytest.mark.anyio

HELLO = {"environment": "python", "code": "print(1)"}


def client(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api")


async def samples(app: object) -> dict[tuple[str, ...], float]:
    """Each of the api's own samples that isn't zero, by its name and its labels' values."""
    async with client(app) as prometheus:
        response = await prometheus.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
        if sample.name.startswith("api_") and sample.value and not sample.name.endswith(("_bucket", "_created"))
    }


async def test_requests_executions_and_refusals_are_counted(executor: FakeExecutor) -> None:
    api = built(executor)
    async with client(api.public) as visitor:
        await visitor.post("/execute", json=HELLO)
        await visitor.post("/execute", json={**HELLO, "code": "import socket"})
        executor.answers["/execute"] = refuses(Code.BUSY, 1)
        await visitor.post("/v1/exec", json={"sandbox": "python", "files": {"": "1"}})
        await visitor.post("/execute", json={})
        for stranger in range(50):
            await visitor.get(f"/made/up/{stranger}")
    found = await samples(api.metrics)
    expected = {
        ("api_requests_total", "200", "/execute"): 2,
        ("api_requests_total", "422", "/execute"): 1,
        ("api_requests_total", "503", "/v1/exec"): 1,
        ("api_requests_total", "404", "other"): 50,
        ("api_executions_total", "python", "error"): 2,
        ("api_execution_seconds_count", "python"): 2,
        ("api_overhead_seconds_count", "python"): 2,
        ("api_refusals_total", "busy"): 1,
        ("api_refusals_total", "invalid_request"): 1,
        ("api_refusals_total", "not_found"): 50,
        ("api_pattern_warnings_total", "network"): 1,
        ("api_request_seconds_count", "other"): 50,
    }
    assert {name: found.get(name) for name in expected} == expected
    assert {name for name in found if "made" in "".join(name)} == set()


async def test_overhead_excludes_the_time_of_the_code() -> None:
    metrics = Metrics(SandboxProfile())
    result = ExecutionResult.model_validate_json(json.dumps(RESULT))
    metrics.executed(result, seconds=result.execution_time + 0.5)
    metrics.executed(result, seconds=result.execution_time - 0.01)  # Each process has its own clock.
    sums = {
        sample.labels["environment"]: sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
        if sample.name == "api_overhead_seconds_sum"
    }
    assert sums == {"python": pytest.approx(0.5)}


async def test_both_processes_export_the_limits_of_their_profile() -> None:
    profile = SandboxProfile(memory_mb=128)
    told = [
        {
            sample.labels["limit"]: sample.value
            for family in text_string_to_metric_families(text.decode())
            for sample in family.samples
            if sample.name == "sandbox_profile_limit"
        }
        for text in (Metrics(profile).text(), ExecutorMetrics(profile).exposition())
    ]
    assert told[0] == told[1]
    assert (told[0]["memory_mb"], told[0]["cpus"], told[0]["pids"]) == (128, 0.5, 50)
    assert not {"network", "user", "cap_drop", "read_only_root", "no_new_privileges"} & set(told[0])


async def test_the_executors_metrics_are_relayed(executor: FakeExecutor) -> None:
    async with client(built(executor).metrics) as prometheus:
        response = await prometheus.get("/metrics/executor")
    assert "executor_pool 3" in response.text
    async with client(built(executor, EXECUTOR_SOCKET="/nowhere/x.sock").metrics) as prometheus:
        response = await prometheus.get("/metrics/executor")
    assert response.status_code == 503


async def test_the_public_port_has_no_metrics(executor: FakeExecutor) -> None:
    async with client(built(executor).public) as visitor:
        for path in ("/metrics", "/metrics/", "/metrics/executor"):
            assert (await visitor.get(path)).status_code == 404


async def test_the_metrics_port_runs_no_code(executor: FakeExecutor) -> None:
    async with client(built(executor).metrics) as prometheus:
        assert (await prometheus.post("/execute", json=HELLO)).status_code == 404
