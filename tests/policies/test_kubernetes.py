"""The rules for objects of Kubernetes: each refuses a fault in what the program makes, and no other rule does."""

import copy
from typing import Any

import pytest
from pulumi_policy.proxy import UNKNOWN_ARRAY_VALUE, UNKNOWN_STRING_VALUE

from app.profile import SandboxProfile
from infra.cluster import NOT_ON_CLUSTERS
from infra.kubernetes.admission import rules
from infra.service import ServiceArgs
from infra.settings import STACKS_STORE
from policies.kubernetes import KINDS
from policies.pack import RULES
from tests.pods import FAULTS, ISOLATED, ISOLATED_FAULTS
from tests.policies.support import Resource, violations
from tests.program import IMAGES, platform_config, run_program

ROOMS = {"rate_store": STACKS_STORE, "rooms": {}}
UNITS = ("sandbox-deployment", "sandbox-rooms-set")
"""The workload of the units, and that of the unit that has the rooms."""
WITHOUT = {service.replace("-", "_"): {"enabled": False} for service in NOT_ON_CLUSTERS}
NAMES = {rule.name for rule in RULES if rule.resource_type.startswith("kubernetes:")}


def several(by: str, operator: dict[str, str] | None = None) -> list[Resource]:
    """The resources of a stack with several units, and one that has the rooms."""
    settings = {
        "sandbox": ROOMS,
        "cluster": {"units": {"max": 2, "by": by}, "operator": operator},
        "services": {**WITHOUT, "prometheus": {"enabled": operator is None}},
        "images": {**IMAGES, "valkey": "registry.example.com/valkey:9"},
    }
    found = run_program("cluster", platform_config("cluster", **settings))
    return [Resource(it.type, it.name, it.inputs) for it in found]


def behind_gateway() -> list[Resource]:
    cluster = {"edge": {"name": "x", "namespace": "y", "listeners": ["z"]}, "issuer": "w"}
    found = run_program("cluster", platform_config("cluster", cluster=cluster))
    return [Resource(it.type, it.name, it.inputs) for it in found]


def with_packages() -> list[Resource]:
    found = run_program("cluster", platform_config("cluster", sandbox={"packages": {}}))
    return [Resource(it.type, it.name, it.inputs) for it in found]


@pytest.fixture(scope="module")
def made() -> list[Resource]:
    return several("adapter")


@pytest.fixture(params=UNITS)
def unit(made: list[Resource], request: pytest.FixtureRequest) -> Resource:
    return copy.deepcopy(next(it for it in made if it.name == request.param))


@pytest.fixture
def isolated() -> list[Resource]:
    """The resources of a stack whose units the cluster isolates."""
    cluster = {"edge": "NodePort", "units": ISOLATED}
    images = {**IMAGES, "valkey": "registry.example.com/valkey:9"}
    found = run_program("cluster", platform_config("cluster", cluster=cluster, sandbox=ROOMS, images=images))
    return [Resource(it.type, it.name, it.inputs) for it in found]


def pod(workload: Resource) -> dict[str, Any]:
    found: dict[str, Any] = workload.inputs["spec"]["template"]["spec"]
    return found


def fired(*resources: Resource) -> set[str]:
    return {found.policy for found in violations(resources)}


def test_the_program_passes_every_policy(made: list[Resource]) -> None:
    assert violations(made) == []


def test_it_makes_each_kind_that_the_pack_allows(made: list[Resource]) -> None:
    every = [*made, *several("keda", {}), *behind_gateway()]
    assert {it.type for it in every if it.type.startswith("kubernetes:")} == KINDS
    assert violations(every) == []


def test_packages_on_a_cluster_pass_every_policy() -> None:
    assert violations(with_packages()) == []


@pytest.mark.parametrize(
    ("workload", "container", "mount"),
    [
        ("sandbox", "executor", {"name": "packages-store", "mountPath": "/x", "readOnly": False}),
        ("sandbox", "api", {"name": "packages-run", "mountPath": "/x"}),
        ("sandbox", "api", {"name": "packages-store", "mountPath": "/x", "readOnly": UNKNOWN_STRING_VALUE}),
        ("sandbox", "packages-copy", {"name": "api-watched", "mountPath": "/x", "readOnly": True}),
        ("packages", "packages", {"name": "packages-secrets", "mountPath": "/x", "readOnly": True}),
    ],
)
def test_only_the_packages_service_and_a_copy_write_to_a_store(
    workload: str, container: str, mount: dict[str, Any]
) -> None:
    found = next(it for it in with_packages() if it.name == f"{workload}-deployment")
    every = [*pod(found).get("initContainers", ()), *pod(found)["containers"]]
    next(it for it in every if it["name"] == container)["volumeMounts"].append(mount)
    assert fired(found) == {"packages-pod"}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_preview_refuses_what_the_api_server_would(unit: Resource, fault: str) -> None:
    refused_by, change = FAULTS[fault]
    change(pod(unit))
    found = {name.removeprefix("pod-") for name in fired(unit)}
    assert found == refused_by - ({"volumes"} if fault == "a token" else set())


def test_units_that_the_cluster_isolates_pass_every_policy(isolated: list[Resource]) -> None:
    assert violations(isolated) == []


@pytest.mark.parametrize("name", UNITS)
@pytest.mark.parametrize("fault", ISOLATED_FAULTS)
def test_the_preview_refuses_a_fault_of_a_unit_that_the_cluster_isolates(
    isolated: list[Resource], fault: str, name: str
) -> None:
    unit = next(it for it in isolated if it.name == name)
    refused_by, change = ISOLATED_FAULTS[fault]
    change(pod(unit))
    assert {name.removeprefix("pod-") for name in fired(unit)} == refused_by


def test_each_rule_of_admission_is_one_of_the_pack_and_has_a_fault() -> None:
    nothing: Any = None
    own = ServiceArgs(
        "executor", (), nothing, 1, 1, environment={"EXECUTOR_PROFILE": SandboxProfile().model_dump_json()}
    )
    names = {rule.name for rule in rules("x", own, [], {})}
    assert {name.removeprefix("pod-") for name in NAMES if name.startswith("pod-")} == names
    assert set().union(*(refused_by for refused_by, _ in FAULTS.values())) == names


def test_a_nodes_files_are_for_the_services_that_read_them_in_their_namespace(made: list[Resource]) -> None:
    collector = copy.deepcopy(next(it for it in made if it.name == "collector-daemon-set"))
    assert fired(collector) == set()
    (mount,) = (it for it in pod(collector)["containers"][0]["volumeMounts"] if it["mountPath"] == "/host/log")
    mount["readOnly"] = False
    assert fired(collector) == {"pod-node-paths"}
    mount["readOnly"] = True
    for key, value in (("vps.service", "other"), ("vps.stack", "other")):
        other = copy.deepcopy(collector)
        other.inputs["metadata"]["labels"][key] = value
        assert fired(other) == {"pod-user", "pod-volumes"}


@pytest.mark.parametrize(
    "rules",
    [
        [],
        [{"backendRefs": []}],
        [{"backendRefs": [{"name": "prometheus", "port": 9090}]}],
        [{"backendRefs": [{"name": "traefik-visitors", "port": 80, "namespace": "other"}]}],
        [{"backendRefs": [{"name": "traefik-visitors", "port": 80}]}, {"filters": [{"type": "RequestRedirect"}]}],
        [{"backendRefs": [{"name": "traefik-visitors", "port": 80}], "filters": [{"type": "RequestMirror"}]}],
        [{"backendRefs": [{"name": "traefik-visitors", "port": 80}, {"name": "traefik-visitors", "port": 81}]}],
    ],
)
def test_a_gateway_leads_to_the_edge_alone(rules: list[dict[str, Any]]) -> None:
    route = next(it for it in behind_gateway() if it.name == "api-route")
    assert fired(route) == set()
    for key, value in (("rules", rules), ("rules", None)):
        route.inputs["spec"][key] = value
        assert fired(route) == {"gateway-route"}


@pytest.mark.parametrize(
    "change",
    [
        {"from": []},
        {"from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "y"}]},
        {"to": [{"group": "", "kind": "Secret"}]},
        {"to": [{"group": "", "kind": "Service", "name": "traefik-certificate"}]},
    ],
)
def test_gateways_may_refer_to_the_edges_certificate_alone(change: dict[str, Any]) -> None:
    grant = next(it for it in behind_gateway() if it.type.endswith(":ReferenceGrant"))
    assert fired(grant) == set()
    grant.inputs["spec"].update(change)
    assert fired(grant) == {"certificate-grant"}


@pytest.mark.parametrize("change", [{"secretName": "traefik-secrets"}, {"isCA": True}, {"isCA": UNKNOWN_STRING_VALUE}])
def test_a_certificate_is_the_edges_and_certifies_no_others(change: dict[str, Any]) -> None:
    certificate = next(it for it in behind_gateway() if it.type.endswith("/v1:Certificate"))
    assert fired(certificate) == set()
    certificate.inputs["spec"].update(change)
    assert fired(certificate) == {"certificate"}


def test_a_token_and_rights_are_for_the_adapter_alone(made: list[Resource]) -> None:
    adapter = copy.deepcopy(next(it for it in made if it.name == "prometheus-adapter-deployment"))
    assert fired(adapter) == set()
    pod(adapter)["containers"].append({**pod(adapter)["containers"][0], "name": "other"})
    assert fired(adapter) == {"pod-token"}
    bindings = copy.deepcopy([it for it in made if it.type.endswith("Binding") and "rbac" in it.type])
    assert len(bindings) == 2
    for binding in bindings:
        strong, wide = copy.deepcopy(binding), copy.deepcopy(binding)
        strong.inputs["roleRef"]["name"] = "cluster-admin"
        wide.inputs["subjects"].append({"kind": "Group", "name": "system:serviceaccounts"})
        assert fired(strong) == fired(wide) == {"rights"}
    (api,) = copy.deepcopy([it for it in made if it.type.endswith(":APIService")])
    api.inputs["spec"]["group"] = "apps"
    assert fired(api) == {"metrics-api"}


@pytest.mark.parametrize("unknown", [UNKNOWN_ARRAY_VALUE, [UNKNOWN_STRING_VALUE]])
@pytest.mark.parametrize("name", ["containers", "initContainers"])
def test_containers_that_are_unknown_before_the_update_are_refused(unit: Resource, name: str, unknown: Any) -> None:
    pod(unit)[name] = unknown
    assert {"pod-image", "pod-user", "pod-limits"} <= fired(unit)


def test_the_executors_privileges_are_for_the_unit_alone(unit: Resource) -> None:
    has_rooms = unit.name == "sandbox-rooms-set"
    unit.inputs["metadata"]["labels"]["vps.service"] = "other"
    assert fired(unit) == {"pod-capabilities", "pod-user", "pod-seccomp", *(["rooms-claim"] if has_rooms else [])}


def test_the_volume_of_the_rooms_is_for_the_api_of_their_unit_alone(made: list[Resource]) -> None:
    claim = {"name": "other", "persistentVolumeClaim": {"claimName": "rooms-data-sandbox-rooms-0"}}
    for name, kind, volume in (
        ("sandbox-rooms-set", "initContainers", "rooms-data"),
        ("sandbox-deployment", "containers", "other"),
        ("sandbox-deployment", "initContainers", "other"),
    ):
        changed = copy.deepcopy(next(it for it in made if it.name == name))
        pod(changed)["volumes"] += [claim, {"name": "rooms-data", "emptyDir": {}}]
        assert fired(changed) == set()
        pod(changed)[kind][0]["volumeMounts"].append({"name": volume, "mountPath": "/rooms", "readOnly": True})
        assert fired(changed) == {"rooms-claim"}


@pytest.mark.parametrize(
    "kind",
    [
        "core/v1:Pod",
        "apps/v1:ReplicaSet",
        "apps/v1:DeploymentPatch",
        "batch/v1:Job",
        "helm.sh/v3:Release",
        "core/v1:PersistentVolume",
    ],
)
def test_other_kinds_are_refused(unit: Resource, kind: str) -> None:
    assert fired(Resource(f"kubernetes:{kind}", "x", unit.inputs)) == {"kubernetes-kind"}


def test_namespaces_are_restricted_but_for_the_units_and_what_reads_a_nodes_files(made: list[Resource]) -> None:
    for found in copy.deepcopy([it for it in made if it.type.endswith(":Namespace")]):
        found.inputs["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = "privileged"
        held = found.name in ("units-namespace", "nodes-namespace")
        assert fired(found) == (set() if held else {"namespace-security"})
        del found.inputs["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        assert fired(found) == {"namespace-security"}


@pytest.mark.parametrize("change", [{"type": "NodePort"}, {"type": "LoadBalancer"}, {"externalIPs": ["192.0.2.1"]}])
def test_only_the_edge_is_published(made: list[Resource], change: dict[str, Any]) -> None:
    api = copy.deepcopy(next(it for it in made if it.name == "api-service"))
    api.inputs["spec"].update(change)
    assert fired(api) == {"service-published"}
