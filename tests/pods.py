"""Faults of a unit's pod, each with the rules that refuse it: those of admission, and `pod-<name>` in the pack."""

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from app.profile import FLOOR

Pod = dict[str, Any]
RUNTIME_CLASS = "vps-writable"
ISOLATED = {"isolation": "cluster", "runtime_class": RUNTIME_CLASS}
"""The settings `cluster.units` of units that the cluster isolates."""


def _container(pod: Pod, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(it for it in (*pod["containers"], *pod["initContainers"]) if it["name"] == name)
    return found


def _api(**changes: Any) -> Callable[[Pod], None]:
    return lambda pod: _container(pod, "api").update(changes)


def _security(container: str = "api", **changes: Any) -> Callable[[Pod], None]:
    return lambda pod: _container(pod, container)["securityContext"].update(changes)


def _pod(**changes: Any) -> Callable[[Pod], None]:
    return lambda pod: pod.update(changes)


def _unmasked(pod: Pod) -> None:
    # The API server takes it in a user namespace only.
    pod["hostUsers"] = False
    _container(pod, "api")["securityContext"]["procMount"] = "Unmasked"


def _host_path(pod: Pod) -> None:
    pod["volumes"].append({"name": "host", "hostPath": {"path": "/"}})


def _writable_path(pod: Pod) -> None:
    _host_path(pod)
    _container(pod, "api")["volumeMounts"].append({"name": "host", "mountPath": "/host"})


def _weak_profile(pod: Pod) -> None:
    (profile,) = (it for it in _container(pod, "executor")["env"] if it["name"] == "EXECUTOR_PROFILE")
    profile["value"] = json.dumps({"pids": FLOOR.pids + 1})


def _of_the_node(pod: Pod) -> None:
    # The API server takes an uncovered /proc in a user namespace only.
    pod["hostUsers"] = True
    del _container(pod, "executor")["securityContext"]["procMount"]


FAULTS: Mapping[str, tuple[set[str], Callable[[Pod], None]]] = MappingProxyType(
    {
        "an image without a version": ({"image"}, _api(image="registry.example.com/x")),
        "a root file system that can be written": ({"read-only-root"}, _security(readOnlyRootFilesystem=False)),
        "privileges by setuid": ({"no-new-privileges"}, _security(allowPrivilegeEscalation=True)),
        "a privileged container": (
            {"not-privileged", "no-new-privileges"},
            _security(privileged=True, allowPrivilegeEscalation=True),
        ),
        "an unmasked /proc": ({"proc", "host-users"}, _unmasked),
        "a user namespace that the executor does not expect": ({"host-users"}, _pod(hostUsers=False)),
        "a runtime class": ({"runtime-class"}, _pod(runtimeClassName=RUNTIME_CLASS)),
        "a capability": ({"capabilities"}, _security(capabilities={"drop": ["ALL"], "add": ["NET_ADMIN"]})),
        "capabilities that are not dropped": ({"capabilities"}, _security(capabilities={})),
        "the executor's capability in the api": (
            {"capabilities"},
            _security(capabilities={"drop": ["ALL"], "add": ["SYS_ADMIN"]}),
        ),
        "one capability more for the executor": (
            {"capabilities"},
            _security("executor", capabilities={"drop": ["ALL"], "add": ["SYS_ADMIN", "NET_ADMIN"]}),
        ),
        "root": ({"user"}, _security(runAsUser=0, runAsNonRoot=False)),
        "no seccomp": ({"seccomp"}, _security(seccompProfile={"type": "Unconfined"})),
        "no seccomp for the executor": ({"seccomp"}, _security("executor", seccompProfile={"type": "Unconfined"})),
        "no limits": ({"limits"}, _api(resources={})),
        # The API server itself adds the volume with the token.
        "a token": ({"token", "volumes"}, _pod(automountServiceAccountToken=True)),
        "the processes of the node": ({"host-namespaces"}, _pod(hostPID=True)),
        "a path of the node": ({"volumes"}, _host_path),
        "a path of the node that can be written": ({"volumes", "node-paths"}, _writable_path),
        "a weaker profile": ({"sandbox-profile"}, _weak_profile),
    }
)
"""By what is wrong."""
ISOLATED_FAULTS: Mapping[str, tuple[set[str], Callable[[Pod], None]]] = MappingProxyType(
    {
        "the node's users": ({"proc", "host-users"}, _of_the_node),
        "a covered /proc": ({"proc"}, _security("executor", procMount="Default")),
        "an uncovered /proc of the api": ({"proc"}, _security(procMount="Unmasked")),
        "a capability that only a launcher needs": (
            {"capabilities"},
            _security("executor", capabilities={"drop": ["ALL"], "add": ["SYS_ADMIN"]}),
        ),
    }
)
"""The same of units that the cluster isolates."""
