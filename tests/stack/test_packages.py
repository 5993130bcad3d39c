"""Packages between the containers as the program declares them: the service, the executor and the api."""

from collections.abc import Iterator

import httpx
import pytest

from tests.declared import DeclaredServices
from tests.waiting import until
from tools.machine import docker_bridge
from tools.machine.preparation import Preparation
from tools.measure.package_index import Index, serving


@pytest.fixture(scope="module")
def index(prepared: Preparation) -> Iterator[Index]:
    with serving(docker_bridge.address(prepared.engine.client())) as found:
        yield found


@pytest.fixture(scope="module")
def services(prepared: Preparation, index: Index) -> Iterator[DeclaredServices]:
    pools = {name: {"min": 0, "max": 1} for name in ("python", "node")}
    options = {"index": index.url, "registry": index.registry}
    sandbox = {"environments": ["python", "node"], "pools": pools, "packages": options}
    found = DeclaredServices(prepared, sandbox=sandbox)

    def healthy(service: str) -> bool:
        return bool(found.client.containers.get(found.inputs(service)["name"]).health == "healthy")

    try:
        for service in ("packages", "executor", "api"):
            found.start(service)
        until(lambda: all(map(healthy, ("packages", "executor", "api"))), 90, "healthy services")
        yield found
    finally:
        found.remove()


def test_packages_go_from_the_indexes_into_sandboxes(services: DeclaredServices, index: Index) -> None:
    index.package("declared", needs=["needed"])
    index.package("needed")
    index.module("declared", dependencies={"needed": "1"})
    index.module("needed")
    api = f"http://{services.address('api')}"
    programs = {"python": "import declared; print(declared.value)", "node": "console.log(require('declared').value)"}
    for environment, code in programs.items():
        body = {"environment": environment, "code": code, "packages": ["declared"]}
        answer = httpx.post(f"{api}:8000/execute", json=body, timeout=60, trust_env=False)
        assert (answer.status_code, answer.json().get("stdout")) == (200, "1\n"), answer.text
    assert "packages_store_sets 2.0" in httpx.get(f"{api}:9000/metrics/packages", timeout=10, trust_env=False).text


@pytest.mark.parametrize(
    ("service", "mounted"),
    [
        ("packages", {"/var/lib/packages": True, "/run/packages": True}),
        ("executor", {"/var/lib/packages": False}),
        ("api", {"/run/packages": False}),
    ],
)
def test_only_the_service_writes_to_its_volumes(
    services: DeclaredServices, service: str, mounted: dict[str, bool]
) -> None:
    container = services.client.containers.get(services.inputs(service)["name"])
    written = {mount["Destination"]: mount["RW"] for mount in container.attrs["Mounts"] if mount["Type"] == "volume"}
    assert {path: it for path, it in written.items() if "packages" in path} == mounted


def test_nothing_listens_for_another_container(services: DeclaredServices) -> None:
    container = services.client.containers.get(f"{services.prefix}-packages")
    assert list(container.attrs["NetworkSettings"]["Networks"]) == [f"{services.prefix}-outbound"]
    said = container.exec_run(["cat", "/proc/net/tcp", "/proc/net/tcp6"]).output
    assert isinstance(said, bytes)
    lines = said.decode().splitlines()
    listening = [line.split()[1] for line in lines if line.split()[3] == "0A"]
    # Docker's own resolver listens on 127.0.0.11.
    assert [address for address in listening if not address.startswith("0B00007F")] == []
