"""Packages on a Kubernetes cluster, under mocks: one service that reaches the indexes, and a copy in each unit."""

from typing import Any

import pytest
import yaml

from app.packages.settings import PackagesOptions, PackagesSettings
from infra.settings import STACKS_STORE
from tests.policies.support import violations
from tests.program import IMAGES, Resource, platform_config, run_program
from tests.unit.infra.test_cluster import IMAGE, WITHOUT, containers, of_kind, pods

OPTIONS = {"set_mb": 100, "store_mb": 1000, "deny": ["bad"]}
NAMESPACE = "vps-cluster-packages"
INDEX = "https://pypi.org/simple/"


@pytest.fixture(scope="module")
def made() -> list[Resource]:
    return run_program("cluster", platform_config("cluster", sandbox={"packages": OPTIONS}))


def settings_of(resources: list[Resource], container: str) -> PackagesSettings:
    """What a process reads at its start."""
    return PackagesSettings.read({it["name"]: it["value"] for it in containers(resources)[container]["env"]})


def mounts(container: dict[str, Any]) -> dict[str, bool]:
    """Of the volumes of packages that a container has, whether it may write to them."""
    found = {it["name"]: not it["readOnly"] for it in container["volumeMounts"]}
    return {name: it for name, it in found.items() if name.startswith("packages-")}


def test_each_unit_has_a_copy_service_that_starts_before_the_others_and_ends_after_them(made: list[Resource]) -> None:
    unit = pods(made)["sandbox"]
    assert [it["name"] for it in unit["initContainers"]] == ["packages-copy", "executor"]
    assert {it["restartPolicy"] for it in unit["initContainers"]} == {"Always"}
    assert [it["name"] for it in unit["containers"]] == ["api"]
    images = {name: it["image"].partition(":")[0] for name, it in containers(made).items()}
    assert (images["packages"], images["packages-copy"]) == ("vps/packages", "vps/app"), "the copy needs no tools"


def test_the_copy_alone_writes_to_the_store_and_the_socket_of_its_unit(made: list[Resource]) -> None:
    found = containers(made)
    assert mounts(found["packages-copy"]) == {"packages-store": True, "packages-run": True}
    assert mounts(found["executor"]) == {"packages-store": False}
    assert mounts(found["api"]) == {"packages-run": False}
    assert mounts(found["packages"]) == {"packages-store": True, "packages-memory-tmp": True}


@pytest.mark.parametrize("workload", ["sandbox", "packages"])
def test_a_store_is_on_the_nodes_disk_with_room_for_more_than_it_may_take(made: list[Resource], workload: str) -> None:
    """A pod that has more on the disk than its volume may hold is evicted."""
    volumes = {it["name"]: it["emptyDir"] for it in pods(made)[workload]["volumes"] if "emptyDir" in it}
    assert volumes["packages-store"] == {"sizeLimit": f"{PackagesOptions.model_validate(OPTIONS).disk_mb}Mi"}
    # Two sets at the same time, each with its archives, besides the blocks of many small files.
    assert PackagesOptions.model_validate(OPTIONS).disk_mb >= 1000 + 2 * 2 * 100 + 2 * 40_000 * 4096 // 2**20
    if workload == "sandbox":
        assert volumes["packages-run"]["medium"] == "Memory"


def test_the_one_makes_sets_and_the_other_copies_them(made: list[Resource]) -> None:
    one, other = settings_of(made, "packages"), settings_of(made, "packages-copy")
    assert (one.port, one.source) == (8001, None)
    assert (other.port, other.source) == (None, "http://packages:8001")
    assert one.model_copy(update={"port": None}) == other.model_copy(update={"source": None})
    assert (one.index, one.deny, one.set_mb) == (INDEX, ("bad",), 100)
    api = {it["name"]: it["value"] for it in containers(made)["api"]["env"]}
    assert api["API_PACKAGES_SOCKET"] == str(other.socket)


def test_the_service_is_alone_in_a_namespace_and_only_units_and_prometheus_reach_it(made: list[Resource]) -> None:
    assert [name for name in of_kind(made, "Deployment") if name.startswith(NAMESPACE)] == [f"{NAMESPACE}/packages"]
    levels = of_kind(made, "Namespace")[f"/{NAMESPACE}"]["metadata"]["labels"]
    assert levels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert of_kind(made, "Service")[f"{NAMESPACE}/packages"]["spec"]["ports"][0]["port"] == 8001
    of_ports = {
        name.partition("/")[2]: it["spec"]
        for name, it in of_kind(made, "NetworkPolicy").items()
        if name.startswith(NAMESPACE)
    }
    assert set(of_ports) == {
        *("deny-all", "names", "packages-to-outside"),
        *("packages-copy-to-packages-8001-in", "prometheus-to-packages-8001-in"),
    }
    (source,) = of_ports["packages-copy-to-packages-8001-in"]["ingress"][0]["from"]
    assert source["podSelector"] == {"matchLabels": {"vps.service": "sandbox"}}
    everywhere = of_ports["packages-to-outside"]["egress"][0]["to"]
    assert {"10.0.0.0/8", "169.254.0.0/16"} <= set(everywhere[0]["ipBlock"]["except"])


def test_units_may_ask_it_and_go_nowhere_else_outside(made: list[Resource]) -> None:
    policies = of_kind(made, "NetworkPolicy")
    out_of_units = {
        name.partition("/")[2]: it["spec"]
        for name, it in policies.items()
        if name.startswith("vps-cluster-units/") and "egress" in it["spec"]
    }
    assert set(out_of_units) == {"names", "api-to-jaeger-4318-out", "packages-copy-to-packages-8001-out"}
    (rule,) = out_of_units["packages-copy-to-packages-8001-out"]["egress"]
    assert rule["ports"] == [{"port": 8001, "protocol": "TCP"}]
    assert "vps-cluster-packages.svc.cluster.local" in pods(made)["sandbox"]["dnsConfig"]["searches"]


def test_prometheus_asks_the_service_itself_and_counts_no_set_twice(made: list[Resource]) -> None:
    (files,) = (it["data"] for name, it in of_kind(made, "ConfigMap").items() if "/prometheus-config-" in name)
    jobs = {it["job_name"]: it for it in yaml.safe_load(files["prometheus.yml"])["scrape_configs"]}
    assert jobs["packages"]["static_configs"] == [{"targets": ["packages:8001"]}]
    assert jobs["packages"]["metrics_path"] == "/metrics"
    assert "packages-copy" not in jobs


def test_a_monitoring_of_the_clusters_own_asks_it_too() -> None:
    services = {**WITHOUT, "prometheus": {"enabled": False}, "grafana": {"enabled": False}}
    watched = {"services": services, "cluster": {"operator": {}}, "sandbox": {"packages": {}}}
    made = run_program("cluster", platform_config("cluster", **watched))
    (monitor,) = [it for it in of_kind(made, "ServiceMonitor").values() if it["metadata"]["name"] == "packages"]
    assert monitor["spec"]["namespaceSelector"]["matchNames"] == [NAMESPACE]
    assert "vps-cluster-packages/monitoring-to-packages-8001" in of_kind(made, "NetworkPolicy")


def test_the_unit_that_has_the_rooms_has_a_copy_too() -> None:
    sandbox = {"packages": OPTIONS, "rooms": {}, "rate_store": STACKS_STORE}
    images = {**IMAGES, "valkey": IMAGE}
    made = run_program("cluster", platform_config("cluster", sandbox=sandbox, images=images))
    unit, of_rooms = pods(made)["sandbox"], pods(made)["sandbox-rooms"]
    assert [it["name"] for it in of_rooms["initContainers"]] == ["packages-copy", "executor"]
    copy, other = unit["initContainers"][0], of_rooms["initContainers"][0]
    assert copy == other
    (source,) = of_kind(made, "NetworkPolicy")[f"{NAMESPACE}/packages-copy-rooms-to-packages-8001-in"]["spec"][
        "ingress"
    ][0]["from"]
    assert source["podSelector"] == {"matchLabels": {"vps.service": "sandbox-rooms"}}
    assert violations([(it.type, it.name, it.inputs) for it in made]) == []


def test_without_packages_nothing_is_made_for_them() -> None:
    made = run_program("cluster", platform_config("cluster"))
    assert [it.name for it in made if "packages" in it.name] == []


def test_on_docker_there_is_one_service_for_all_units_and_no_copy() -> None:
    made = run_program("local", platform_config("local", sandbox={"packages": {}}))
    assert [it.name for it in made if "packages-copy" in it.name] == []
