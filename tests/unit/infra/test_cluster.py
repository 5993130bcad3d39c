"""The resources of the Pulumi program on a Kubernetes cluster, under mocks."""

import json
import sys
from typing import Any

import pytest
import yaml

from app.executor.seccomp import file_on_node, for_executor
from app.profile import SandboxProfile
from infra.cluster import NAMESPACES, NOT_ON_CLUSTERS
from infra.config import SettingsError, parse_settings
from infra.kubernetes.arrows import Arrow, arrows, ports
from infra.services import catalog
from infra.services.sandbox import EXECUTOR_CAPABILITIES
from infra.settings import STACKS_STORE
from monitoring.grafana.files import dashboard_files
from monitoring.prometheus.rules import rule_files
from tests.program import IMAGES, SECRETS, Resource, platform_config, readable, run_program

IMAGE = "registry.example.com/valkey:9"
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")
ON_NODES = {"collector": ["/var/log"], "node-exporter": ["/etc/os-release"]}
WITHOUT = {service.replace("-", "_"): {"enabled": False} for service in NOT_ON_CLUSTERS}


@pytest.fixture(scope="module")
def made() -> list[Resource]:
    return run_program("cluster", platform_config("cluster"))


def of_kind(resources: list[Resource], kind: str) -> dict[str, dict[str, Any]]:
    """The inputs of the resources of one kind, by `namespace/name`."""
    found = [
        readable(it.inputs) for it in resources if it.type.startswith("kubernetes:") and it.type.endswith(f":{kind}")
    ]
    return {f"{it['metadata'].get('namespace', '')}/{it['metadata']['name']}": it for it in found}


def pods(resources: list[Resource]) -> dict[str, dict[str, Any]]:
    """The specification of each workload's pods by the workload's name."""
    workloads = {name: it for kind in WORKLOADS for name, it in of_kind(resources, kind).items()}
    return {name.partition("/")[2]: it["spec"]["template"]["spec"] for name, it in workloads.items()}


def containers(resources: list[Resource]) -> dict[str, dict[str, Any]]:
    return {
        it["name"]: it
        for pod in pods(resources).values()
        for it in (*pod.get("initContainers", ()), *pod["containers"])
    }


def test_nothing_of_docker_is_made_on_a_cluster_and_nothing_of_kubernetes_off_one(made: list[Resource]) -> None:
    assert not [it.type for it in made if it.type.startswith("docker:")]
    assert not [it.type for it in run_program("local", platform_config("local")) if it.type.startswith("kubernetes:")]


def test_every_service_has_a_workload_in_the_namespace_of_its_trust(made: list[Resource]) -> None:
    names = {name for kind in WORKLOADS for name in of_kind(made, kind)}
    assert names == {
        "vps-cluster-edge/traefik",
        "vps-cluster-units/sandbox",
        *(
            f"vps-cluster-monitoring/{name}"
            for name in ("prometheus", "alertmanager", "jaeger", "loki", "blackbox-exporter", "grafana")
        ),
        *(f"vps-cluster-nodes/{name}" for name in ON_NODES),
    }
    assert set(of_kind(made, "DaemonSet")) == {f"vps-cluster-nodes/{name}" for name in ON_NODES}


def test_the_unit_is_a_pod_of_api_and_executor_that_share_memory_for_their_socket(made: list[Resource]) -> None:
    unit = pods(made)["sandbox"]
    assert [it["name"] for it in unit["containers"]] == ["api"]
    assert [(it["name"], it["restartPolicy"]) for it in unit["initContainers"]] == [("executor", "Always")]
    shared = next(volume for volume in unit["volumes"] if volume["name"] == "executor-run")
    assert shared["emptyDir"]["medium"] == "Memory"
    mounts = {
        container["name"]: {mount["mountPath"]: mount["readOnly"] for mount in container["volumeMounts"]}
        for container in (*unit["initContainers"], *unit["containers"])
    }
    assert mounts["executor"]["/run/executor"] is False
    assert mounts["api"]["/run/executor"] is True


def test_a_unit_that_is_to_go_finishes_what_runs(made: list[Resource]) -> None:
    unit = pods(made)["sandbox"]
    (api,) = unit["containers"]
    (grace,) = (int(it["value"]) for it in api["env"] if it["name"] == "API_GRACE_SECONDS")
    asleep = api["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert grace > SandboxProfile().timeout_seconds
    assert unit["terminationGracePeriodSeconds"] > asleep + grace


def test_only_the_executor_has_capabilities_and_profiles_of_its_own(made: list[Resource]) -> None:
    contexts = {name: container["securityContext"] for name, container in containers(made).items()}
    executor = contexts.pop("executor")
    assert executor["capabilities"] == {"drop": ["ALL"], "add": list(EXECUTOR_CAPABILITIES)}
    profile = {"type": "Localhost", "localhostProfile": file_on_node(for_executor())}
    assert executor["seccompProfile"] == profile
    assert executor["privileged"] is executor["allowPrivilegeEscalation"] is False
    assert contexts["collector"]["runAsUser"] == 0, "the files of a node's pods belong to root"
    for name, context in contexts.items():
        assert context["runAsNonRoot"] is (context["runAsUser"] > 0) is (name != "collector"), name
        assert context["capabilities"] == {"drop": ["ALL"]}, name
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert context["readOnlyRootFilesystem"], name
        assert not context["privileged"], name
        assert not context["allowPrivilegeEscalation"], name


def test_no_pod_has_a_token_or_a_namespace_of_the_host_and_few_have_a_path_of_it(made: list[Resource]) -> None:
    for name, pod in pods(made).items():
        assert pod["automountServiceAccountToken"] is False, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod), name
        paths = {volume["name"]: volume["hostPath"]["path"] for volume in pod["volumes"] if "hostPath" in volume}
        assert list(paths.values()) == ON_NODES.get(name, [])
        assert all(it["readOnly"] for it in pod["containers"][0]["volumeMounts"] if it["name"] in paths)
        others = {key for volume in pod["volumes"] if volume["name"] not in paths for key in volume}
        assert others <= {"name", "emptyDir", "configMap", "secret"}, name
    for account in of_kind(made, "ServiceAccount").values():
        assert account["automountServiceAccountToken"] is False


def test_each_volume_of_a_pod_has_a_name_of_its_own_and_is_mounted(made: list[Resource]) -> None:
    for name, pod in pods(made).items():
        volumes = [volume["name"] for volume in pod["volumes"]]
        assert len(set(volumes)) == len(volumes), name
        every = (*pod.get("initContainers", ()), *pod["containers"])
        mounted = {mount["name"] for container in every for mount in container["volumeMounts"]}
        assert set(volumes) <= mounted, name


def test_every_container_has_limits_and_reserves_its_memory(made: list[Resource]) -> None:
    for name, container in containers(made).items():
        resources = container["resources"]
        assert set(resources["limits"]) == {"cpu", "memory"}, name
        assert resources["requests"]["memory"] == resources["limits"]["memory"], name
    assert containers(made)["executor"]["resources"]["limits"] == {"cpu": "1000m", "memory": f"{256 + 4 * 256}Mi"}


def test_probes_run_the_services_health_check(made: list[Resource]) -> None:
    for name, container in containers(made).items():
        if name == "collector":
            continue  # its image has no program that could check it
        checks = [container[f"{kind}Probe"]["exec"]["command"] for kind in ("startup", "readiness", "liveness")]
        assert checks[0] == checks[1] == checks[2], name


def test_other_content_gets_a_config_map_of_another_name() -> None:
    def name(domain: str) -> str:
        edge = {"http_port": 30080, "domain": domain}
        maps = of_kind(run_program("cluster", platform_config("cluster", edge=edge)), "ConfigMap")
        return next(it for it in maps if it.startswith("vps-cluster-edge/traefik-watched-"))

    assert name("localhost") == name("localhost")
    assert name("localhost") != name("example.com")


def test_a_file_that_a_service_reads_again_changes_in_its_place(made: list[Resource]) -> None:
    maps = of_kind(made, "ConfigMap")
    assert {name for name, it in maps.items() if not it["immutable"]} == {"vps-cluster-units/api-watched-live"}


def test_no_secret_is_in_clear_text_but_in_secrets(made: list[Resource]) -> None:
    for resource in made:
        if not resource.type.endswith(":Secret"):
            assert not [it for it in SECRETS.values() if it in json.dumps(resource.inputs)], resource.name


def test_namespaces_deny_all_and_carry_a_level_of_pod_security(made: list[Resource]) -> None:
    levels = {
        name: it["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        for name, it in of_kind(made, "Namespace").items()
    }
    assert levels == {
        "/vps-cluster-edge": "restricted",
        "/vps-cluster-monitoring": "restricted",
        "/vps-cluster-nodes": "privileged",
        "/vps-cluster-units": "privileged",
    }
    policies = of_kind(made, "NetworkPolicy")
    for namespace in levels:
        spec = policies[f"{namespace[1:]}/deny-all"]["spec"]
        assert spec == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_there_is_an_allow_in_both_directions_for_each_arrow(made: list[Resource]) -> None:
    policies = of_kind(made, "NetworkPolicy")
    edge_to_api = policies["vps-cluster-edge/traefik-to-api-8000-out"]["spec"]
    assert edge_to_api["podSelector"] == {"matchLabels": {"vps.service": "traefik"}}
    assert edge_to_api["egress"][0]["to"][0] == {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "vps-cluster-units"}},
        "podSelector": {"matchLabels": {"vps.service": "sandbox"}},
    }
    into_units = {
        name.partition("/")[2]
        for name, it in policies.items()
        if name.startswith("vps-cluster-units/") and "ingress" in it["spec"]
    }
    assert into_units == {"traefik-to-api-8000-in", "prometheus-to-api-9000-in"}
    out_of_units = {
        name.partition("/")[2]
        for name, it in policies.items()
        if name.startswith("vps-cluster-units/") and "egress" in it["spec"]
    }
    assert out_of_units == {"names", "api-to-jaeger-4318-out"}


def test_arrows_follow_from_what_the_services_say() -> None:
    settings = parse_settings(platform_config("cluster"), "cluster")
    services = catalog.running(settings)
    found = arrows(services)
    assert Arrow("traefik", "api", 8000) in found
    assert Arrow("prometheus", "alertmanager", 9093) in found
    assert Arrow("grafana", "jaeger", 16686) in found
    assert Arrow("blackbox-exporter", "traefik", 8080) in found
    assert Arrow("collector", "loki", 3100) in found
    assert Arrow("prometheus", "node-exporter", 9100) in found
    assert ports("api", services) == [8000, 9000]
    assert ports("executor", services) == []


def test_visitors_reach_the_edge_alone(made: list[Resource]) -> None:
    services = of_kind(made, "Service")
    outside = {name: it["spec"] for name, it in services.items() if it["spec"].get("type")}
    (spec,) = outside.values()
    assert list(outside) == ["vps-cluster-edge/traefik-visitors"]
    assert (spec["type"], spec["externalTrafficPolicy"]) == ("NodePort", "Local")
    assert spec["ports"] == [{"name": "web-30080", "port": 30080, "targetPort": 8080, "nodePort": 30080}]


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


def test_what_outlives_a_pod_is_claimed_by_a_stateful_set(made: list[Resource]) -> None:
    claims = {
        name.partition("/")[2]: [claim["metadata"]["name"] for claim in it["spec"]["volumeClaimTemplates"]]
        for name, it in of_kind(made, "StatefulSet").items()
    }
    assert claims == {
        "prometheus": ["prometheus-data"],
        "alertmanager": ["alertmanager-data"],
        "jaeger": ["jaeger-data"],
        "loki": ["loki-data"],
        "grafana": ["grafana-data"],
    }


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"services": {**WITHOUT, "portainer": {"enabled": True}}}, "services.portainer does not run on a cluster"),
        (
            {"edge": {"http_port": 80}},
            "edge.http_port is 80; with cluster.edge: NodePort it must be from 30000 to 32767",
        ),
        ({"sandbox": {"packages": {}}}, "sandbox.packages is for Docker"),
        ({"sandbox": {"rooms": {}}}, "sandbox.rooms is for Docker, where there is one unit: a room is in one"),
        ({"cluster": {"units": {"min": 2, "max": 1}}}, "min is 2, and max is 1"),
        ({"cluster": {"units": {"max": 2}}}, "cluster.units.max is 2, and each unit would count by itself"),
        (
            {
                "cluster": {"units": {"max": 2}},
                "sandbox": {"rate_store": STACKS_STORE},
                "services": {**WITHOUT, "prometheus": {"enabled": False}},
            },
            "cluster.units.by is adapter, and services.prometheus is off. Set cluster.units.by: cpu",
        ),
    ],
)
def test_settings_that_no_cluster_can_hold_are_refused(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        parse_settings(platform_config("cluster", **overrides), "cluster")


def test_off_a_cluster_the_sdk_is_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [it for it in sys.modules if it.startswith(("pulumi_kubernetes", "infra.kubernetes"))]:
        monkeypatch.delitem(sys.modules, name)
    run_program("local", platform_config("local"))
    assert not [it for it in sys.modules if it.startswith("pulumi_kubernetes")]


def test_every_rule_of_admission_is_in_force_in_the_stacks_namespaces(made: list[Resource]) -> None:
    policies = of_kind(made, "ValidatingAdmissionPolicy")
    bindings = of_kind(made, "ValidatingAdmissionPolicyBinding")
    assert set(policies) == set(bindings)
    assert len(policies) == 14
    for name, binding in bindings.items():
        assert policies[name]["spec"]["failurePolicy"] == "Fail"
        assert binding["spec"]["validationActions"] == ["Deny"]
        assert binding["spec"]["matchResources"] == {"namespaceSelector": {"matchLabels": {"vps.stack": "vps-cluster"}}}
    (profile,) = policies["/vps-cluster-sandbox-profile"]["spec"]["validations"]
    (declared,) = (it["value"] for it in containers(made)["executor"]["env"] if it["name"] == "EXECUTOR_PROFILE")
    assert SandboxProfile.model_validate_json(declared) == SandboxProfile()
    assert json.dumps(declared) in profile["expression"]


def test_several_units_count_in_a_store_that_the_api_alone_reaches() -> None:
    sandbox = {"rate_store": STACKS_STORE, "keep_counts": True}
    images = {**IMAGES, "valkey": IMAGE}
    cluster = {"units": {"min": 2, "max": 5, "by": "cpu"}}
    made = run_program("cluster", platform_config("cluster", sandbox=sandbox, images=images, cluster=cluster))
    (scaler,) = of_kind(made, "HorizontalPodAutoscaler").values()
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (2, 5)
    assert scaler["spec"]["metrics"][0]["resource"]["target"]["averageValue"] == "800m"
    assert not of_kind(made, "APIService")
    assert of_kind(made, "Deployment")["vps-cluster-units/sandbox"]["spec"]["replicas"] == 2
    assert "vps-cluster-store/valkey" in of_kind(made, "StatefulSet")
    assert set(containers(made)) >= {"api", "executor", "valkey"}
    assert [it["name"] for it in pods(made)["sandbox"]["containers"]] == ["api"]
    policies = of_kind(made, "NetworkPolicy")
    (source,) = policies["vps-cluster-store/api-to-valkey-6379-in"]["spec"]["ingress"][0]["from"]
    assert source["podSelector"] == {"matchLabels": {"vps.service": "sandbox"}}
    assert len([it for it in policies if it.startswith("vps-cluster-store/")]) == 3


def test_units_and_no_others_run_on_nodes_of_their_own(made: list[Resource]) -> None:
    assert not {"affinity", "tolerations"} & {
        key for name, pod in pods(made).items() if name not in ON_NODES for key in pod
    }
    own = pods(run_program("cluster", platform_config("cluster", cluster={"units": {"own_nodes": True}})))
    assert {name for name, pod in own.items() if "affinity" in pod} == {"sandbox"}
    affinity = own["sandbox"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    (term,) = affinity["nodeSelectorTerms"]
    (toleration,) = own["sandbox"]["tolerations"]
    assert [term["matchExpressions"][0]["key"], toleration["key"]] == ["vps.units", "vps.units"]


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
        *("traefik", "api", "executor", "alertmanager", "loki", "collector", "jaeger", "node-exporter"),
        *("blackbox-exporter", "probe"),
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
