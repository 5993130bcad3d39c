"""The core on an emulated VPS: control groups of version 2 by systemd's driver, systemd and AppArmor.

The tests run in order, each on the state that the one before left.
"""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.profile import FLOOR
from tests.emulated.machine import SECONDS, Machine
from tests.waiting import until
from tools.stack import health
from tools.stack.local_stack import Stack

SERVICES = {"api", "container-exporter", "executor", "traefik"}
HELLOS = {"python": "print('hello')", "node": "console.log('hello')", "bash": "echo hello"}
LABEL = "print(open('/proc/self/attr/current').read().strip())"
MEMORY_BOMB = "held = []\nwhile True: held.append(bytes([1]) * 2**20)"
FORKS = """
import os, signal
made = 0
try:
    while True:
        if os.fork() == 0: signal.pause()
        made += 1
except OSError as error:
    print(made, error.errno)
"""
SCRAPE = "import urllib.request as it; print(it.urlopen('http://127.0.0.1:9400/metrics').read().decode())"


def profile_of(machine: Machine, core: Stack, service: str) -> str:
    """The AppArmor profile of a service's container."""
    states = {it.service: it.container for it in health.services(machine.engine.client(), core.prefix)}
    return str(machine.engine.client().api.inspect_container(states[service])["AppArmorProfile"])


def figures(machine: Machine, core: Stack) -> dict[str, dict[str, float]]:
    """What the container-exporter tells of each service, by the names of the service and of the metric."""
    text = machine.shell(f'docker exec {core.prefix}-container-exporter python -c "{SCRAPE}"')
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {name: {it.name: it.value for it in samples if it.labels.get("service") == name} for name in SERVICES}


def test_every_service_becomes_healthy(machine: Machine, core: Stack) -> None:
    client = machine.engine.client()

    def well() -> bool:
        return {state.service for state in health.services(client, core.prefix) if state.is_well} == SERVICES

    until(well, SECONDS, "healthy services")


def test_hello_from_each_environment(machine: Machine, core: Stack) -> None:
    said = {environment: machine.execute(environment, code)["output"] for environment, code in HELLOS.items()}
    assert said == dict.fromkeys(HELLOS, "hello\n")


def test_a_profile_holds_the_executor_and_another_each_sandbox_too(machine: Machine, core: Stack) -> None:
    assert {name: profile_of(machine, core, name) for name in SERVICES - {"executor"}} == dict.fromkeys(
        SERVICES - {"executor"}, "docker-default"
    )
    assert profile_of(machine, core, "executor") == "vps-executor"
    executor = "$(docker ps --quiet --filter label=vps.service=executor)"
    assert machine.shell(f"docker exec {executor} cat /proc/1/attr/current") == "vps-executor (enforce)\n"
    assert machine.execute("python", LABEL)["output"] == "vps-executor//&vps-sandbox (enforce)\n"


def test_apparmor_has_refused_nothing_so_far(machine: Machine, core: Stack) -> None:
    """The executor, its runtime and plain programs need no more than the profiles allow."""
    assert "bin\n" in machine.execute("bash", "ls / /proc/self && find /usr/bin -name bash")["output"]
    assert "DENIED" not in machine.shell("dmesg")


@pytest.mark.parametrize(
    "attempt",
    [
        "open('/proc/self/attr/current', 'w').write('changeprofile unconfined')",
        "open('/proc/self/attr/exec', 'w').write('exec docker-default')",
        "open('/proc/self/mem', 'r+b')",
        "open('/proc/self/uid_map', 'w')",
        "import fcntl; fcntl.flock(open('/etc/passwd'), fcntl.LOCK_EX)",
    ],
)
def test_a_sandbox_cannot_leave_its_profile_or_change_what_it_forbids(
    machine: Machine, core: Stack, attempt: str
) -> None:
    assert "PermissionError" in machine.execute("python", attempt)["stderr"]


def test_limits_of_a_sandbox(machine: Machine, core: Stack) -> None:
    assert machine.execute("python", MEMORY_BOMB)["status"] == "memory_limit"
    again = 11
    assert machine.execute("python", FORKS)["stdout"] == f"{FLOOR.pids - 2} {again}\n"


def test_the_exporter_has_figures_of_each_service(machine: Machine, core: Stack) -> None:
    for found in figures(machine, core).values():
        assert found["container_running"] == 1
        assert found["container_cpu_seconds_total"] > 0
        assert 1_000_000 < found["container_memory_bytes"] <= found["container_memory_limit_bytes"]
        assert found["container_pids"] >= 1
