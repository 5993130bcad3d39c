"""Objects of Kubernetes. The preview refuses what the API server refuses later on: each rule in
infra/kubernetes/admission.toml has the rule `pod-<name>` here. Others hold what no admission rule sees.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from app.executor.seccomp import file_on_node, for_executor
from app.profile import SandboxProfile
from policies.allowed import other_than
from policies.exemptions import capabilities_of
from policies.inputs import SERVICE_LABEL, STACK_LABEL, Inputs
from policies.rules import Rule, rule
from policies.sandbox_profile import EXECUTOR, VARIABLE

WORKLOAD = "kubernetes:apps/v1:*"
SERVICE, NAMESPACE = "kubernetes:core/v1:Service", "kubernetes:core/v1:Namespace"
KINDS = frozenset(
    f"kubernetes:{kind}"
    for kind in (
        *("apps/v1:Deployment", "apps/v1:StatefulSet", "autoscaling/v2:HorizontalPodAutoscaler"),
        *("core/v1:ConfigMap", "core/v1:LimitRange", "core/v1:Namespace", "core/v1:ResourceQuota", "core/v1:Secret"),
        *("core/v1:Service", "core/v1:ServiceAccount"),
        *("networking.k8s.io/v1:NetworkPolicy", "policy/v1:PodDisruptionBudget"),
        "admissionregistration.k8s.io/v1:ValidatingAdmissionPolicy",
        "admissionregistration.k8s.io/v1:ValidatingAdmissionPolicyBinding",
    )
)
"""What a stack may have. Of those that start pods, the rules for pods know the shape; none gives rights."""
_UNIT, _UNITS, _EDGE = "sandbox", "units", "traefik"
_VOLUMES = {"name", "configMap", "emptyDir", "persistentVolumeClaim", "secret"}


@dataclass(frozen=True)
class _Container:
    name: Any
    values: Inputs
    security: Inputs
    is_executor: bool


def _pod(inputs: Inputs) -> Inputs:
    """The specification of a workload's pods."""
    return Inputs(Inputs(Inputs(inputs.mapping("spec")).mapping("template")).mapping("spec"))


def _labels(inputs: Inputs) -> Any:
    return Inputs(inputs.mapping("metadata")).mapping("labels")


def _containers(inputs: Inputs) -> Iterator[_Container]:
    """All containers of a workload's pods. One that is unknown has no values, which no rule accepts."""
    pod = _pod(inputs)
    is_unit = _labels(inputs).get(SERVICE_LABEL) == _UNIT
    for found in [item for kind in ("containers", "initContainers") for item in pod.sequence(kind)] or [None]:
        values = Inputs(found if isinstance(found, dict) else {})
        name = values.get("name")
        yield _Container(name, values, Inputs(values.mapping("securityContext")), is_unit and name == EXECUTOR)


def _of_each(name: str) -> Callable[[Callable[[_Container], Iterator[str]]], Rule]:
    """Decorator that makes the rule `pod-<name>` of a check of one container."""

    def made(check: Callable[[_Container], Iterator[str]]) -> Rule:
        def check_all(inputs: Inputs) -> Iterator[str]:
            for container in _containers(inputs):
                for fault in check(container):
                    yield f"in the container {container.name!r}, {fault}"

        check_all.__doc__ = check.__doc__
        return rule(f"pod-{name}", resource_type=WORKLOAD)(check_all)

    return made


@rule("kubernetes-kind", resource_type="kubernetes:*", other_types=KINDS)
def kind(_: Inputs) -> Sequence[str]:
    """A stack has objects of known kinds alone: none that starts pods unchecked, and none that gives rights.

    Fix: Use a Deployment or a StatefulSet. Give no workload a role: none needs the API server.
    """
    return ["an object of a kind that the rules of this pack do not check"]


@_of_each("image")
def image(container: _Container) -> Iterator[str]:
    """A container's image is named by its digest, or by a tag other than `latest`.

    Fix: Name the image in `images`, as `make publish` prints it.
    """
    reference = container.values.get("image")
    name, _, tag = str(reference).rpartition("/")[2].partition(":")
    if not isinstance(reference, str) or not name or tag in ("", "latest"):
        yield f"image is {reference!r}"


@_of_each("read-only-root")
def read_only_root(container: _Container) -> Iterator[str]:
    """A container can't write to its root file system.

    Fix: Set securityContext.readOnlyRootFilesystem to true.
    """
    if (value := container.security.get("readOnlyRootFilesystem")) is not True:
        yield f"readOnlyRootFilesystem is {value!r}"


@_of_each("no-new-privileges")
def no_new_privileges(container: _Container) -> Iterator[str]:
    """setuid programs gain no privileges in a container.

    Fix: Set securityContext.allowPrivilegeEscalation to false.
    """
    if (value := container.security.get("allowPrivilegeEscalation")) is not False:
        yield f"allowPrivilegeEscalation is {value!r}"


@_of_each("not-privileged")
def not_privileged(container: _Container) -> Iterator[str]:
    """No container is privileged.

    Fix: Leave securityContext.privileged out.
    """
    return other_than({"privileged": [False]}, container.security)


@_of_each("proc")
def proc(container: _Container) -> Iterator[str]:
    """The sensitive parts of /proc are covered.

    Fix: Leave securityContext.procMount out.
    """
    return other_than({"procMount": ["Default"]}, container.security)


@_of_each("capabilities")
def capabilities(container: _Container) -> Iterator[str]:
    """A container drops every Linux capability; the executor has its own.

    Fix: Set securityContext.capabilities to {drop: [ALL]}.
    """
    given = Inputs(container.security.mapping("capabilities"))
    allowed = {name.removeprefix("CAP_") for name in capabilities_of(EXECUTOR)} if container.is_executor else set()
    if given.sequence("drop") != ["ALL"] or not allowed.issuperset(given.sequence("add")):
        yield f"capabilities is {container.security.get('capabilities')!r}"


@_of_each("user")
def user(container: _Container) -> Iterator[str]:
    """A container's process does not run as root, but for the executor's launcher.

    Fix: Set securityContext.runAsUser to a number other than 0, and runAsNonRoot to true.
    """
    number, non_root = container.security.get("runAsUser"), container.security.get("runAsNonRoot")
    if not container.is_executor and not (isinstance(number, int) and number > 0 and non_root is True):
        yield f"runAsUser is {number!r}, and runAsNonRoot is {non_root!r}"


@_of_each("seccomp")
def seccomp(container: _Container) -> Iterator[str]:
    """A container has the default seccomp profile, and the executor its own.

    Fix: Set securityContext.seccompProfile to {type: RuntimeDefault}.
    """
    own = {"type": "Localhost", "localhostProfile": file_on_node(for_executor())}
    allowed = own if container.is_executor else {"type": "RuntimeDefault"}
    if (profile := container.security.get("seccompProfile")) != allowed:
        yield f"seccompProfile is {profile!r}"


@_of_each("limits")
def limits(container: _Container) -> Iterator[str]:
    """A container has limits of memory and processors.

    Fix: Set resources.limits.cpu and resources.limits.memory.
    """
    given = Inputs(container.values.mapping("resources")).mapping("limits")
    for name in ("cpu", "memory"):
        if not given.get(name):
            yield f"resources.limits.{name} is {given.get(name)!r}"


@rule("pod-token", resource_type=WORKLOAD)
def token(inputs: Inputs) -> Iterator[str]:
    """No pod holds a token of the cluster's API.

    Fix: Set automountServiceAccountToken to false.
    """
    if (value := _pod(inputs).get("automountServiceAccountToken")) is not False:
        yield f"automountServiceAccountToken is {value!r}"


@rule("pod-host-namespaces", resource_type=WORKLOAD)
def host_namespaces(inputs: Inputs) -> Iterator[str]:
    """No pod shares a namespace with its node.

    Fix: Leave hostNetwork, hostPID and hostIPC out.
    """
    return other_than({key: [False] for key in ("hostNetwork", "hostPID", "hostIPC")}, _pod(inputs))


@rule("pod-volumes", resource_type=WORKLOAD)
def volumes(inputs: Inputs) -> Iterator[str]:
    """A pod's volumes are of the cluster, and none is a path of the node.

    Fix: Use configMap, emptyDir, persistentVolumeClaim or secret.
    """
    for volume in _pod(inputs).sequence("volumes"):
        if not isinstance(volume, dict) or not _VOLUMES.issuperset(volume):
            yield f"the volume {volume!r}"


@_of_each("sandbox-profile")
def sandbox_profile(container: _Container) -> Iterator[str]:
    """The executor declares the sandbox's profile, and no field of it is weaker than the floor.

    Fix: Set EXECUTOR_PROFILE of the executor once, to a literal: the JSON of a SandboxProfile at least as strict.
    """
    if not container.is_executor:
        return
    known = [it for it in container.values.sequence("env") if isinstance(it, dict) and it.get("name") == VARIABLE]
    try:
        (declared,) = (SandboxProfile.model_validate_json(it["value"]) for it in known)
    except (KeyError, ValueError, ValidationError):
        yield f"{VARIABLE} is not declared once as the JSON of a profile"
    else:
        yield from declared.weaknesses().values()


@rule("namespace-security", resource_type=NAMESPACE)
def namespace_security(inputs: Inputs) -> Iterator[str]:
    """A namespace enforces the level `restricted` of Pod Security. That of the units has admission rules in its place.

    Fix: Set the label pod-security.kubernetes.io/enforce to restricted.
    """
    labels = _labels(inputs)
    units = str(Inputs(inputs.mapping("metadata")).get("name")) == f"{labels.get(STACK_LABEL)}-{_UNITS}"
    level = labels.get("pod-security.kubernetes.io/enforce")
    if level != "restricted" and not (units and level == "privileged"):
        yield f"its level is {level!r}"


@rule("service-published", resource_type=SERVICE)
def service_published(inputs: Inputs) -> Iterator[str]:
    """Only the edge can be reached from outside of the cluster.

    Fix: Leave spec.type and spec.externalIPs out.
    """
    if _labels(inputs).get(SERVICE_LABEL) != _EDGE:
        yield from other_than({"type": ["ClusterIP"], "externalIPs": [[]]}, Inputs(inputs.mapping("spec")))
