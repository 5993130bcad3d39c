"""Rooms where there are several units: one more has all of them, on Docker and on a cluster, under mocks."""

from collections import Counter
from typing import Any

import pytest
import yaml

from app.api.settings import ApiSettings
from infra.config import parse_settings
from infra.kubernetes.arrows import Arrow, arrows
from infra.services import catalog
from infra.settings import STACKS_STORE
from tests.pods import ISOLATED, RUNTIME_CLASS
from tests.program import (
    IMAGES,
    Resource,
    config_files,
    containers,
    platform_config,
    run_program,
    watched_file,
)
from tests.unit.infra.test_cluster import IMAGE, WITHOUT, of_kind, pods

ROOMS: dict[str, Any] = {"rate_store": STACKS_STORE, "rooms": {"members_of_all": 50}}
TWO = {**ROOMS, "units": 2}
MEMORY_MB = 192
OF_ROOMS_MB = 16 + 2 * 50


@pytest.fixture(scope="module")
def two() -> list[Resource]:
    return run_program("local", platform_config("local", sandbox=TWO, backup={}))


def on_cluster(**changes: Any) -> list[Resource]:
    values = {"sandbox": ROOMS, "images": {**IMAGES, "valkey": IMAGE}, **changes}
    return run_program("cluster", platform_config("cluster", **values))


@pytest.fixture(scope="module")
def cluster() -> list[Resource]:
    return on_cluster()


def environment(container: dict[str, Any]) -> dict[str, str]:
    return dict(entry.split("=", 1) for entry in container["envs"])


def volumes(container: dict[str, Any]) -> dict[str, str]:
    return {it["target"]: it["source"] for it in container["mounts"] if it["type"] == "volume"}


def test_one_unit_has_its_rooms_itself() -> None:
    made = containers(run_program("local", platform_config("local", sandbox=ROOMS)))
    assert "api-rooms" not in made
    assert volumes(made["api"])["/var/lib/rooms"] == "vps-local-rooms-data"
    assert made["api"]["memory"] == MEMORY_MB + OF_ROOMS_MB
    without = containers(run_program("local", platform_config("local", sandbox={**TWO, "rooms": None})))
    assert "api-rooms" not in without


def test_of_several_units_one_more_has_the_rooms(two: list[Resource]) -> None:
    made = containers(two)
    apis = {name: ApiSettings.read(environment(made[name])) for name in ("api", "api-2", "api-rooms")}
    assert {name: it.rooms_folder is not None for name, it in apis.items()} == {
        "api": False,
        "api-2": False,
        "api-rooms": True,
    }
    assert all(it.rooms for it in apis.values()), "each says in GET /environments that there are rooms"
    assert {name: made[name]["memory"] for name in apis} == {
        "api": MEMORY_MB,
        "api-2": MEMORY_MB,
        "api-rooms": MEMORY_MB + OF_ROOMS_MB,
    }
    sockets = {volumes(made[name])["/run/executor"] for name in apis}
    assert len(sockets) == 3
    assert volumes(made["executor-rooms"])["/run/executor"] == volumes(made["api-rooms"])["/run/executor"]


def test_the_rooms_volume_moves_between_units_and_is_saved(two: list[Resource]) -> None:
    one = run_program("local", platform_config("local", sandbox=ROOMS, backup={}))

    def resource(made: list[Resource]) -> Resource:
        return next(it for it in made if it.name == "rooms-data")

    assert resource(one) == resource(two)
    for made, owner in ((one, "api"), (two, "api-rooms")):
        holders = {name for name, it in containers(made).items() if "vps-local-rooms-data" in volumes(it).values()}
        assert holders == {owner, "backup"}
    openers = [containers(made, "data")[owner]["name"] for made, owner in ((one, "api"), (two, "api-rooms"))]
    assert openers[0] != openers[1], "the next one is made before the former one is removed"


def test_the_edge_finds_the_rooms_unit_by_its_path(two: list[Resource]) -> None:
    http = yaml.safe_load(watched_file(two, "traefik"))["http"]
    made = containers(two)
    assert [it["url"] for it in http["services"]["api"]["loadBalancer"]["servers"]] == [
        f"http://{made[service]['name']}:8000" for service in ("api", "api-2")
    ]
    servers = http["services"]["api-rooms"]["loadBalancer"]["servers"]
    assert servers == [{"url": f"http://{made['api-rooms']['name']}:8000"}]
    whole, part = http["routers"]["api"], http["routers"]["api-rooms"]
    assert part["rule"] == f"({whole['rule']}) && (Path(`/rooms`) || PathPrefix(`/rooms/`))"
    assert part["service"] == "api-rooms"
    assert {**part, "rule": "", "service": ""} == {**whole, "rule": "", "service": ""}
    assert "priority" not in whole, "the longest rule is asked first"


def test_the_rooms_have_no_address_of_their_own(two: list[Resource], cluster: list[Resource]) -> None:
    routers = yaml.safe_load(watched_file(two, "traefik"))["http"]["routers"]
    assert [name for name, it in routers.items() if "rooms" in name or "rooms" in it["rule"]] == ["api-rooms"]
    (files,) = (it["data"] for name, it in of_kind(cluster, "ConfigMap").items() if "/traefik-watched-" in name)
    http = yaml.safe_load(files["routes.yml"])["http"]
    assert http["services"]["api-rooms"]["loadBalancer"]["servers"] == [{"url": "http://api-rooms:8000"}]
    assert http["services"]["api"]["loadBalancer"]["servers"] == [{"url": "http://api:8000"}]


def test_metrics_of_the_rooms_unit_have_a_label_on_docker(two: list[Resource]) -> None:
    prometheus = yaml.safe_load(config_files(two, "prometheus")["/etc/prometheus/prometheus.yml"])
    jobs = {it["job_name"]: it["static_configs"] for it in prometheus["scrape_configs"]}
    assert jobs["api"] == jobs["executor"]
    assert jobs["api"] == [
        {"targets": ["api:9000"]},
        {"targets": ["api-2:9000"]},
        {"targets": ["api-rooms:9000"], "labels": {"unit": "rooms"}},
    ]


def test_on_a_cluster_the_rooms_unit_is_a_stateful_set_of_one_pod(cluster: list[Resource]) -> None:
    found = of_kind(cluster, "StatefulSet")["vps-cluster-units/sandbox-rooms"]
    assert found["spec"]["replicas"] == 1
    assert [it["metadata"]["name"] for it in found["spec"]["volumeClaimTemplates"]] == ["rooms-data"]
    pod, unit = pods(cluster)["sandbox-rooms"], pods(cluster)["sandbox"]
    mounts = {
        it["name"]: {mount["name"] for mount in it["volumeMounts"]}
        for it in (*pod["initContainers"], *pod["containers"])
    }
    assert set(mounts) == {"executor", "api"}, "the admission rules know the executor by this name"
    assert {name for name, held in mounts.items() if "rooms-data" in held} == {"api"}
    assert "executor-run-rooms" in mounts["api"] & mounts["executor"]
    assert pod["securityContext"]["fsGroup"] == pod["containers"][0]["securityContext"]["runAsGroup"]
    for kind in ("initContainers", "containers"):
        assert pod[kind][0]["securityContext"] == unit[kind][0]["securityContext"]
    limits = [it["containers"][0]["resources"]["limits"]["memory"] for it in (unit, pod)]
    assert limits == [f"{MEMORY_MB}Mi", f"{MEMORY_MB + OF_ROOMS_MB}Mi"]
    folders = {
        name: [it["value"] for it in spec["containers"][0]["env"] if it["name"] == "API_ROOMS_FOLDER"]
        for name, spec in pods(cluster).items()
        if name.startswith("sandbox")
    }
    assert folders == {"sandbox": [], "sandbox-rooms": ["/var/lib/rooms"]}


def test_the_rooms_unit_is_beside_the_others_and_is_not_scaled() -> None:
    units = {"units": {"min": 1, "max": 3, "own_nodes": True, **ISOLATED}}
    made = on_cluster(cluster=units)
    names = ("sandbox", "sandbox-rooms")
    for name in names:
        pod = pods(made)[name]
        assert "affinity" in pod
        assert (pod["hostUsers"], pod["runtimeClassName"]) == (False, RUNTIME_CLASS)
    (scaler,) = of_kind(made, "HorizontalPodAutoscaler").values()
    assert scaler["spec"]["scaleTargetRef"]["name"] == "sandbox"
    assert of_kind(made, "ResourceQuota")["vps-cluster-units/quota"]["spec"]["hard"]["pods"] == "7"
    without = on_cluster(cluster=units, sandbox={"rate_store": STACKS_STORE})
    assert of_kind(without, "ResourceQuota")["vps-cluster-units/quota"]["spec"]["hard"]["pods"] == "6"
    assert not [it.name for it in without if "rooms" in it.name]


def test_the_load_of_the_rooms_unit_does_not_change_the_number_of_the_others() -> None:
    made = on_cluster(cluster={"units": {"max": 2}})
    files = {name.partition("/")[2]: it["data"] for name, it in of_kind(made, "ConfigMap").items()}
    (prometheus,) = (it for name, it in files.items() if name.startswith("prometheus-config"))
    (rule,) = yaml.safe_load(prometheus["rules__units.yml"])["groups"][0]["rules"]
    assert rule["expr"].count('unit!="rooms"') == rule["expr"].count("sandbox_") == 2
    jobs = {it["job_name"]: it for it in yaml.safe_load(prometheus["prometheus.yml"])["scrape_configs"]}
    names = [f"{api}-pods.vps-cluster-units.svc.cluster.local" for api in ("api", "api-rooms")]
    for job in ("api", "executor"):
        assert jobs[job]["dns_sd_configs"][0]["names"] == names
        (label,) = jobs[job]["relabel_configs"]
        assert (label["source_labels"], label["target_label"]) == (["__meta_dns_name"], "unit")
        assert (label["regex"].replace("\\", ""), label["replacement"]) == (names[1], "rooms")
    assert not [name for name, it in jobs.items() if "relabel_configs" in it and name not in ("api", "executor")]
    each = of_kind(made, "Service")["vps-cluster-units/api-rooms-pods"]["spec"]
    assert each["selector"]["vps.service"] == "sandbox-rooms"


def test_arrows_lead_to_and_from_the_rooms_unit_as_of_another(cluster: list[Resource]) -> None:
    services = catalog.running(parse_settings(platform_config("cluster", sandbox=ROOMS), "cluster"))
    found = arrows(services)

    def of(api: str) -> set[Arrow]:
        renamed = {"api-rooms": "api"}
        return {
            Arrow(renamed.get(it.source, it.source), renamed.get(it.target, it.target), it.port)
            for it in found
            if api in (it.source, it.target)
        }

    assert of("api-rooms") == of("api")
    assert {(it.source, it.target) for it in of("api")} == {
        ("traefik", "api"),
        ("prometheus", "api"),
        ("api", "valkey"),
        ("api", "jaeger"),
    }
    policies = of_kind(cluster, "NetworkPolicy")
    for api, unit in (("api", "sandbox"), ("api-rooms", "sandbox-rooms")):
        into = policies[f"vps-cluster-units/traefik-to-{api}-8000-in"]["spec"]
        assert into["podSelector"] == {"matchLabels": {"vps.service": unit}}


def test_an_operator_of_the_cluster_scrapes_the_rooms_unit_under_the_same_jobs() -> None:
    services = {**WITHOUT, "prometheus": {"enabled": False}, "grafana": {"enabled": False}}
    made = on_cluster(services=services, cluster={"operator": {}})
    monitors = of_kind(made, "ServiceMonitor")
    for service, job in (("api-rooms", "api"), ("executor-rooms", "executor")):
        spec = monitors[f"vps-cluster-monitoring/{service}"]["spec"]
        assert spec["selector"]["matchLabels"]["vps.service"] == "sandbox-rooms"
        (endpoint,) = spec["endpoints"]
        labels = {it["targetLabel"]: it["replacement"] for it in endpoint["relabelings"]}
        assert labels == {"job": job, "unit": "rooms"}
    assert "vps-cluster-units/monitoring-to-api-rooms-9000" in of_kind(made, "NetworkPolicy")
    # Pulumi refuses two resources of a type with one name; the mocks don't.
    assert [it for it, count in Counter((it.type, it.name) for it in made).items() if count > 1] == []
