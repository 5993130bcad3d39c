"""The resources of the Pulumi program, under mocks."""

import json
import re
from ipaddress import IPv6Network
from typing import Any

import pytest
import yaml

from app.environments import DEFAULT_ENVIRONMENTS, ENVIRONMENTS
from app.executor.seccomp import for_executor
from app.executor.settings import Bounds, ExecutorSettings
from app.profile import SandboxProfile
from infra.config import SettingsError, parse_settings
from infra.docker.networks import unique_local
from infra.optional_services import SERVICES, Services
from infra.services.openbao import OPENBAO
from infra.settings import STACKS_STORE
from tests.program import (
    SECRETS,
    Recorder,
    Resource,
    config_files,
    containers,
    platform_config,
    run_program,
    watched_file,
)

NETWORK = "docker:index/network:Network"


@pytest.fixture(scope="module")
def local() -> list[Resource]:
    return run_program("local", platform_config("local"))


def envs(container: dict[str, object]) -> dict[str, str]:
    assert isinstance(container["envs"], list)
    return dict(entry.split("=", 1) for entry in container["envs"])


def test_every_service_runs(local: list[Resource]) -> None:
    assert set(containers(local)) == {"traefik", "api", "executor", *SERVICES} - {OPENBAO.name}


def test_the_program_runs_where_an_up_leaves_dockers_resources_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Recorder, "outputs", lambda *_: {})
    whole = {"rooms": {}, "packages": {}, "rate_store": STACKS_STORE}
    backup = {"s3": {"url": "https://s3.example.com/bucket"}}
    found = run_program("prod", platform_config("prod", name="left-out", sandbox=whole, backup=backup))
    assert set(containers(found)) >= {"api", "backup", "traefik", "packages", "valkey"}


def test_every_name_begins_with_the_prefix(local: list[Resource]) -> None:
    named = [r for r in local if r.type.startswith("docker:") and "RemoteImage" not in r.type]
    assert len(named) > 10
    assert {r.inputs["name"].rpartition("vps-local-")[0] for r in named} == {""}


def test_only_the_edge_publishes_ports(local: list[Resource]) -> None:
    published = {service: c["ports"] for service, c in containers(local).items() if c.get("ports")}
    assert published == {"traefik": [{"internal": 8080, "external": 8000, "ip": "127.0.0.1"}]}


def test_only_the_public_network_has_ipv6_and_only_where_the_edge_publishes_it(local: list[Resource]) -> None:
    assert not [r.name for r in local if r.type == NETWORK and r.inputs.get("ipv6")]
    resources = run_program("prod", platform_config("prod"))
    with_ipv6 = [r.inputs for r in resources if r.type == NETWORK and r.inputs.get("ipv6")]
    (subnet,) = [subnet for network in with_ipv6 for subnet in network["ipamConfigs"]]
    assert [network["name"] for network in with_ipv6] == ["vps-prod-public-ipv6"]
    assert subnet == {"subnet": str(unique_local("vps-prod-public-ipv6"))}
    ports = containers(resources)["traefik"]["ports"]
    assert len({port["internal"] for port in ports}) == len(ports), "the provider keys ports by their internal number"
    assert sorted((port["external"], port["ip"]) for port in ports) == [
        (80, "0.0.0.0"),  # noqa: S104 - the value under test
        (80, "::"),
        (443, "0.0.0.0"),  # noqa: S104 - the value under test
        (443, "::"),
    ]


def test_each_network_name_has_another_subnet() -> None:
    subnets = {unique_local(f"vps-{number}-public-ipv6") for number in range(1000)}
    assert len(subnets) == 1000
    assert {subnet.prefixlen for subnet in subnets} == {64}
    assert all(subnet.subnet_of(IPv6Network("fd00::/8")) for subnet in subnets)
    # Pinned: another value would replace the network of every stack.
    assert str(unique_local("vps-prod-public-ipv6")) == "fd2c:de40:40d7:5232::/64"


def test_only_portainer_mounts_dockers_socket(local: list[Resource]) -> None:
    holders = {
        service
        for service, container in containers(local).items()
        if any("docker.sock" in str(mount) for mount in container.get("mounts", []))
    }
    assert holders == {"portainer"}


def test_the_executor_has_no_network_and_the_declared_profile(local: list[Resource]) -> None:
    executor = containers(local)["executor"]
    assert executor["networkMode"] == "none"
    assert SandboxProfile.model_validate_json(envs(executor)["EXECUTOR_PROFILE"]) == SandboxProfile()
    assert tuple(json.loads(envs(executor)["EXECUTOR_ENVIRONMENTS"])) == DEFAULT_ENVIRONMENTS


def test_only_the_executor_has_capabilities_and_profiles_of_its_own(local: list[Resource]) -> None:
    added = {
        service: it["capabilities"]["adds"] for service, it in containers(local).items() if "adds" in it["capabilities"]
    }
    assert added == {"executor": ["CAP_SYS_ADMIN", "CAP_SETUID", "CAP_SETGID", "CAP_CHOWN", "CAP_MKNOD"]}
    options = {service: it["securityOpts"][1:] for service, it in containers(local).items() if it["securityOpts"][1:]}
    assert options == {"executor": [f"seccomp={for_executor()}", "apparmor=vps-executor"]}


def test_the_executors_limits_hold_all_sandboxes(local: list[Resource]) -> None:
    executor = containers(local)["executor"]
    assert (executor["memory"], executor["memorySwap"], executor["cpus"]) == (256 + 4 * 256, 256 + 4 * 256, "1.0")
    sandbox = {"concurrency": 8, "profile": {"memory_mb": 64}, "cpus": 2.5}
    other = containers(run_program("local", platform_config("local", sandbox=sandbox)))["executor"]
    assert (other["memory"], other["cpus"]) == (256 + 8 * 64, "2.5")
    own = containers(run_program("local", platform_config("local", sandbox={"memory_mb": 700})))["executor"]
    assert own["memory"] == 700


def test_a_limit_in_which_no_sandbox_fits_is_refused() -> None:
    platform = platform_config("local", sandbox={"memory_mb": 383})
    with pytest.raises(SettingsError, match="memory_mb is 383, and the executor with one sandbox needs 384"):
        parse_settings(platform, "local")


def test_the_executors_run_is_in_memory(local: list[Resource]) -> None:
    mounts = {mount["target"]: mount for mount in containers(local)["executor"]["mounts"]}
    assert {target: mount["type"] for target, mount in mounts.items()} == {
        "/run/executor": "volume",
        "/tmp": "tmpfs",
        "/run": "tmpfs",
    }
    assert mounts["/run"]["tmpfsOptions"] == {"sizeBytes": 16 * 1024**2}


def test_the_api_trusts_only_the_network_of_the_edge(local: list[Resource]) -> None:
    api = containers(local)["api"]
    assert envs(api)["API_TRUSTED_PROXIES"] == '["172.30.0.0/24"]'
    assert [network["name"] for network in api["networksAdvanced"]] == ["vps-local-api", "vps-local-monitoring"]


def test_no_password_is_in_an_environment_or_a_label(local: list[Resource]) -> None:
    for service, container in containers(local).items():
        visible = json.dumps([container["envs"], container["labels"], container["command"]])
        assert not [secret for secret in SECRETS.values() if secret in visible], service


def test_a_changed_config_file_gets_another_volume() -> None:
    def name(hours: int) -> str:
        resources = run_program("local", platform_config("local", services={"loki": {"retention_hours": hours}}))
        return str(containers(resources, "config")["loki"]["name"])

    assert name(24) == name(24)
    assert name(24) != name(48)


def test_a_changed_route_changes_a_file_that_the_edge_watches_and_not_the_edge(local: list[Resource]) -> None:
    other = run_program("local", platform_config("local", edge={"domain": "example.com"}))
    assert watched_file(local, "traefik") != watched_file(other, "traefik")
    assert containers(local)["traefik"] == containers(other)["traefik"]


def test_the_edge_sends_to_an_api_that_is_made_before_the_former_one_is_stopped(local: list[Resource]) -> None:
    def unit(**sandbox: Any) -> dict[str, dict[str, Any]]:
        resources = run_program("local", platform_config("local", sandbox=sandbox))
        found = containers(resources)
        assert f"http://{found['api']['name']}:8000" in watched_file(resources, "traefik")
        return {service: found[service] for service in ("api", "executor")}

    usual, api, executor = unit(), unit(requests_per_minute=11), unit(queue_seconds=11)
    names = {tuple(container["name"] for container in each.values()) for each in (usual, api, executor)}
    assert len(names) == 3
    assert usual["executor"] == api["executor"]
    # Each executor has a socket of its own, so that the former api can't reach the new executor.
    sockets = [each["api"]["mounts"][0] for each in (usual, executor)]
    assert [it["target"] for it in sockets] == ["/run/executor", "/run/executor"]
    assert sockets[0]["source"] != sockets[1]["source"] == executor["executor"]["mounts"][0]["source"]
    assert usual["api"]["wait"]
    variables = envs(usual["api"])
    assert (
        usual["api"]["stopTimeout"] == int(variables["API_LINGER_SECONDS"]) + int(variables["API_GRACE_SECONDS"]) + 10
    )


def test_routes_have_the_host_names_of_the_urls(local: list[Resource]) -> None:
    routers = yaml.safe_load(watched_file(local, "traefik"))["http"]["routers"]
    assert routers["api"]["rule"] == "Host(`localhost`) || Host(`127.0.0.1`)"
    assert "password" not in routers["api"]["middlewares"]
    for service in ("traefik", "prometheus", "alertmanager", "jaeger", "portainer"):
        assert "password" in routers[service]["middlewares"]
        assert routers[service]["rule"] == f"Host(`{service}.localhost`)"
    assert set(routers) == {"api", "traefik", "prometheus", "alertmanager", "jaeger", "grafana", "portainer", "status"}


def test_production_redirects_to_https_with_certificates_from_dns_challenges() -> None:
    resources = run_program("prod", platform_config("prod"))
    static = yaml.safe_load(config_files(resources, "traefik")["/etc/traefik/traefik.yml"])
    acme = static["certificatesResolvers"]["acme"]["acme"]
    assert acme["dnsChallenge"]["provider"] == "cloudflare"
    for entry in ("web", "web6"):
        assert static["entryPoints"][entry]["http"]["redirections"]["entryPoint"]["scheme"] == "https"
    assert envs(containers(resources)["traefik"]) == {
        "CF_DNS_API_TOKEN_FILE": "/run/secrets/cloudflare-token",
        "CLOUDFLARE_BASE_URL": "https://api.cloudflare.com/client/v4",
        "GOMAXPROCS": "1",
    }
    routers = yaml.safe_load(watched_file(resources, "traefik"))["http"]["routers"]
    assert all(router["entryPoints"] == ["websecure", "websecure6"] for router in routers.values())


def test_a_volume_without_a_folder_in_the_image_is_made_writable_before_its_service_starts() -> None:
    resources = run_program("prod", platform_config("prod"))
    opener = containers(resources, "data")["traefik"]
    volume = {"source": "vps-prod-certificates-data", "type": "volume", "readOnly": False}
    assert opener["mounts"] == [{**volume, "target": "/tmp"}]
    assert (opener["start"], opener["image"]) == (False, containers(resources)["traefik"]["image"])
    assert {**volume, "target": "/certificates"} in containers(resources)["traefik"]["mounts"]


def test_services_that_are_off_leave_no_resources() -> None:
    services = {name: {"enabled": False} for name in Services.model_fields}
    resources = run_program("local", platform_config("local", services=services))
    assert set(containers(resources)) == {"traefik", "api", "executor"}
    networks = {resource.name for resource in resources if resource.type == NETWORK}
    assert networks == {"api-network", "public-network"}
    assert "API_OTLP_ENDPOINT" not in envs(containers(resources)["api"])
    assert envs(containers(resources)["executor"])["EXECUTOR_TRACES"] == "false"
    assert "tracing" not in yaml.safe_load(config_files(resources, "traefik")["/etc/traefik/traefik.yml"])


@pytest.mark.parametrize("kept", [False, True])
def test_only_the_api_reaches_the_stacks_store(kept: bool) -> None:
    sandbox = {"rate_store": STACKS_STORE, "keep_counts": kept}
    resources = run_program("local", platform_config("local", sandbox=sandbox))
    found = containers(resources)
    assert {
        service for service, container in found.items() if "vps-local-store" in str(container.get("networksAdvanced"))
    } == {"api", "valkey"}
    assert envs(found["api"])["API_RATE_STORE"] == STACKS_STORE
    volumes = [mount["source"] for mount in found["valkey"]["mounts"] if mount["type"] == "volume"]
    assert volumes == (["vps-local-valkey-data"] if kept else [])


@pytest.mark.parametrize("off", [field for field in Services.model_fields if field != OPENBAO.name])
def test_each_service_can_be_switched_off_alone(off: str) -> None:
    resources = run_program("local", platform_config("local", services={off: {"enabled": False}}))
    (service,) = set(SERVICES) - set(containers(resources)) - {OPENBAO.name}
    assert SERVICES[service] == off
    # No scrape target and no route of the service is left.
    for other in ("prometheus", "traefik"):
        assert off == other or not re.search(rf"(//|- ){service}:\d", json.dumps(config_files(resources, other)))


def test_every_environment_can_be_switched_on() -> None:
    resources = run_program("local", platform_config("local", sandbox={"environments": list(ENVIRONMENTS)}))
    settings = ExecutorSettings.read(envs(containers(resources)["executor"]))
    assert (list(settings.environments), list(settings.pools)) == ([*ENVIRONMENTS], [*ENVIRONMENTS])


@pytest.mark.parametrize(("has", "profile"), [(True, "vps-executor"), (False, "unconfined")])
def test_apparmor_holds_the_executor_where_the_host_has_it(has: bool, profile: str) -> None:
    """Without the option Docker would use its own profile, which forbids mounts."""
    found = containers(run_program("local", platform_config("local", engine={"apparmor": has})))
    assert f"apparmor={profile}" in found["executor"]["securityOpts"]
    assert ExecutorSettings.read(envs(found["executor"])).apparmor is has
    assert not [name for name, it in found.items() if name != "executor" and "apparmor" in str(it["securityOpts"])]


def test_an_environment_that_is_off_is_not_named_to_the_executor() -> None:
    sandbox = {"environments": ["python", "bash"], "pools": {"python": {"min": 1, "max": 2}}}
    resources = run_program("local", platform_config("local", sandbox=sandbox))
    executor = envs(containers(resources)["executor"])
    assert set(json.loads(executor["EXECUTOR_ENVIRONMENTS"])) == {"python", "bash"}
    assert ExecutorSettings.read(executor).pools["python"] == Bounds(min=1, max=2)


def test_a_change_of_keys_reaches_the_running_api() -> None:
    """The stack holds only hashes, in a volume whose name does not depend on them: only the loader is replaced."""

    def made(*secrets: str) -> tuple[dict[str, object], str]:
        keys = [{"name": "site", "secrets": [f"sha256:{secret * 64}" for secret in secrets]}] if secrets else []
        resources = run_program("local", platform_config("local", sandbox={"keys": keys}))
        return containers(resources)["api"], watched_file(resources, "api")

    before, none = made()
    after, one = made("0")
    rotated, both = made("0", "1")
    assert before == after == rotated
    assert json.loads(none) == []
    assert [key["secrets"] for text in (one, both) for key in json.loads(text)] == [
        ["sha256:" + "0" * 64],
        ["sha256:" + "0" * 64, "sha256:" + "1" * 64],
    ]
