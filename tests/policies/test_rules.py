"""Each rule reports a resource with one fault, no other rule does, and none reports a sound resource."""

import json
from typing import Any, NamedTuple

import pytest
from pulumi_policy.proxy import UNKNOWN_ARRAY_VALUE, UNKNOWN_BOOLEAN_VALUE, UNKNOWN_STRING_VALUE

from app.executor.seccomp import for_executor
from app.profile import FLOOR, SandboxProfile
from policies.exemptions import EXEMPTIONS, PRIVILEGES, READABLE_PATHS, Exemption
from policies.pack import POLICIES, RULES
from policies.rules import CONTAINER
from tests.policies import samples
from tests.policies.samples import (
    ID,
    collector,
    container,
    container_exporter,
    edge,
    executor,
    image,
    loader,
    network,
    packages,
    portainer,
    volume,
)
from tests.policies.support import Resource, exemptions_used, violations
from tests.profiles import WEAKER

UNIQUE_LOCAL = "fd12:3456:789a:1::/64"
IPV6 = {"internal": False, "ipv6": True, "ipamConfigs": [{"subnet": UNIQUE_LOCAL}]}


class Fires(NamedTuple):
    """Resources, and all policies that refuse them."""

    policies: set[str]
    resources: list[Resource]


def _bad(policies: str, *resources: Resource) -> Fires:
    return Fires(set(policies.split()), list(resources))


def _weak(field: str) -> Fires:
    profile = FLOOR.model_copy(update={field: WEAKER[field]})
    return _bad(f"sandbox-{field.replace('_', '-')}", executor(profile.model_dump_json()))


def _bind(source: str, **more: Any) -> list[dict[str, Any]]:
    return [{"type": "bind", "source": source, "target": "/x", **more}]


def _volume(source: str, **more: Any) -> list[dict[str, Any]]:
    return [{"type": "volume", "source": source, "target": "/x", **more}]


def _ports(external: int | None, ip: str) -> list[dict[str, Any]]:
    return [{"internal": 8000, "external": external, "ip": ip}]


def _adds(*capabilities: str) -> dict[str, Any]:
    return {"drops": ["ALL"], "adds": list(capabilities)}


CAPABILITIES = sorted(PRIVILEGES["executor"].capabilities)
SECCOMP = f"seccomp={for_executor()}"
LAX = json.loads(for_executor()) | {"defaultAction": "SCMP_ACT_ALLOW"}
EVERYWHERE = "0.0.0.0"  # noqa: S104 - the value under test

BAD = [
    *(_weak(field) for field in SandboxProfile.model_fields),
    _bad("sandbox-profile", executor(envs=["EXECUTOR_RUNTIME=crun"])),
    _bad("sandbox-profile", executor(envs=[])),
    _bad("sandbox-profile", executor("no JSON")),
    _bad("sandbox-profile", executor('{"pids": 5, "colour": "red"}')),
    _bad("sandbox-profile", executor(envs=["EXECUTOR_PROFILE={}", 'EXECUTOR_PROFILE={"pids": 999}'])),
    _bad("sandbox-profile", executor(envs=[UNKNOWN_STRING_VALUE])),
    _bad("sandbox-executor", container("api")),
    _bad("sandbox-executor", container("api"), executor(start=False, mustRun=False, restart="no")),
    _bad("container-privileged", container("x", privileged=True)),
    _bad("container-privileged", loader(privileged=True)),
    _bad("container-capabilities-dropped", container("x", capabilities=None)),
    _bad("container-capabilities-dropped", container("x", capabilities={"drops": ["NET_RAW"]})),
    _bad("container-capabilities-added", container("x", capabilities={"drops": ["ALL"], "adds": ["SYS_ADMIN"]})),
    _bad("container-capabilities-added", loader(capabilities={"adds": ["NET_BIND_SERVICE"]})),
    _bad("container-capabilities-added", executor(capabilities=_adds(*CAPABILITIES, "CAP_NET_ADMIN"))),
    _bad("container-capabilities-added", executor(capabilities=_adds("ALL"))),
    _bad("container-capabilities-added", executor(capabilities=_adds(UNKNOWN_STRING_VALUE))),
    _bad("container-capabilities-added", executor(capabilities={"drops": ["ALL"], "adds": UNKNOWN_ARRAY_VALUE})),
    _bad("container-capabilities-added", container("x", capabilities=_adds("CAP_CHOWN"))),
    _bad("container-capabilities-added", portainer(capabilities=_adds(*CAPABILITIES))),
    _bad("container-capabilities-dropped", executor(capabilities={"adds": CAPABILITIES})),
    _bad("container-no-new-privileges", container("x", securityOpts=None)),
    _bad(
        "container-no-new-privileges container-security-options",
        container("x", securityOpts=["no-new-privileges:false"]),
    ),
    _bad("container-security-options", container("x", securityOpts=["no-new-privileges", "seccomp=unconfined"])),
    _bad("container-security-options", container("x", securityOpts=["no-new-privileges", "apparmor=unconfined"])),
    _bad("container-security-options", loader(securityOpts=["label=disable"])),
    *(
        _bad("container-security-options", executor(securityOpts=["no-new-privileges:true", option]))
        for option in (
            *("seccomp=unconfined", f"{SECCOMP} ", f"seccomp={json.dumps(LAX)}", UNKNOWN_STRING_VALUE),
            *("apparmor=vps-sandbox", "apparmor=", "apparmor:vps-executor "),
        )
    ),
    _bad(
        "container-security-options", container("x", securityOpts=["no-new-privileges:true", "apparmor=vps-executor"])
    ),
    _bad("container-security-options", container("x", securityOpts=["no-new-privileges:true", SECCOMP])),
    _bad("container-no-new-privileges", executor(securityOpts=[SECCOMP])),
    _bad("executor-user-namespace", executor(entrypoints=None)),
    _bad("executor-user-namespace", executor(entrypoints=["python", "-m", "app.executor"])),
    _bad("executor-user-namespace", executor(entrypoints=["sh"], command=["-c", "id"])),
    _bad("executor-user-namespace", executor(workingDir="/tmp")),
    _bad("executor-network", executor(networkMode="bridge", networksAdvanced=[{"name": "vps-test-edge"}])),
    _bad("executor-network", executor(networksAdvanced=[{"name": "vps-test-edge"}])),
    _bad("executor-memory container-memory container-swap", executor(memory=None, memorySwap=None)),
    _bad("executor-memory", executor(memory=383, memorySwap=383)),
    _bad("executor-memory container-memory container-swap", executor(memory=UNKNOWN_STRING_VALUE)),
    _bad("container-capabilities-added", samples.backup(capabilities=_adds("CAP_DAC_READ_SEARCH"))),
    _bad("backup-mounts", samples.backup(mounts=[{"type": "volume", "source": "x-data", "target": "/x"}])),
    _bad("packages-network", packages(networksAdvanced=[{"name": "vps-test-monitoring"}])),
    _bad("packages-network", packages(networksAdvanced=[{"name": n} for n in ("vps-test-outbound", "vps-test-api")])),
    _bad("packages-network", packages(networksAdvanced=[{"name": UNKNOWN_STRING_VALUE}])),
    _bad("packages-network", packages(networkMode="none", networksAdvanced=None)),
    *(
        _bad(
            "packages-mounts", packages(mounts=[{"type": "volume", "source": source, "target": "/x", "readOnly": True}])
        )
        for source in ("vps-test-packages-secrets-123", "vps-test-executor-run", UNKNOWN_STRING_VALUE)
    ),
    *(
        _bad("packages-store", service(mounts=[{"type": "volume", "source": "x-packages-store", "target": "/x"}]))
        for service in (executor, edge)
    ),
    *(
        _bad(
            "rooms-data",
            service(mounts=[{"type": "volume", "source": "x-rooms-data", "target": "/x", "readOnly": True}]),
        )
        for service in (executor, edge)
    ),
    _bad("openbao-network container-default-bridge", samples.agent(networkMode="bridge")),
    _bad("openbao-network", samples.agent(networksAdvanced=[{"name": "vps-test-monitoring"}])),
    _bad("openbao-network", container("openbao")),
    *(
        _bad("openbao-mounts", made(mounts=_volume(source, readOnly=read_only)))
        for made, source, read_only in (
            (edge, "vps-test-traefik-files", False),
            (edge, "vps-test-backup-files", True),
            (edge, "vps-test-traefik-login", True),
            (edge, "vps-test-openbao-run", True),
            (edge, "vps-test-openbao-data", True),
            (samples.agent, "vps-test-backup-files", False),
            (samples.agent, "vps-test-backup-login", True),
            (samples.agent, "vps-test-openbao-run", False),
            (samples.agent, "vps-test-openbao-data", True),
        )
    ),
    _bad("container-swap", executor(memorySwap=-1)),
    *(_bad("container-user", container("x", user=user)) for user in (None, "", "0", "0:0", "root", "65532:0", "65532")),
    _bad("container-devices", container("x", devices=[{"hostPath": "/dev/kvm"}])),
    _bad("container-devices", container("x", deviceCgroupRules=["c 1:3 rwm"])),
    _bad("container-devices", loader(gpus="all")),
    _bad("container-network-mode", container("x", networkMode="host")),
    _bad("container-network-mode", loader(networkMode="container:other")),
    _bad("container-default-bridge", container("x", networksAdvanced=None)),
    _bad("container-default-bridge", container("x", networksAdvanced=[{"name": "bridge"}])),
    _bad("container-default-bridge", container("x", networkMode=None, networksAdvanced=[{"name": "host"}])),
    _bad("container-pid-mode", container("x", pidMode="host")),
    _bad("container-ipc-mode", container("x", ipcMode="host")),
    _bad("container-ipc-mode", container("x", ipcMode="shareable")),
    _bad("container-userns-mode", container("x", usernsMode="host")),
    _bad("container-cgroup", container("x", cgroupParent="/")),
    _bad("container-cgroup", container("x", cgroupnsMode="host")),
    _bad("container-memory container-swap", container("x", memory=None)),
    _bad("container-memory container-swap", container("x", memory=0, memorySwap=0)),
    _bad("container-swap", container("x", memorySwap=None)),
    _bad("container-swap", container("x", memorySwap=-1)),
    _bad("container-swap", container("x", memorySwap=512)),
    *(_bad("container-cpus", container("x", cpus=cpus)) for cpus in (None, "0", "-1", "many", "inf", "nan")),
    _bad("container-ulimits", container("x", ulimits=None)),
    _bad("container-ulimits", container("x", ulimits=[{"name": "nofile", "soft": 1024, "hard": 1024}])),
    _bad("container-log-size", container("x", logOpts={"max-file": "3"})),
    _bad("container-log-size", container("x", logOpts={"max-size": "-1"})),
    _bad("container-log-size", container("x", logDriver=None)),
    *(_bad("container-host-paths", container("x", mounts=_bind(path))) for path in ("/", "/etc", "/var/run", "/proc")),
    _bad("container-host-paths", container("x", volumes=[{"hostPath": "/etc", "containerPath": "/x"}])),
    _bad("container-host-paths", container("x", volumes=[{"volumeName": "/etc", "containerPath": "/x"}])),
    _bad("container-host-paths", loader(mounts=_bind("/srv"))),
    _bad("container-host-paths", executor(mounts=_bind("/run"))),
    # A readable path is readable for its service only, read-only, and without its parents and children.
    _bad("container-host-paths", container("x", mounts=_bind("/var/log", readOnly=True))),
    _bad("container-host-paths", container("node-exporter", mounts=_bind("/var/log", readOnly=True))),
    _bad("container-host-paths", collector(mounts=_bind("/etc/os-release", readOnly=True))),
    _bad("container-host-paths", collector(mounts=_bind("/sys/fs/cgroup", readOnly=True))),
    _bad("container-host-paths", container_exporter(mounts=_bind("/sys/fs/cgroup/memory", readOnly=False))),
    _bad("container-host-paths", container_exporter(mounts=_bind("/sys/fs/cgroup/devices", readOnly=True))),
    _bad("container-host-paths", container_exporter(mounts=_bind("/sys/fs", readOnly=True))),
    *(
        _bad("container-host-paths", collector(mounts=_bind(path, readOnly=True)))
        for path in ("/var", "/var/lib/docker", "/var/log/", "/var/log/private", "/var/log/../lib/docker", "/")
    ),
    *(
        _bad("container-host-paths", collector(mounts=_bind("/var/log", readOnly=read_only)))
        for read_only in (None, False, "true", UNKNOWN_BOOLEAN_VALUE)
    ),
    _bad("container-host-paths", collector(mounts=_bind(UNKNOWN_STRING_VALUE, readOnly=True))),
    _bad(
        "container-mount-propagation",
        collector(mounts=_bind("/var/log", readOnly=True, bindOptions={"propagation": "rslave"})),
    ),
    _bad(
        "container-host-paths",
        collector(mounts=None, volumes=[{"hostPath": "/var/log", "containerPath": "/x"}]),
    ),
    _bad("container-docker-socket", container("x", mounts=_bind("/var/run/docker.sock", readOnly=True))),
    _bad("container-docker-socket", container("x", mounts=_bind("/run/containerd/containerd.sock"))),
    _bad("container-docker-socket", container("x", volumes=[{"hostPath": "/run/docker.sock", "containerPath": "/x"}])),
    _bad("container-docker-socket", loader(mounts=_bind("/var/run/docker.sock"))),
    _bad("container-docker-socket", executor(mounts=_bind("/var/run/docker.sock"))),
    _bad(
        "container-volume-driver",
        container(
            "x",
            mounts=[
                {
                    "type": "volume",
                    "target": "/x",
                    "volumeOptions": {"driverOptions": {"type": "none", "o": "bind", "device": "/etc"}},
                }
            ],
        ),
    ),
    _bad("container-volumes-from", container("x", volumes=[{"fromContainer": "vps-test-executor"}])),
    _bad(
        "container-mount-propagation",
        portainer(mounts=_bind("/var/run/docker.sock", bindOptions={"propagation": "rshared"})),
    ),
    _bad("container-read-only-root", container("x", readOnly=None)),
    _bad("container-read-only-root", container("x", readOnly=False)),
    _bad("container-ports", container("x", ports=_ports(9090, "127.0.0.1"))),
    _bad("container-ports", edge(ports=_ports(None, "127.0.0.1"))),
    _bad("container-ports", edge(publishAllPorts=True)),
    _bad("container-ports", loader(ports=_ports(9090, "127.0.0.1"))),
    _bad("container-privileged-ports", edge(ports=_ports(22, "127.0.0.1"))),
    _bad("container-privileged-ports container-ports", container("x", ports=_ports(443, "127.0.0.1"))),
    _bad("container-port-addresses container-ports", container("x", ports=_ports(9090, EVERYWHERE))),
    _bad("container-labels", container("x", labels=None)),
    _bad("container-labels", container("x", labels=samples.labels("x")[:1])),
    _bad("container-healthcheck", container("x", healthcheck=None)),
    _bad("container-healthcheck", container("x", healthcheck={"tests": ["NONE"]})),
    _bad("container-restart", container("x", restart="always")),
    _bad("container-restart", container("x", restart="on-failure")),
    _bad("container-restart", container("x", restart="on-failure", maxRetryCount=6)),
    *(
        _bad("container-image-digest", container("x", image=name))
        for name in ("traefik", "traefik:v3.7.15", "sha256:0", f"traefik@{ID}0")
    ),
    *(
        _bad("image-version", image(name))
        for name in ("traefik", "traefik:latest", "host:5000/traefik", "host:5000/a/traefik:latest")
    ),
    *(
        _bad("container-credentials", container("x", envs=[entry]))
        for entry in (
            "PASSWORD=hunter2",
            "GF_SECURITY_ADMIN_PASSWORD=hunter2",
            "CF_DNS_API_TOKEN=hunter2",
            "client_secret=hunter2",
            "AWS_ACCESS_KEY_ID=hunter2",
            "TOKEN_FILE=hunter2",
            "DATABASE=postgres://user:hunter2@db/x",
        )
    ),
    _bad("container-credentials", loader(envs=["TOKEN=hunter2"])),
    _bad("network-driver", network(driver="host")),
    _bad("network-driver", network(driver="macvlan")),
    *(
        _bad("network-ipv6", network(**{**IPV6, **changes}))
        for changes in (
            {"internal": True},
            {"internal": UNKNOWN_BOOLEAN_VALUE},
            {"ipv6": UNKNOWN_BOOLEAN_VALUE},
            {"ipamConfigs": None},
            {"ipamConfigs": UNKNOWN_ARRAY_VALUE},
            {"ipamConfigs": [{"subnet": UNKNOWN_STRING_VALUE}]},
            {"ipamConfigs": [{"subnet": "10.0.0.0/24"}]},
            {"ipamConfigs": [{"subnet": "2001:db8::/64"}]},
            {"ipamConfigs": [{"subnet": UNIQUE_LOCAL}, {"subnet": "2001:db8::/64"}]},
        )
    ),
    _bad("network-labels", network(labels=[])),
    _bad("volume-driver", volume(driver="sshfs")),
    _bad("volume-driver", volume(driverOpts={"type": "none", "o": "bind", "device": "/etc"})),
    _bad("volume-labels", volume(labels=[])),
    _bad("swarm-service", Resource("docker:index/service:Service", "x", {"taskSpec": {}})),
    _bad("docker-plugin", Resource("docker:index/plugin:Plugin", "x", {"name": "x"})),
]


GOOD = [
    container("keeper", mounts=_volume("vps-test-traefik-login")),
    container("x", image=f"traefik:v3.7.15@{ID}"),
    container("x", user="1000:1000"),
    container("x", networkMode="none", networksAdvanced=None),
    container("x", restart="on-failure", maxRetryCount=5),
    container("x", restart=None),
    container("x", logDriver="local"),
    container("x", ipcMode="none", cgroupnsMode="private", privileged=False, publishAllPorts=False),
    container("x", volumes=[{"volumeName": "vps-test-data", "containerPath": "/data"}]),
    container("x", envs=["API_TOKEN_FILE=/run/config/token", "MONKEY=1", "KEYBOARD=us", "TOKEN="]),
    container("x", envs=None, mounts=None),
    edge(ports=[*_ports(80, EVERYWHERE), *_ports(443, "::"), *_ports(8000, "192.0.2.1")]),
    executor(SandboxProfile(pids=10, memory_mb=64).model_dump_json()),
    executor("{}"),
    executor(capabilities=_adds("CAP_CHOWN")),
    executor(memory=384, memorySwap=384),
    loader(user=None, networkMode="none"),
    network(driver="bridge", ipv6=False),
    network(**IPV6),
    network(**{**IPV6, "ipamConfigs": [{"subnet": "10.0.0.0/24"}, {"subnet": UNIQUE_LOCAL}]}),
    volume(driver="local"),
    collector(mounts=None, volumes=[{"hostPath": "/var/log", "containerPath": "/x", "readOnly": True}]),
    image("host:5000/traefik:v3.7.15"),
    image(f"traefik@{ID}"),
    image(ID),
    Resource("random:index/randomPassword:RandomPassword", "x", {"privileged": True}),
    # Values that are unknown at preview and may come from another resource.
    container("x", image=UNKNOWN_STRING_VALUE),
    container("x", networksAdvanced=[{"name": UNKNOWN_STRING_VALUE}]),
    container("x", mounts=[{"type": "volume", "source": UNKNOWN_STRING_VALUE, "target": "/x"}]),
    container("x", volumes=[{"volumeName": UNKNOWN_STRING_VALUE, "containerPath": "/x"}]),
    container("x", envs=["LEVEL=info", UNKNOWN_STRING_VALUE]),
    executor(envs=[UNKNOWN_STRING_VALUE, f"EXECUTOR_PROFILE={FLOOR.model_dump_json()}", UNKNOWN_STRING_VALUE]),
]

UNREADABLE = {
    "privileged": {"container-privileged"},
    "capabilities": {"container-capabilities-dropped", "container-capabilities-added"},
    "securityOpts": {"container-no-new-privileges", "container-security-options"},
    "user": {"container-user"},
    "devices": {"container-devices"},
    "networkMode": {"container-network-mode"},
    "pidMode": {"container-pid-mode"},
    "ipcMode": {"container-ipc-mode"},
    "usernsMode": {"container-userns-mode"},
    "cgroupParent": {"container-cgroup"},
    "memory": {"container-memory", "container-swap"},
    "memorySwap": {"container-swap"},
    "cpus": {"container-cpus"},
    "ulimits": {"container-ulimits"},
    "logOpts": {"container-log-size"},
    "mounts": {"container-host-paths", "container-volume-driver", "container-mount-propagation"},
    "volumes": {"container-host-paths", "container-volumes-from"},
    "readOnly": {"container-read-only-root"},
    "ports": {"container-ports", "container-privileged-ports", "container-port-addresses"},
    "labels": {"container-labels"},
    "healthcheck": {"container-healthcheck"},
    "restart": {"container-restart"},
}


def test_a_sound_stack_passes() -> None:
    assert violations(samples.stack()) == []


@pytest.mark.parametrize("case", BAD, ids=lambda case: "+".join(sorted(case.policies)))
def test_a_fault_is_reported_by_its_rules_alone(case: Fires) -> None:
    assert {violation.policy for violation in violations(case.resources)} == case.policies


@pytest.mark.parametrize("resource", GOOD)
def test_a_sound_resource_is_not_reported(resource: Resource) -> None:
    assert violations([resource]) == []


def test_each_policy_has_a_fault_among_the_cases() -> None:
    of_docker = {policy.name for policy in POLICIES} - {
        rule.name for rule in RULES if rule.resource_type.startswith("kubernetes:")
    }
    assert of_docker == {name for case in BAD for name in case.policies}


def test_policy_names_are_unique() -> None:
    names = [policy.name for policy in POLICIES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("unknown", [UNKNOWN_STRING_VALUE, UNKNOWN_BOOLEAN_VALUE, UNKNOWN_ARRAY_VALUE])
@pytest.mark.parametrize("name", UNREADABLE)
def test_an_unknown_value_is_refused_where_a_literal_is_required(name: str, unknown: str) -> None:
    found = violations([container("x", **{name: unknown})])
    assert {violation.policy for violation in found} == UNREADABLE[name]


@pytest.mark.parametrize("name", ["start", "mustRun", "restart"])
def test_a_container_that_may_start_needs_the_limits_of_a_running_one(name: str) -> None:
    found = violations([loader(**{name: UNKNOWN_BOOLEAN_VALUE})])
    assert {"container-memory", "container-user", "container-healthcheck"} <= {found.policy for found in found}


def test_a_report_names_the_fault_and_the_fix() -> None:
    (found,) = violations([executor(FLOOR.model_copy(update={"pids": 51}).model_dump_json())])
    assert found.resource == "executor"
    assert "pids is 51, and must be at most 50" in found.message
    assert "Fix: Set pids" in found.message


def test_a_report_does_not_show_the_secret() -> None:
    found = violations([container("x", envs=["PASSWORD=hunter2", "URL=http://user:hunter2@host/"])])
    assert len(found) == 2
    assert not any("hunter2" in violation.message for violation in found)


@pytest.mark.parametrize("exemption", EXEMPTIONS, ids=lambda exemption: f"{exemption.service}-{exemption.rule}")
def test_an_exemption_is_needed_and_applies_to_its_service_alone(exemption: Exemption) -> None:
    exempted = {
        "backup": samples.backup(),
        "executor": executor(),
        "portainer": portainer(),
        "collector": collector(),
        "container-exporter": container_exporter(),
    }[exemption.service]
    assert violations([exempted]) == []
    assert exemption in exemptions_used([exempted])
    other = {**exempted.inputs, "labels": samples.labels("other")}
    assert exemption.rule in {found.policy for found in violations([Resource(CONTAINER, "other", other)])}


@pytest.mark.parametrize(("service", "path"), READABLE_PATHS)
def test_a_readable_path_is_readable_for_its_service_alone(service: str, path: str) -> None:
    mounts = _bind(path, readOnly=True)
    user = "65534:65534" if service == "node-exporter" else "0:0"
    assert violations([container(service, user=user, mounts=mounts)]) == []
    (found,) = violations([container("other", mounts=mounts)])
    assert found.policy == "container-host-paths"
