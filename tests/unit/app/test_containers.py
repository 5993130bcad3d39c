"""The services' containers, as the engine's answers tell them under either version of cgroups."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from app.executor.containers import Containers, figures
from app.executor.docker_api import Listed
from app.executor.engine import EngineError
from tests.unit.app.fakes import Notes
from tests.waiting import comes_to_hold

pytestmark = pytest.mark.anyio

RUNNING = {
    "RestartCount": 2,
    "State": {
        "Running": True,
        "OOMKilled": False,
        "StartedAt": "2026-11-23T18:21:41.564107287Z",
        "Health": {"Status": "healthy"},
    },
}
COUNTED = {
    "cpu_stats": {"cpu_usage": {"total_usage": 2_500_000_000}},
    "memory_stats": {"usage": 1000, "limit": 4000, "stats": {"inactive_file": 300}},
    "pids_stats": {"current": 7},
    "networks": {"eth0": {"rx_bytes": 10, "tx_bytes": 1}, "eth1": {"rx_bytes": 5, "tx_bytes": 2}},
}


class FakeCalls:
    """Two services, one that goes away while it is asked for, and two sandboxes; or no answer, or a strange one."""

    def __init__(self) -> None:
        self.away = False
        self.inspected: dict[str, Mapping[str, Any]] = {"1": RUNNING, "2": RUNNING, "3": {}}

    async def find(self, labels: Sequence[str]) -> Sequence[Listed]:
        if self.away:
            raise EngineError("no answer")
        if "vps.sandbox" in labels:
            return [Listed("8", {}), Listed("9", {})]
        assert labels == ["vps.stack=s", "vps.service", "vps.role=service"]
        return [Listed(identity, {"vps.service": name}) for identity, name in (("1", "api"), ("2", "loki"), ("3", "x"))]

    async def inspect(self, name: str) -> Mapping[str, Any]:
        return self.inspected[name]

    async def stats(self, name: str) -> Mapping[str, Any]:
        return COUNTED


def told(containers: Containers) -> dict[tuple[str, ...], float]:
    """Each sample by its name and its labels' values."""
    registry = CollectorRegistry()
    registry.register(containers)
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }


async def test_each_service_is_told_by_its_name_alone() -> None:
    containers = Containers(FakeCalls(), "s", Notes(), 15)
    assert told(containers) == {}
    await containers.read()
    found = told(containers)
    assert {name: value for name, value in found.items() if "api" in name} == {
        ("container_cpu_seconds_total", "api"): 2.5,
        ("container_memory_bytes", "api"): 700,
        ("container_memory_limit_bytes", "api"): 4000,
        ("container_network_receive_bytes_total", "api"): 15,
        ("container_network_transmit_bytes_total", "api"): 3,
        ("container_pids", "api"): 7,
        ("container_restarts", "api"): 2,
        ("container_oom_killed", "api"): 0,
        ("container_healthy", "api"): 1,
        ("container_start_time_seconds", "api"): 1795458101.564107,
    }
    assert {name[1] for name in found if len(name) > 1} == {"api", "loki"}
    assert found["sandbox_containers",] == 2


@pytest.mark.parametrize(
    ("kernel", "memory"),
    [
        ({"total_inactive_file": 400, "inactive_file": 1}, 600),
        ({"inactive_file": 300}, 700),
        ({"inactive_file": 1000}, 1000),
        ({}, 1000),
    ],
)
def test_memory_is_counted_as_the_docker_client_does(kernel: dict[str, int], memory: int) -> None:
    stats = {"memory_stats": {"usage": 1000, "limit": 4000, "stats": kernel}}
    assert figures(RUNNING, stats)["container_memory_bytes"] == memory


def test_what_a_container_does_not_have_is_left_out() -> None:
    state = {"Running": False, "OOMKilled": True, "Health": {"Status": "healthy"}}
    ended = {"container_restarts": 0, "container_oom_killed": 1, "container_healthy": 0}
    assert figures({"RestartCount": 0, "State": state}, COUNTED) == ended
    state = {"Running": True, "OOMKilled": False, "StartedAt": "2026-11-23T18:21:41Z"}
    without_network = {name: value for name, value in COUNTED.items() if name != "networks"}
    found = figures({"RestartCount": 0, "State": state}, without_network)
    assert not {"container_healthy", "container_network_receive_bytes"} & set(found)


@pytest.mark.parametrize("strange", [False, True])
async def test_without_an_answer_there_are_no_figures_and_the_next_is_waited_for(strange: bool) -> None:
    calls, notes = FakeCalls(), Notes()
    containers = Containers(calls, "s", notes, 0.1)
    reading = asyncio.create_task(containers.read_forever())
    await comes_to_hold(lambda: told(containers))
    if strange:
        calls.inspected["1"] = {"State": None}
    else:
        calls.away = True
    await comes_to_hold(lambda: notes.heard)
    assert told(containers) == {}
    calls.away, calls.inspected["1"] = False, RUNNING
    await comes_to_hold(lambda: told(containers))
    assert set(notes.heard) == {("engine_failed", "read")}
    reading.cancel()


async def test_an_old_reading_is_not_told() -> None:
    containers = Containers(FakeCalls(), "s", Notes(), 0.001)
    await containers.read()
    await asyncio.sleep(0.01)
    assert told(containers) == {}
