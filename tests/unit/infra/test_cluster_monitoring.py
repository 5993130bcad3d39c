"""What watches a stack on a Kubernetes cluster, and what changes the number of its units, under mocks."""

from typing import Any

import pytest
import yaml

from infra.cluster import NAMESPACES
from infra.config import SettingsError, parse_settings
from infra.settings import STACKS_STORE
from monitoring.grafana.files import dashboard_files
from monitoring.prometheus.rules import rule_files
from tests.program import IMAGES, Resource, platform_config, run_program
from tests.unit.infra.test_cluster import IMAGE, ON_NODES, WITHOUT, containers, of_kind, pods


@pytest.fixture(scope="module")
def made() -> list[Resource]:
    return run_program("cluster", platform_config("cluster"))


def test_prometheus_asks_each_pod_of_units_and_nodes_and_others_by_their_name(made: list[Resource]) -> None:
    (files,) = (it["data"] for name, it in of_kind(made, "ConfigMap").items() if "/prometheus-config-" in name)
    jobs = {it["job_name"]: it for it in yaml.safe_load(files["prometheus.yml"])["scrape_configs"]}
    of_each = {name: it["dns_sd_configs"][0]["names"] for name, it in jobs.items() if "dns_sd_configs" in it}
    places = {"api": "units/api", "executor": "units/api", **{name: f"nodes/{name}" for name in ON_NODES}}
    names = {name: "{1}-pods.vps-cluster-{0}.svc.cluster.local".format(*it.split("/")) for name, it in places.items()}
    assert of_each == {name: [it] for name, it in names.items()}
    assert jobs["loki"]["static_configs"] == [{"targets": ["loki:3100"]}]
    services = of_kind(made, "Service")
    each = {name: it["spec"] for name, it in services.items() if name.endswith("-pods")}
    assert set(each) == {f"vps-cluster-{it}-pods" for it in places.values()}
    assert {(it["clusterIP"], it["publishNotReadyAddresses"]) for it in each.values()} == {("None", True)}


def test_the_collector_reads_the_logs_of_the_stacks_pods(made: list[Resource]) -> None:
    (files,) = (it["data"] for name, it in of_kind(made, "ConfigMap").items() if "/collector-config-" in name)
    receiver = yaml.safe_load(files["collector.yml"])["receivers"]["file_log/containers"]
    namespaces = ",".join(NAMESPACES)
    assert receiver["include"] == [f"/host/log/pods/vps-cluster-{{{namespaces}}}_*/*/*.log"]


def several(by: str) -> list[Resource]:
    """The resources of a stack whose number of units changes."""
    sandbox = {"rate_store": STACKS_STORE, "concurrency": 5}
    images = {**IMAGES, "valkey": IMAGE}
    cluster = {"units": {"min": 1, "max": 3, "by": by}}
    return run_program("cluster", platform_config("cluster", sandbox=sandbox, images=images, cluster=cluster))


def test_units_follow_the_executions_that_run_or_wait_by_an_adapter_of_the_stacks_own() -> None:
    made = several("adapter")
    (scaler,) = of_kind(made, "HorizontalPodAutoscaler").values()
    (metric,) = scaler["spec"]["metrics"]
    unit = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "sandbox"}
    assert metric["object"]["describedObject"] == scaler["spec"]["scaleTargetRef"] == unit
    files = {name.partition("/")[2]: it["data"] for name, it in of_kind(made, "ConfigMap").items()}
    (rules,) = (it["rules__units.yml"] for name, it in files.items() if name.startswith("prometheus-config"))
    (rule,) = yaml.safe_load(rules)["groups"][0]["rules"]
    assert rule["record"] == metric["object"]["metric"]["name"]
    assert rule["labels"] == {"namespace": "vps-cluster-units", "deployment": "sandbox"}
    assert rule["expr"].endswith("/ 5")
    (adapter,) = (it["adapter.yml"] for name, it in files.items() if name.startswith("prometheus-adapter"))
    assert {it["seriesQuery"] for it in yaml.safe_load(adapter)["rules"]} == {rule["record"]}
    assert "vps-cluster-scaling/prometheus-adapter-to-prometheus-9090-out" in of_kind(made, "NetworkPolicy")
    assert {name for name, it in pods(made).items() if it["automountServiceAccountToken"]} == {"prometheus-adapter"}
    unaware = {"name": "KUBERNETES_SERVICE_HOST", "value": ""}
    assert {name for name, it in containers(made).items() if unaware not in it["env"]} == {"prometheus-adapter"}


def test_where_the_cluster_has_keda_it_asks_prometheus() -> None:
    made = several("keda")
    (scaled,) = of_kind(made, "ScaledObject").values()
    (trigger,) = scaled["spec"]["triggers"]
    assert trigger["metadata"]["serverAddress"] == "http://prometheus.vps-cluster-monitoring.svc.cluster.local:9090"
    assert "vps-cluster-monitoring/keda-to-prometheus-9090" in of_kind(made, "NetworkPolicy")
    assert not of_kind(made, "HorizontalPodAutoscaler")
    assert "prometheus-adapter" not in pods(made)


def watched_by_an_operator(**cluster: Any) -> list[Resource]:
    """The resources of a stack on a cluster with a monitoring of its own."""
    services = {**WITHOUT, "prometheus": {"enabled": False}, "grafana": {"enabled": False}}
    settings = {"operator": {"labels": {"release": "theirs"}}, **cluster}
    return run_program("cluster", platform_config("cluster", services=services, cluster=settings))


def test_a_cluster_with_a_monitoring_of_its_own_gets_what_that_reads() -> None:
    made = watched_by_an_operator()
    monitors = {it["metadata"]["name"]: it for it in of_kind(made, "ServiceMonitor").values()}
    assert set(monitors) == {
        *("traefik", "api", "executor", "alertmanager", "loki", "collector", "jaeger"),
        *("blackbox-exporter", "container-exporter", "node-exporter", "probe"),
    }
    assert all(it["metadata"]["labels"]["release"] == "theirs" for it in monitors.values())
    services = of_kind(made, "Service")
    for name, monitor in monitors.items():
        (namespace,) = monitor["spec"]["namespaceSelector"]["matchNames"]
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        ports = {it["port"] for it in monitor["spec"]["endpoints"]}
        found = [
            port["name"]
            for place, it in services.items()
            for port in it["spec"].get("ports", ())
            if place.startswith(f"{namespace}/")
            and wanted <= it["metadata"]["labels"].items()
            and port["name"] in ports
        ]
        assert found == list(ports), name
    assert all(it["honorLabels"] for monitor in monitors.values() for it in monitor["spec"]["endpoints"])
    (executor,) = monitors["executor"]["spec"]["endpoints"]
    assert executor["path"] == "/metrics/executor"
    assert {it["targetLabel"]: it["replacement"] for it in executor["relabelings"]} == {"job": "executor"}
    assert {it["params"]["module"][0] for it in monitors["probe"]["spec"]["endpoints"]} == {
        "answers",
        "asks_for_password",
    }
    rules = {it["metadata"]["name"]: it["spec"]["groups"] for it in of_kind(made, "PrometheusRule").values()}
    assert {f"{name}.yml" for name in rules} == set(rule_files())
    dashboards = [it for it in of_kind(made, "ConfigMap").values() if "grafana_dashboard" in it["metadata"]["labels"]]
    assert {file for it in dashboards for file in it["data"]} == set(dashboard_files())
    policies = of_kind(made, "NetworkPolicy")
    assert "vps-cluster-units/monitoring-to-api-9000" in policies
    assert not [name for name in policies if "prometheus" in name]
    assert not {"prometheus", "grafana"} & set(pods(made))


def test_prometheus_and_one_of_the_clusters_own_are_refused_together() -> None:
    with pytest.raises(SettingsError, match=r"cluster.operator has a Prometheus of its own. Set services.prometheus"):
        parse_settings(platform_config("cluster", cluster={"operator": {}}), "cluster")
