"""The Pulumi program passes every policy, and needs every exemption."""

import json

import pytest

from infra.settings import STACKS_STORE
from policies.exemptions import EXEMPTIONS, READABLE_PATHS
from policies.objects import VOLUME
from policies.sandbox_profile import VARIABLE
from tests.policies.support import exemptions_used, violations
from tests.program import Resource, containers, platform_config, run_program
from tests.unit.infra.test_cluster import pods

PLACES = {
    "s3": {"url": "https://s3.example.com/bucket/prod"},
    "sftp": {"address": "nas.example.com", "user": "vps", "host_key": "ssh-ed25519 AAAA", "path": "backups"},
}


def inputs(resources: list[Resource]) -> list[tuple[str, str, dict[str, object]]]:
    return [(resource.type, resource.name, resource.inputs) for resource in resources]


@pytest.mark.parametrize("stack", ["local", "prod"])
def test_the_program_passes_every_policy(stack: str) -> None:
    assert violations(inputs(run_program(stack, platform_config(stack)))) == []


@pytest.mark.parametrize("kept", [False, True])
def test_the_program_with_a_store_of_its_own_passes_every_policy(kept: bool) -> None:
    sandbox = {"rate_store": STACKS_STORE, "keep_counts": kept}
    assert violations(inputs(run_program("local", platform_config("local", sandbox=sandbox)))) == []


def test_the_program_with_packages_passes_every_policy() -> None:
    made = run_program("local", platform_config("local", sandbox={"packages": {}}))
    assert violations(inputs(made)) == []
    assert "packages" in containers(made)


def test_the_program_with_rooms_passes_every_policy_and_keeps_them_on_a_volume() -> None:
    made = run_program("local", platform_config("local", sandbox={"rooms": {"members_of_all": 50}}))
    assert violations(inputs(made)) == []
    api = containers(made)["api"]
    volumes = {mount["target"]: mount["source"] for mount in api["mounts"] if mount["type"] == "volume"}
    assert volumes["/var/lib/rooms"] == "vps-local-rooms-data"
    assert api["memory"] == 192 + 16 + 2 * 50
    assert "rooms-data" not in str(containers(run_program("local", platform_config("local")))["api"]["mounts"])


def test_several_units_with_rooms_pass_every_policy() -> None:
    sandbox = {"rate_store": STACKS_STORE, "units": 2, "rooms": {}}
    services = {"openbao": {"enabled": True}}
    made = run_program("prod", platform_config("prod", sandbox=sandbox, backup={}, services=services))
    assert violations(inputs(made)) == []
    assert {"api-rooms", "executor-rooms", "api-rooms-agent"} <= set(containers(made))


def test_without_packages_nothing_is_made_for_them() -> None:
    made = run_program("local", platform_config("local"))
    assert [resource.name for resource in made if "packages" in resource.name] == []
    mounts = [mount for container in containers(made).values() for mount in container["mounts"]]
    assert [mount for mount in mounts if "packages" in mount["target"]] == []


@pytest.mark.parametrize("place", [{}, *({name: place} for name, place in PLACES.items())], ids=str)
def test_the_program_with_backups_passes_every_policy(place: dict[str, object]) -> None:
    made = run_program("local", platform_config("local", backup=place))
    assert violations(inputs(made)) == []
    volumes = {
        it["source"]: it.get("readOnly") for it in containers(made)["backup"]["mounts"] if it["type"] == "volume"
    }
    data = {it["name"] for kind, _, it in inputs(made) if kind == VOLUME and "data" in json.dumps(it["labels"])}
    # The collector's read positions mean nothing on another host.
    data.remove("vps-local-collector-data")
    own = {"vps-local-backup-scratch"} | ({"vps-local-backup-repository"} if not place else set())
    assert {name for name, read_only in volumes.items() if read_only and "backup-secrets" not in name} == data - own
    assert {name for name, read_only in volumes.items() if not read_only} == own


def test_the_program_with_everything_on_passes_every_policy_and_needs_every_exemption() -> None:
    sandbox = {"rooms": {}, "packages": {}, "mcp": True, "rate_store": STACKS_STORE, "keep_counts": True}
    vault = {"openbao": {"enabled": True}}
    made = inputs(run_program("local", platform_config("local", sandbox=sandbox, backup={}, services=vault)))
    assert violations(made) == []
    assert exemptions_used(made) == set(EXEMPTIONS)


def test_units_whose_secrets_openbao_brings_pass_every_policy() -> None:
    sandbox = {"rate_store": STACKS_STORE, "units": 2}
    made = run_program("prod", platform_config("prod", sandbox=sandbox, services={"openbao": {"enabled": True}}))
    assert violations(inputs(made)) == []
    assert {"api-agent", "api-2-agent", "traefik-agent"} <= set(containers(made))


def test_every_readable_path_is_mounted() -> None:
    """The control groups of the one version or of the other, on Docker's host or on a node."""
    bound = {
        (service, mount["source"])
        for version in (1, 2)
        for service, container in containers(
            run_program("local", platform_config("local", engine={"cgroup_version": version}))
        ).items()
        for mount in container.get("mounts", ())
        if mount["type"] == "bind" and not mount["source"].endswith(".sock")
    }
    on_nodes = {
        (service, volume["hostPath"]["path"])
        for service, pod in pods(run_program("cluster", platform_config("cluster"))).items()
        for volume in pod["volumes"]
        if "hostPath" in volume
    }
    assert bound | on_nodes == set(READABLE_PATHS)


@pytest.mark.parametrize(
    ("field", "weaker"),
    [
        ("pids", 500),
        ("memory_mb", 1024),
        ("network", "host"),
        ("user", "root"),
        ("read_only_root", False),
        ("timeout_seconds", 60),
    ],
)
def test_the_pack_refuses_the_programs_executor_with_a_weaker_profile(field: str, weaker: object) -> None:
    resources = run_program("local", platform_config("local"))
    envs = containers(resources)["executor"]["envs"]
    assert isinstance(envs, list)
    (declared,) = [variable for variable in envs if variable.startswith(f"{VARIABLE}=")]
    profile = json.loads(declared.removeprefix(f"{VARIABLE}=")) | {field: weaker}
    envs[envs.index(declared)] = f"{VARIABLE}={json.dumps(profile)}"
    assert [violation.policy for violation in violations(inputs(resources))] == [f"sandbox-{field.replace('_', '-')}"]
