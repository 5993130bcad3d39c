"""The figures of containers, from a container-exporter that runs as the program declares it."""

from collections.abc import Iterator

import httpx
import pytest
from docker.models.containers import Container
from prometheus_client.parser import text_string_to_metric_families

from tests.declared import DeclaredServices
from tests.stack.holder import exceed_memory
from tests.stack.holder import start as holder_of
from tests.waiting import until
from tools.machine.preparation import Preparation

EXPORTER = "container-exporter"
WRITE = """
import os, sys
for folder, _, files in os.walk(sys.argv[1]):
    for path in (folder + "/made", *(f"{folder}/{file}" for file in files)):
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT))
        except OSError:
            continue
        sys.exit(f"{path} can be written")
"""


@pytest.fixture(scope="module")
def services(prepared: Preparation) -> Iterator[DeclaredServices]:
    found = DeclaredServices(prepared)
    try:
        found.start(EXPORTER)
        name = f"{found.prefix}-{EXPORTER}"
        until(lambda: found.client.containers.get(name).health == "healthy", 30, "the exporter to be healthy")
        yield found
    finally:
        found.remove()


def figures(services: DeclaredServices, service: str) -> dict[str, float]:
    """What the exporter says of a service by the metric's name; empty until it answers."""
    try:
        text = httpx.get(f"http://{services.address(EXPORTER)}:9400/metrics").text
    except httpx.TransportError:
        return {}
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return {sample.name: sample.value for sample in samples if sample.labels.get("service") == service}


@pytest.fixture
def holder(services: DeclaredServices, prepared: Preparation) -> Container:
    """The container of `holder.start`, which goes with the services."""
    return holder_of(services.client, prepared.images.references["sandbox-python"], services.prefix)


def kill_for_memory(services: DeclaredServices, holder: Container, times: int) -> None:
    """Have the kernel kill the holder, and see it counted."""
    until(lambda: figures(services, "holder").get("container_memory_bytes", 0) > 100 * 1024**2, 20, "its memory")
    exceed_memory(holder)
    until(lambda: figures(services, "holder").get("container_memory_kills_total") == times, 20, "the count of the kill")
    assert figures(services, "holder")["container_restarts"] == times


def test_figures_of_a_service_until_its_container_is_gone(services: DeclaredServices, holder: Container) -> None:
    until(lambda: figures(services, "holder").get("container_memory_bytes", 0) > 100 * 1024**2, 20, "its memory")
    found = figures(services, "holder")
    assert found["container_memory_bytes"] <= 120 * 1024**2
    assert found["container_memory_limit_bytes"] == 200 * 1024**2
    assert found["container_cpu_seconds_total"] > 0
    assert (found["container_pids"], found["container_running"]) == (1, 1)
    assert found["container_start_time_seconds"] > 1_700_000_000
    assert (found["container_restarts"], found["container_memory_kills_total"]) == (0, 0)

    kill_for_memory(services, holder, 1)
    kill_for_memory(services, holder, 2)
    holder.stop(timeout=0)
    until(lambda: figures(services, "holder").get("container_running") == 0, 20, "its end")
    assert figures(services, "holder") == {
        "container_memory_kills_total": 2,
        "container_restarts": 2,
        "container_running": 0,
    }
    holder.remove()
    until(lambda: figures(services, "holder") == {}, 20, "its metrics to go")


def test_the_exporter_can_write_none_of_the_hosts_files(services: DeclaredServices) -> None:
    container = services.client.containers.get(f"{services.prefix}-{EXPORTER}")
    mounts = [mount["Destination"] for mount in container.attrs["Mounts"] if mount["Type"] == "bind"]
    assert len(mounts) > 1
    for path in mounts:
        code, output = container.exec_run(["python", "-c", WRITE, path])
        assert code == 0, output
