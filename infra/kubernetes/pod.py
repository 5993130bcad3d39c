"""Hardened pods: a service's description as Kubernetes' own objects, in the form of its API."""

import hashlib
from collections.abc import Mapping
from typing import Any

import pulumi

from app.executor.seccomp import file_on_node
from infra.service import SECONDS_TO_BE_LEFT, SECRETS, Health, ServiceArgs, Volume

Object = dict[str, Any]
_READABLE = 0o444
_STARTUP_SECONDS = 180
_READINESS_FACTOR, _LIVENESS_FACTOR = 2, 6
"""Each probe starts a process in the container: one that only restarts what hangs runs seldom."""
_SECONDS_TO_STOP = 15
"""An executor and a program with data write down what they hold."""
_ON_NODE = "256Mi"
"""The collector's queue, with a copy of it while its file is made smaller."""
_NO_API_SERVER = {"KUBERNETES_SERVICE_HOST": ""}
"""By this variable programs know that they are on a cluster, and ask its API server who they are. Without a token they
fail: Traefik makes no traces then."""
_RESERVED = 0.1
"""The share of its processor limit that is kept free for a service. Memory is reserved in full."""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def digest(contents: pulumi.Output[str]) -> pulumi.Output[str]:
    """A hash that names an object by its content. It reveals nothing of a generated secret."""
    return pulumi.Output.unsecret(contents.apply(_digest))


def key(path: str) -> str:
    """A file's path as a key of a ConfigMap or Secret, which takes no slashes."""
    return path.replace("/", "__")


def certificate(service: str) -> str:
    """The name of a service's certificate, and of the Secret that holds it."""
    return f"{service}-certificate"


def container(service: str, args: ServiceArgs, image: str) -> Object:
    """One container of a pod. Its volumes are those of `volumes`, by the same names."""
    environment = {**({} if args.api_server_reason else _NO_API_SERVER), **args.environment}
    found: Object = {
        "name": service,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": list(args.entrypoint),
        "args": list(args.command),
        "env": [{"name": name, "value": value} for name, value in sorted(environment.items())],
        "resources": _resources(args),
        "securityContext": _security(args),
        "volumeMounts": _mounts(service, args),
    }
    if args.working_dir:
        found["workingDir"] = args.working_dir
    if isinstance(args.health, Health):
        found |= _probes(args.health)
    if args.drain_seconds:
        found["lifecycle"] = {"preStop": {"sleep": {"seconds": SECONDS_TO_BE_LEFT}}}
    return found


def stop_seconds(args: ServiceArgs) -> int:
    """Seconds after which a pod with this container is killed when it is to go. First the cluster sends it no new
    connections, then the edge loses its own: each takes `SECONDS_TO_BE_LEFT`."""
    return _SECONDS_TO_STOP + (2 * SECONDS_TO_BE_LEFT + args.drain_seconds if args.drain_seconds else 0)


def volumes(service: str, args: ServiceArgs, objects: Mapping[str, pulumi.Output[str]]) -> list[Object]:
    """The volumes of one container but for those that outlive the pod.

    `objects` are the names of its ConfigMaps (`config`, `watched`) and its Secret (`secrets`), where it has them.
    """
    found: list[Object] = []
    if args.watched:
        items = [{"key": key(args.watched.name), "path": args.watched.name}]
        source = {"name": objects["watched"], "items": items, "defaultMode": _READABLE}
        found.append({"name": f"{service}-watched", "configMap": source})
    if args.config:
        items = [{"key": key(file), "path": file} for file in args.config.files]
        source = {"name": objects["config"], "items": items, "defaultMode": _READABLE}
        found.append({"name": f"{service}-config", "configMap": source})
    if args.secrets:
        secret = {"secretName": objects["secrets"], "defaultMode": _READABLE}
        found.append({"name": f"{service}-secrets", "secret": secret})
    if args.certificate:
        secret = {"secretName": certificate(service), "defaultMode": _READABLE}
        found.append({"name": certificate(service), "secret": secret})
    found += [
        {"name": f"{service}-memory-{name}", "emptyDir": _memory(size_mb)} for name, size_mb in _in_memory(args).items()
    ]
    found += [
        {"name": f"{service}-node-{number}", "hostPath": {"path": it.path, "type": ""}}
        for number, it in enumerate(args.host_paths)
    ]
    return found


def on_node(volume: Volume) -> Object:
    """A volume of a service that each node runs, on the node's disk. It goes with the pod."""
    return {"name": volume.name, "emptyDir": {"sizeLimit": _ON_NODE}}


def passing(volume: Volume) -> Object:
    """A volume that the containers of a pod may share, and that goes with it: on the node's disk, or in memory for a
    socket. A pod that has more on the disk than its volume may hold is evicted."""
    return {
        "name": volume.name,
        "emptyDir": {"sizeLimit": f"{volume.disk_mb}Mi"} if volume.disk_mb else _memory(1),
    }


def _in_memory(args: ServiceArgs) -> dict[str, int]:
    """The sizes in MiB of /tmp and /run, by their names, where the service has them."""
    return {name: size_mb for name, size_mb in (("tmp", args.tmp_mb), ("run", args.run_mb)) if size_mb}


def _memory(size_mb: int) -> Object:
    return {"medium": "Memory", "sizeLimit": f"{size_mb}Mi"}


def _mounts(service: str, args: ServiceArgs) -> list[Object]:
    found = [{"name": it.volume.name, "mountPath": it.path, "readOnly": it.read_only} for it in args.mounts]
    if args.watched:
        found.append({"name": f"{service}-watched", "mountPath": args.watched.directory, "readOnly": True})
    if args.config:
        found.append({"name": f"{service}-config", "mountPath": args.config.directory, "readOnly": True})
    found += [
        {"name": f"{service}-memory-{name}", "mountPath": f"/{name}", "readOnly": False} for name in _in_memory(args)
    ]
    if args.certificate:
        found.append({"name": certificate(service), "mountPath": args.certificate, "readOnly": True})
    if args.secrets:
        found.append({"name": f"{service}-secrets", "mountPath": SECRETS, "readOnly": True})
    found += [
        {"name": f"{service}-node-{number}", "mountPath": it.target, "readOnly": True}
        for number, it in enumerate(args.host_paths)
    ]
    # A mount is made after the one that holds its path.
    return sorted(found, key=lambda mount: str(mount["mountPath"]))


def _resources(args: ServiceArgs) -> Object:
    memory = f"{args.memory_mb}Mi"
    return {
        "limits": {"cpu": _cores(args.cpus), "memory": memory},
        "requests": {"cpu": _cores(args.cpus * _RESERVED), "memory": memory},
    }


def _cores(number: float) -> str:
    return f"{round(number * 1000)}m"


def _security(args: ServiceArgs) -> Object:
    user, _, group = args.user.partition(":")
    own = args.privileges
    capabilities: Object = {"drop": ["ALL"]}
    if own:
        # Without CAP_, as Kubernetes spells them.
        capabilities["add"] = list(own.capabilities)
    found: Object = {
        "allowPrivilegeEscalation": False,
        "capabilities": capabilities,
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "runAsGroup": int(group),
        "runAsNonRoot": user != "0",
        "runAsUser": int(user),
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    if own and own.own_users:
        found["procMount"] = "Unmasked"
    if own and own.seccomp:
        found["seccompProfile"] = {"type": "Localhost", "localhostProfile": file_on_node(own.seccomp)}
        found["appArmorProfile"] = (
            {"type": "Unconfined"}
            if own.apparmor == "unconfined"
            else {"type": "Localhost", "localhostProfile": own.apparmor}
        )
    return found


def _probes(health: Health) -> Object:
    def probe(period: int, failures: int) -> Object:
        return {
            "exec": {"command": list(health.command)},
            "periodSeconds": period,
            "timeoutSeconds": health.timeout_seconds,
            "failureThreshold": failures,
        }

    interval = health.interval_seconds
    return {
        "startupProbe": probe(1, _STARTUP_SECONDS),
        "readinessProbe": probe(_READINESS_FACTOR * interval, 2),
        "livenessProbe": probe(_LIVENESS_FACTOR * interval, 3),
    }
