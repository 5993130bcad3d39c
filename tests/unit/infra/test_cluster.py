"""The resources of the Pulumi program on a Kubernetes cluster, under mocks."""

import json
import sys
from typing import Any

import pytest
import yaml

from app.executor.seccomp import file_on_node, for_executor
from app.profile import SandboxProfile
from infra.cluster import NOT_ON_CLUSTERS
from infra.config import SettingsError, parse_settings
from infra.kubernetes.arrows import Arrow, arrows, ports
from infra.services import catalog
from infra.services.edge import url
from infra.services.sandbox import EXECUTOR_CAPABILITIES, WITH_OWN_USERS
from infra.settings import STACKS_STORE
from tests.pods import ISOLATED, RUNTIME_CLASS
from tests.program import IMAGES, SECRETS, Resource, platform_config, readable, run_program

IMAGE = "registry.example.com/valkey:9"
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")
ON_NODES = {
    "collector": ["/var/log"],
    "container-exporter": ["/var/log/containers", "/sys/fs/cgroup"],
    "node-exporter": ["/etc/os-release"],
}
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


GATEWAY = {"name": "public", "namespace": "gateways", "listeners": ["https"]}


def behind_gateway(**gateway: Any) -> list[Resource]:
    return run_program("cluster", platform_config("cluster", cluster={"edge": GATEWAY | gateway}))


def test_a_gateway_leads_to_the_edge_which_believes_its_pods_alone() -> None:
    made = behind_gateway()
    service = of_kind(made, "Service")["vps-cluster-edge/traefik-visitors"]["spec"]
    assert service["type"] == "ClusterIP"
    assert "externalTrafficPolicy" not in service
    routes = of_kind(made, "HTTPRoute")
    assert routes["vps-cluster-edge/api"]["spec"] == {
        "parentRefs": [{"name": "public", "namespace": "gateways", "sectionName": "https"}],
        "hostnames": ["localhost"],
        "rules": [
            {"backendRefs": [{"name": "traefik-visitors", "port": 30080}], "timeouts": {"request": "0s"}},
        ],
    }
    assert routes["vps-cluster-edge/grafana"]["spec"]["hostnames"] == ["grafana.localhost"]
    policy = of_kind(made, "NetworkPolicy")["vps-cluster-edge/visitors-to-traefik"]["spec"]
    of_gateway = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "gateways"}}}
    assert [it["from"] for it in policy["ingress"]] == [[of_gateway]]
    (files,) = (it["data"] for name, it in of_kind(made, "ConfigMap").items() if "/traefik-config-" in name)
    entry = yaml.safe_load(files["traefik.yml"])["entryPoints"]["web"]
    assert "10.0.0.0/8" in entry["forwardedHeaders"]["trustedIPs"]
    (routes,) = (it["data"] for name, it in of_kind(made, "ConfigMap").items() if "/traefik-watched-" in name)
    assert yaml.safe_load(routes["routes.yml"])["http"]["middlewares"]["security-headers"]["headers"]["forceSTSHeader"]


def test_a_gateway_may_have_several_listeners_pods_elsewhere_and_no_time_limits_of_its_own() -> None:
    made = behind_gateway(listeners=["api", "dashboards"], proxies="envoy-gateway-system", timeouts=False, https=False)
    spec = of_kind(made, "HTTPRoute")["vps-cluster-edge/api"]["spec"]
    assert [it["sectionName"] for it in spec["parentRefs"]] == ["api", "dashboards"]
    assert list(spec["rules"][0]) == ["backendRefs"]
    policy = of_kind(made, "NetworkPolicy")["vps-cluster-edge/visitors-to-traefik"]["spec"]
    proxies = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "envoy-gateway-system"}}}
    assert [it["from"] for it in policy["ingress"]] == [[proxies]]
    (routes,) = (it["data"] for name, it in of_kind(made, "ConfigMap").items() if "/traefik-watched-" in name)
    assert "stsSeconds" not in routes["routes.yml"]


def test_proxies_outside_of_the_cluster_are_known_by_their_networks() -> None:
    made = behind_gateway(proxies=["192.0.2.0/24"])
    policy = of_kind(made, "NetworkPolicy")["vps-cluster-edge/visitors-to-traefik"]["spec"]
    assert [it["from"] for it in policy["ingress"]] == [[{"ipBlock": {"cidr": "192.0.2.0/24"}}]]
    (files,) = (it["data"] for name, it in of_kind(made, "ConfigMap").items() if "/traefik-config-" in name)
    assert yaml.safe_load(files["traefik.yml"])["entryPoints"]["web"]["forwardedHeaders"] == {
        "trustedIPs": ["192.0.2.0/24"]
    }


@pytest.mark.parametrize(
    ("gateway", "shown"),
    [({}, "https://x"), ({"port": 8443}, "https://x:8443"), ({"https": False, "port": 80}, "http://x")],
)
def test_urls_are_those_of_the_gateway(gateway: dict[str, Any], shown: str) -> None:
    settings = parse_settings(platform_config("cluster", cluster={"edge": GATEWAY | gateway}), "cluster")
    assert url(settings, "x") == shown


ISSUED: dict[str, Any] = {
    "cluster": {"edge": "NodePort", "issuer": "letsencrypt"},
    "edge": {"http_port": 30080, "tls": {"port": 30443}},
}


def test_the_clusters_issuer_certifies_the_host_names_in_place_of_acme() -> None:
    secrets = {name: it for name, it in SECRETS.items() if name != "cloudflareToken"}
    made = run_program("cluster", platform_config("cluster", **ISSUED), secrets)
    (certificate,) = of_kind(made, "Certificate").values()
    spec = certificate["spec"]
    assert (spec["issuerRef"]["name"], spec["secretName"]) == ("letsencrypt", "traefik-certificate")
    assert {"localhost", "grafana.localhost", "traefik.localhost"} <= set(spec["dnsNames"])
    assert "vps-cluster-edge/traefik" in of_kind(made, "Deployment")
    edge = pods(made)["traefik"]
    (mount,) = (it for it in edge["containers"][0]["volumeMounts"] if it["name"] == "traefik-certificate")
    assert mount == {"name": "traefik-certificate", "mountPath": "/certificates", "readOnly": True}
    assert {it["secret"]["secretName"] for it in edge["volumes"] if it["name"] == "traefik-certificate"} == {
        "traefik-certificate"
    }
    (files,) = (it["data"] for name, it in of_kind(made, "ConfigMap").items() if "/traefik-config-" in name)
    static = yaml.safe_load(files["traefik.yml"])
    assert static["providers"]["file"] == {"directory": "/certificates", "watch": True}
    assert static["entryPoints"]["websecure"]["http"]["tls"] == {}
    assert "certificatesResolvers" not in static
    (routes,) = (it["data"] for name, it in of_kind(made, "ConfigMap").items() if "/traefik-watched-" in name)
    assert yaml.safe_load(routes["routes.yml"])["tls"]["certificates"] == [
        {"certFile": "/certificates/tls.crt", "keyFile": "/certificates/tls.key"}
    ]


def test_a_wildcard_is_one_name_and_its_domain() -> None:
    config = {**ISSUED, "edge": {"http_port": 30080, "tls": {"port": 30443, "wildcard": True}}}
    (certificate,) = of_kind(run_program("cluster", platform_config("cluster", **config)), "Certificate").values()
    assert certificate["spec"]["dnsNames"] == ["localhost", "*.localhost"]


def test_listeners_of_a_gateway_may_refer_to_the_certificate() -> None:
    config = platform_config("cluster", cluster={"edge": GATEWAY, "issuer": "letsencrypt"})
    made = run_program("cluster", config)
    (grant,) = of_kind(made, "ReferenceGrant").values()
    assert grant["spec"]["from"][0]["namespace"] == "gateways"
    assert grant["spec"]["to"][0]["name"] == "traefik-certificate"
    assert "traefik-certificate" not in {it["name"] for it in pods(made)["traefik"]["volumes"]}


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
        (
            {"cluster": {"edge": GATEWAY}, "edge": {"tls": {"email": "a@example.com"}}},
            "cluster.edge is a Gateway, which has the certificates. Leave edge.tls out",
        ),
        ({"cluster": {"issuer": "x"}}, "cluster.issuer is set, and the edge has no HTTPS. Set edge.tls, as in"),
        (
            {**ISSUED, "edge": {"http_port": 30080, "tls": {"port": 30443, "email": "a@example.com"}}},
            "edge.tls.email is for ACME, and cluster.issuer issues the certificate. Leave it out",
        ),
        (
            {"sandbox": {"rooms": {}}},
            "on a cluster, sandbox.rooms have a unit of their own, and each unit would count by itself. Set "
            "sandbox.rate_store: valkey://valkey:6379/0",
        ),
        ({"cluster": {"units": {"min": 2, "max": 1}}}, "min is 2, and max is 1"),
        ({"cluster": {"units": {"runtime_class": "x"}}}, "runtime_class is for isolation: cluster"),
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
    assert len(policies) == 16
    for name, binding in bindings.items():
        assert policies[name]["spec"]["failurePolicy"] == "Fail"
        assert binding["spec"]["validationActions"] == ["Deny"]
        assert binding["spec"]["matchResources"] == {"namespaceSelector": {"matchLabels": {"vps.stack": "vps-cluster"}}}
    (profile,) = policies["/vps-cluster-sandbox-profile"]["spec"]["validations"]
    (declared,) = (it["value"] for it in containers(made)["executor"]["env"] if it["name"] == "EXECUTOR_PROFILE")
    assert SandboxProfile.model_validate_json(declared) == SandboxProfile()
    assert json.dumps(declared) in profile["expression"]


def test_a_unit_that_the_cluster_isolates_has_a_user_namespace_and_the_capabilities_for_one() -> None:
    made = run_program("cluster", platform_config("cluster", cluster={"edge": "NodePort", "units": ISOLATED}))
    unit = pods(made)["sandbox"]
    assert (unit["hostUsers"], unit["runtimeClassName"]) == (False, RUNTIME_CLASS)
    executor, api = (it["securityContext"] for it in (*unit["initContainers"], *unit["containers"]))
    assert executor["procMount"] == "Unmasked"
    assert executor["capabilities"] == {"drop": ["ALL"], "add": list(WITH_OWN_USERS)}
    assert "procMount" not in api
    assert {it["value"] for it in unit["initContainers"][0]["env"] if it["name"] == "EXECUTOR_HOST_USERS"} == {"false"}
    assert not [name for name, pod in pods(made).items() if "hostUsers" in pod and name != "sandbox"]


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
