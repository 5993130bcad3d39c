"""Services in Docker exactly as the program declares them, under a name prefix of the test's own."""

import io
import secrets
import tarfile
from collections.abc import Mapping
from typing import Any

from docker.models.containers import Container
from docker.types import LogConfig, Mount, Ulimit

from tests.program import Resource, containers, image_id, platform_config, readable, run_program
from tools.machine.preparation import Preparation
from tools.stack import docker_objects
from tools.stack.config import machine_values, merge

_MB = 1024**2
_NANOSECONDS = 10**9
# These tell the provider how to replace a container. A container that is made once has no use for them.
_PROVIDERS_OWN = {"destroyGraceSeconds", "mustRun", "start", "attach", "wait", "waitTimeout"}


class DeclaredServices:
    """The services of a program run under mocks, each started on request with the inputs that the program gave it.

    `platform` goes over `vps:platform` of Pulumi.local.yaml: settings that an operator may choose. The name prefix,
    and with it the name of every container, network and volume, is the test's own. Nothing is published: `address`
    tells where this machine reaches a service. `host_paths` are the only other change: it maps a path of the host that
    the program mounts to the one that the test mounts in its place.
    """

    def __init__(self, prepared: Preparation, host_paths: Mapping[str, str] | None = None, **platform: Any) -> None:
        self.client = prepared.engine.client()
        self.prefix = f"vps-test-{secrets.token_hex(4)}"
        self._host_paths = dict(host_paths or {})
        config = platform_config("local", **merge(machine_values(prepared.engine, prepared.images), platform))
        self._resources = run_program("local", {**config, "name": self.prefix})
        self._inputs = containers(self._resources)
        self._images = {
            image_id(resource.name): resource.inputs["name"]
            for resource in self._resources
            if resource.type == "docker:index/remoteImage:RemoteImage"
        }

    def inputs(self, service: str) -> dict[str, Any]:
        """What the program asks Docker for."""
        return self._inputs[service]

    def start(self, service: str) -> Container:
        """Make the service's networks, volumes and configuration, then its container, and start it."""
        inputs = self._inputs[service]
        for network in inputs.get("networksAdvanced", ()):
            self._network(network["name"])
        for role in (*(f"data-{number}" for number in range(1, 9)), "data", "config", "secrets", "opened", "watched"):
            loader = containers(self._resources, role).get(service)
            if loader:
                made = self._create(loader)
                if loader.get("attach"):
                    made.start()
                    made.wait(timeout=60)
        container = self._create(inputs)
        container.start()
        return container

    def run(self, service: str, *command: str) -> bytes:
        """What the service's program prints with another command, in a container that is otherwise as declared."""
        inputs = {**self._inputs[service], "command": command, "restart": "no", "networkMode": "none"}
        del inputs["networksAdvanced"]
        container = self._create(inputs)
        container.start()
        container.wait(timeout=60)
        return container.logs()

    def address(self, service: str) -> str:
        """The address of a running service in the first of its networks. It may change with a restart."""
        network = self._inputs[service]["networksAdvanced"][0]["name"]
        networks = self.client.containers.get(self._inputs[service]["name"]).attrs["NetworkSettings"]["Networks"]
        found: str = networks[network]["IPAddress"]
        return found

    def volume(self, service: str, path: str) -> str:
        """The name of the volume that the service has at a path."""
        (name,) = [mount["source"] for mount in self._inputs[service]["mounts"] if mount["target"] == path]
        return str(name)

    def remove(self) -> None:
        """Remove all that was made, with the data."""
        docker_objects.remove_volumes(self.client, docker_objects.remove_all(self.client, self.prefix))

    def _create(self, inputs: Mapping[str, Any]) -> Container:
        """A container of these inputs.

        Each is taken from a copy; one that is left over is new in the program and must be given to Docker here.
        """
        left = {key: value for key, value in inputs.items() if key not in _PROVIDERS_OWN}
        uploads = readable(left.pop("uploads", []))
        networks = left.pop("networksAdvanced", ())
        left.pop("ports", None)  # nothing is published
        mounts = left.pop("mounts")
        for mount in mounts:
            if mount["type"] == "volume":
                self._volume(mount["source"])
        capabilities = left.pop("capabilities")
        host = {
            "read_only": left.pop("readOnly", False),
            "cap_drop": capabilities["drops"],
            "cap_add": capabilities.get("adds"),
            "security_opt": left.pop("securityOpts"),
            "mounts": [self._mount(mount) for mount in mounts],
            "network_mode": networks[0]["name"] if networks else left.pop("networkMode"),
        }
        if "memory" in left:
            host |= {
                "mem_limit": int(left.pop("memory") * _MB),
                "memswap_limit": int(left.pop("memorySwap") * _MB),
                "nano_cpus": int(float(left.pop("cpus")) * _NANOSECONDS),
                "ulimits": [Ulimit(**{key: _whole(it) for key, it in limit.items()}) for limit in left.pop("ulimits")],
                "restart_policy": {"Name": left.pop("restart")},
                "log_config": LogConfig(type=left.pop("logDriver"), config=left.pop("logOpts")),
            }
        own: dict[str, Any] = {
            "image": self._images[left.pop("image")],
            "entrypoint": left.pop("entrypoints"),
            "command": left.pop("command", None),
            "environment": left.pop("envs", None),
            "user": left.pop("user"),
            "name": left.pop("name"),
            "labels": {label["label"]: label["value"] for label in left.pop("labels")},
            "hostname": left.pop("hostname", None),
            "working_dir": left.pop("workingDir", None),
            "stop_timeout": _whole(left.pop("stopTimeout", None)),
            "healthcheck": _healthcheck(left.pop("healthcheck", None)),
        }
        assert not left, f"the program declares what no test starts a service with: {sorted(left)}"
        api = self.client.api
        if networks:
            first = api.create_endpoint_config(aliases=networks[0]["aliases"])
            own["networking_config"] = {"EndpointsConfig": {networks[0]["name"]: first}}
        made = api.create_container(host_config=api.create_host_config(**host), **own)
        for network in networks[1:]:
            api.connect_container_to_network(made["Id"], network["name"], aliases=network["aliases"])
        if uploads:
            api.put_archive(made["Id"], "/", _archive(uploads))
        return self.client.containers.get(made["Id"])

    def _mount(self, mount: Mapping[str, Any]) -> Mount:
        source = mount.get("source")
        size = mount.get("tmpfsOptions", {}).get("sizeBytes")
        return Mount(
            mount["target"],
            self._host_paths.get(source, source) if source else None,
            type=mount["type"],
            read_only=mount.get("readOnly", False),
            tmpfs_size=_whole(size),
        )

    def _network(self, name: str) -> None:
        """A network as the program declares it, unless it is there already."""
        if not self.client.networks.list(names=[f"^{name}$"]):
            inputs = self._named("docker:index/network:Network", name).inputs
            self.client.networks.create(
                name, driver=inputs["driver"], internal=inputs["internal"], labels=_labels(inputs)
            )

    def _volume(self, name: str) -> None:
        """A volume as the program declares it. Docker takes one that is there already."""
        self.client.volumes.create(name, labels=_labels(self._named("docker:index/volume:Volume", name).inputs))

    def _named(self, kind: str, name: str) -> Resource:
        (found,) = [it for it in self._resources if it.type == kind and it.inputs["name"] == name]
        return found


def _labels(inputs: Mapping[str, Any]) -> dict[str, str]:
    return {label["label"]: label["value"] for label in inputs["labels"]}


def _healthcheck(inputs: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if inputs is None:
        return None
    seconds = {key: int(inputs[key].removesuffix("s")) * _NANOSECONDS for key in ("interval", "timeout")}
    return {"test": inputs["tests"], "retries": int(inputs["retries"]), **seconds}


def _whole(value: Any) -> Any:
    """Numbers reach the mocks as floating-point ones."""
    return int(value) if isinstance(value, float) else value


def _archive(uploads: list[dict[str, str]]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for upload in uploads:
            content = upload["content"].encode()
            entry = tarfile.TarInfo(upload["file"].lstrip("/"))
            entry.size, entry.mode = len(content), int(upload["permissions"], 8)
            archive.addfile(entry, io.BytesIO(content))
    return target.getvalue()
