"""Fixtures of the suites that deploy a real stack."""

import functools
import gc
from collections.abc import Generator, Iterator, Mapping
from typing import Any
from unittest import mock

import httpx
import pytest
from xdist.scheduler import LoadFileScheduling

from tests.emulated.machine import HTTP_PORT, IMAGES, SSH_SOURCE, Machine, cgroup_version, chosen
from tests.sandbox.processes import RUNTIME
from tests.stacks import StackFactory
from tools.console.steps import Report
from tools.machine.preparation import Preparation, prepare
from tools.stack.config import ONLY_CORE
from tools.stack.local_stack import Stack

PAGE = "tests/page/"
SANDBOXES: Mapping[str, Mapping[str, object]] = {
    "crun": {"environments": ["python", "node", "bash"], "start_seconds": 3600},
    # While it waits, an emulated gVisor takes up to half a processor, and a new one seconds until its Python waits.
    "runsc": {
        "environments": ["python"],
        "pools": {"python": {"min": 2, "max": 2}},
        "queue_seconds": 60,
        "start_seconds": 1800,
    },
}
"""The settings of the core on an emulated VPS, by the runtime of its sandboxes."""


def pytest_configure() -> None:
    """A client of httpx reads the certificates of all authorities, which takes 30 ms of a processor. The tests make
    thousands of clients: all share what the first one has read."""
    mock.patch("httpx._transports.default.create_ssl_context", functools.cache(httpx.create_ssl_context)).start()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """A third of the unit tests' time less: what is imported (a million objects with Pulumi's SDKs) stays, and is not
    searched for garbage again and again, neither meanwhile nor later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
        gc.set_threshold(50_000, 20, 100)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where the tests of a file run in one process, those of the page do so together: they share a stack."""
    if config.getoption("dist") != "loadfile":
        return None
    scheduler = LoadFileScheduling(config, log)
    file_of = scheduler._split_scope
    scheduler._split_scope = lambda test: PAGE if test.startswith(PAGE) else file_of(test)
    return scheduler


@pytest.fixture(scope="session")
def prepared() -> Preparation:
    """Docker, the Pulumi toolchain and the images, installed or built where they are missing."""
    return prepare()


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A report that writes Pulumi's output to a file."""
    return Report(tmp_path_factory.mktemp("stack-logs") / "pulumi.log")


@pytest.fixture(scope="session")
def new_stack(
    prepared: Preparation, report: Report, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StackFactory]:
    """A factory of configured stacks. Their containers and volumes are removed at the end, also after a failure."""
    factory = StackFactory(prepared, report, tmp_path_factory.mktemp("stacks"))
    yield factory
    for stack in factory.made:
        factory.remove(stack)


@pytest.fixture(scope="session")
def machine(prepared: Preparation, report: Report) -> Iterator[Machine]:
    """An emulated VPS that has booted: a fresh Debian, which has not been prepared yet."""
    names = [prepared.images.references[name] for name in IMAGES]
    made = Machine(prepared.engine, names, report, chosen())
    try:
        made.boot()
        yield made
    finally:
        made.close()


@pytest.fixture(scope="session")
def core(new_stack: StackFactory, machine: Machine, report: Report) -> Stack:
    """The core and the container-exporter on the emulated VPS, brought up from this machine as an operator does it."""
    stack = new_stack(
        host={
            "ssh": machine.ssh.model_dump(),
            "firewall": {"ssh_sources": [SSH_SOURCE], "web_sources": "anyone", "rollback_seconds": 300},
            "deploy_keys": [machine.public_key],
            "swap_mb": 0,
        },
        engine={"cgroup_version": cgroup_version(), "apparmor": True},
        sandbox={"runtime": RUNTIME, "requests_per_minute": 1000, **SANDBOXES[RUNTIME]},
        edge={
            "ipv4": "0.0.0.0",  # noqa: S104 - of the emulated machine
            "http_port": HTTP_PORT,
            "api_hosts": ["localhost", machine.address],
        },
        services={**ONLY_CORE, "container_exporter": {"enabled": True}},
    )
    stack.up(report)
    return stack


@pytest.fixture(scope="session")
def prepared_machine(machine: Machine, core: Stack) -> Machine:
    """The emulated VPS as the host's scripts have left it. The platform on it is stopped."""
    machine.shell(f"docker stop --time 60 $(docker ps --quiet --filter label=vps.stack={core.prefix})")
    return machine
