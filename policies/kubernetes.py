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
from policies.exemptions import capabilities_of, exempted, may_read
from policies.inputs import SERVICE_LABEL, STACK_LABEL, Inputs
from policies.rules import Rule, rule
from policies.sandbox_profile import EXECUTOR, VARIABLE

WORKLOAD = "kubernetes:apps/v1:*"
BINDING, API = "kubernetes:rbac.authorization.k8s.io/v1:*", "kubernetes:apiregistration.k8s.io/v1:APIService"
SERVICE, NAMESPACE = "kubernetes:core/v1:Service", "kubernetes:core/v1:Namespace"
ROUTE = "kubernetes:gateway.networking.k8s.io/v1:HTTPRoute"
CERTIFICATE, GRANT = "cert-manager.io/v1:Certificate", "gateway.networking.k8s.io/v1beta1:ReferenceGrant"
KINDS = frozenset(
    f"kubernetes:{kind}"
    for kind in (
        *("apps/v1:DaemonSet", "apps/v1:Deployment", "apps/v1:StatefulSet"),
        "autoscaling/v2:HorizontalPodAutoscaler",
        *("core/v1:ConfigMap", "core/v1:LimitRange", "core/v1:Namespace", "core/v1:ResourceQuota", "core/v1:Secret"),
        *("core/v1:Service", "core/v1:ServiceAccount"),
        *("rbac.authorization.k8s.io/v1:ClusterRoleBinding", "rbac.authorization.k8s.io/v1:RoleBinding"),
        *("apiregistration.k8s.io/v1:APIService", "keda.sh/v1alpha1:ScaledObject"),
        *("monitoring.coreos.com/v1:PrometheusRule", "monitoring.coreos.com/v1:ServiceMonitor"),
        *("networking.k8s.io/v1:NetworkPolicy", "policy/v1:PodDisruptionBudget"),
        *("gateway.networking.k8s.io/v1:HTTPRoute", GRANT, CERTIFICATE),
        "admissionregistration.k8s.io/v1:ValidatingAdmissionPolicy",
        "admissionregistration.k8s.io/v1:ValidatingAdmissionPolicyBinding",
    )
)
"""What a stack may have. Of those that start pods, the rules for pods know the shape, and `rights` of those that give
any."""
ROOMS_UNIT = "sandbox-rooms"
_UNIT_PODS, _UNITS, _NODES, _EDGE = ("sandbox", ROOMS_UNIT), "units", "nodes", "traefik"
_EDGE_NAMESPACE, _VISITORS, _CERTIFICATE = "edge", f"{_EDGE}-visitors", f"{_EDGE}-certificate"
_ADAPTER, _SCALING, _METRICS = "prometheus-adapter", "scaling", "custom.metrics.k8s.io"
_ROLES = ("system:auth-delegator", "extension-apiserver-authentication-reader")
"""What a server of a part of the API needs: to ask who may read it, and which certificate the API server shows."""
_HOST_USERS = "EXECUTOR_HOST_USERS"
_VOLUMES = {"name", "configMap", "emptyDir", "persistentVolumeClaim", "secret"}


@dataclass(frozen=True)
class _Container:
    name: Any
    values: Inputs
    security: Inputs
    is_executor: bool
    on_node: str | None
    """The service's name, if it has the exemptions of one that reads its node's files."""
    paths: frozenset[Any]
    """The names of the pod's volumes that are paths of the node."""

    @property
    def own_users(self) -> bool:
        """Whether it is an executor that expects a user namespace of the pod's own."""
        return self.is_executor and _declared(self, _HOST_USERS) == ["false"]


def _declared(container: _Container, variable: str) -> list[Any]:
    """The values that a container has for a variable."""
    known = [it for it in container.values.sequence("env") if isinstance(it, dict)]
    return [it.get("value") for it in known if it.get("name") == variable]


def pod_of(inputs: Inputs) -> Inputs:
    """The specification of a workload's pods."""
    return Inputs(Inputs(Inputs(inputs.mapping("spec")).mapping("template")).mapping("spec"))


def labels_of(inputs: Inputs) -> Any:
    """The labels of an object."""
    return Inputs(inputs.mapping("metadata")).mapping("labels")


def _containers(inputs: Inputs) -> Iterator[_Container]:
    """All containers of a workload's pods. One that is unknown has no values, which no rule accepts."""
    pod = pod_of(inputs)
    service = labels_of(inputs).get(SERVICE_LABEL)
    paths = frozenset(it.get("name") for it in pod.sequence("volumes") if isinstance(it, dict) and "hostPath" in it)
    for found in [item for kind in ("containers", "initContainers") for item in pod.sequence(kind)] or [None]:
        values = Inputs(found if isinstance(found, dict) else {})
        name = values.get("name")
        security = Inputs(values.mapping("securityContext"))
        on_node = service if service == name and _is_in(_NODES, inputs) else None
        yield _Container(name, values, security, service in _UNIT_PODS and name == EXECUTOR, on_node, paths)


def _is_in(namespace: str, inputs: Inputs) -> bool:
    """Whether an object is in one of its stack's namespaces."""
    found = Inputs(inputs.mapping("metadata")).get("namespace")
    return bool(found == f"{labels_of(inputs).get(STACK_LABEL)}-{namespace}")


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
    """A stack has objects of known kinds alone: none that starts pods unchecked, and none that gives other rights.

    Fix: Use a Deployment or a StatefulSet. Give no workload a role.
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
    """The sensitive parts of /proc are covered, but for an executor in a user namespace of its pod's own.

    Fix: Leave securityContext.procMount out, or set it to Unmasked for that executor.
    """
    value = container.security.get("procMount")
    if value != "Unmasked" if container.own_users else value not in (None, "Default"):
        yield f"procMount is {value!r}"


@rule("pod-host-users", resource_type=WORKLOAD)
def host_users(inputs: Inputs) -> Iterator[str]:
    """The executor's pod has a user namespace of its own if the executor expects one, and only then.

    Fix: Set hostUsers of the pod and EXECUTOR_HOST_USERS of the executor to false, or leave both out.
    """
    for container in _containers(inputs):
        if container.is_executor and container.own_users != (pod_of(inputs).get("hostUsers") is False):
            yield f"hostUsers is {pod_of(inputs).get('hostUsers')!r}"


@rule("pod-runtime-class", resource_type=WORKLOAD)
def runtime_class(inputs: Inputs) -> Iterator[str]:
    """Pods have no runtime class, but for that of units with a user namespace of their own.

    Fix: Leave runtimeClassName out.
    """
    if not any(container.own_users for container in _containers(inputs)):
        yield from other_than({"runtimeClassName": []}, pod_of(inputs))


@_of_each("capabilities")
def capabilities(container: _Container) -> Iterator[str]:
    """A container drops every Linux capability; the executor has its own.

    Fix: Set securityContext.capabilities to {drop: [ALL]}.
    """
    given = Inputs(container.security.mapping("capabilities"))
    own = capabilities_of(EXECUTOR, own_users=container.own_users) if container.is_executor else ()
    allowed = {name.removeprefix("CAP_") for name in own}
    if given.sequence("drop") != ["ALL"] or not allowed.issuperset(given.sequence("add")):
        yield f"capabilities is {container.security.get('capabilities')!r}"


@_of_each("user")
def user(container: _Container) -> Iterator[str]:
    """A container's process does not run as root, but for the executor's launcher and readers of a node's files.

    Fix: Set securityContext.runAsUser to a number other than 0, and runAsNonRoot to true.
    """
    number, non_root = container.security.get("runAsUser"), container.security.get("runAsNonRoot")
    if container.is_executor or exempted(container.on_node, "container-user"):
        return
    if not (isinstance(number, int) and number > 0 and non_root is True):
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
    """No pod holds a token of the cluster's API, but for the one that answers a part of it.

    Fix: Set automountServiceAccountToken to false.
    """
    if _is_in(_SCALING, inputs) and {it.name for it in _containers(inputs)} == {_ADAPTER}:
        return
    if (value := pod_of(inputs).get("automountServiceAccountToken")) is not False:
        yield f"automountServiceAccountToken is {value!r}"


@rule("pod-host-namespaces", resource_type=WORKLOAD)
def host_namespaces(inputs: Inputs) -> Iterator[str]:
    """No pod shares a namespace with its node.

    Fix: Leave hostNetwork, hostPID and hostIPC out.
    """
    return other_than({key: [False] for key in ("hostNetwork", "hostPID", "hostIPC")}, pod_of(inputs))


@rule("pod-volumes", resource_type=WORKLOAD)
def volumes(inputs: Inputs) -> Iterator[str]:
    """A pod's volumes are of the cluster, or paths of the node that the service may read.

    Fix: Use configMap, emptyDir, persistentVolumeClaim or secret. Name what a service must read in exemptions.toml.
    """
    service = labels_of(inputs).get(SERVICE_LABEL) if _is_in(_NODES, inputs) else None
    for volume in pod_of(inputs).sequence("volumes"):
        known = isinstance(volume, dict) and _VOLUMES.issuperset(volume)
        path = Inputs(Inputs(volume).mapping("hostPath")).get("path") if isinstance(volume, dict) else None
        if not known and not (may_read(service, path) and set(volume) == {"name", "hostPath"}):
            yield f"the volume {volume!r}"


@_of_each("node-paths")
def node_paths(container: _Container) -> Iterator[str]:
    """A path of the node is mounted read-only.

    Fix: Set readOnly of the volumeMount to true.
    """
    for mount in container.values.sequence("volumeMounts"):
        if not isinstance(mount, dict) or (mount.get("name") in container.paths and mount.get("readOnly") is not True):
            yield f"the mount {mount!r}"


@_of_each("sandbox-profile")
def sandbox_profile(container: _Container) -> Iterator[str]:
    """The executor declares the sandbox's profile, and no field of it is weaker than the floor.

    Fix: Set EXECUTOR_PROFILE of the executor once, to a literal: the JSON of a SandboxProfile at least as strict.
    """
    if not container.is_executor:
        return
    try:
        (declared,) = map(SandboxProfile.model_validate_json, _declared(container, VARIABLE))
    except (ValueError, ValidationError):
        yield f"{VARIABLE} is not declared once as the JSON of a profile"
    else:
        yield from declared.weaknesses().values()


@rule("rights", resource_type=BINDING)
def rights(inputs: Inputs) -> Iterator[str]:
    """Rights in the cluster are those of a server of a part of its API, and prometheus-adapter alone has them.

    Fix: Give no workload a role.
    """
    role = Inputs(inputs.mapping("roleRef")).get("name")
    account = {
        "kind": "ServiceAccount",
        "name": _ADAPTER,
        "namespace": f"{labels_of(inputs).get(STACK_LABEL)}-{_SCALING}",
    }
    if role not in _ROLES or inputs.sequence("subjects") != [account]:
        yield f"the role {role!r} for {inputs.get('subjects')!r}"


@rule("metrics-api", resource_type=API)
def metrics_api(inputs: Inputs) -> Iterator[str]:
    """The only part of the cluster's API that a stack answers is that of custom metrics.

    Fix: Set spec.group to custom.metrics.k8s.io, and spec.service to one in the stack's namespace `scaling`.
    """
    spec = Inputs(inputs.mapping("spec"))
    place = Inputs(spec.mapping("service")).get("namespace")
    if spec.get("group") != _METRICS or place != f"{labels_of(inputs).get(STACK_LABEL)}-{_SCALING}":
        yield f"the group {spec.get('group')!r}, answered in {place!r}"


@rule("namespace-security", resource_type=NAMESPACE)
def namespace_security(inputs: Inputs) -> Iterator[str]:
    """A namespace enforces the level `restricted` of Pod Security. Those of the units and of what reads a node's files
    have admission rules in its place.

    Fix: Set the label pod-security.kubernetes.io/enforce to restricted.
    """
    labels = labels_of(inputs)
    held = [f"{labels.get(STACK_LABEL)}-{name}" for name in (_UNITS, _NODES)]
    level = labels.get("pod-security.kubernetes.io/enforce")
    if level != "restricted" and not (Inputs(inputs.mapping("metadata")).get("name") in held and level == "privileged"):
        yield f"its level is {level!r}"


@rule("service-published", resource_type=SERVICE)
def service_published(inputs: Inputs) -> Iterator[str]:
    """Only the edge can be reached from outside of the cluster.

    Fix: Leave spec.type and spec.externalIPs out.
    """
    if labels_of(inputs).get(SERVICE_LABEL) != _EDGE:
        yield from other_than({"type": ["ClusterIP"], "externalIPs": [[]]}, Inputs(inputs.mapping("spec")))


@rule("gateway-route", resource_type=ROUTE)
def gateway_route(inputs: Inputs) -> Iterator[str]:
    """A Gateway leads to the edge alone, which asks for passwords and limits rates.

    Fix: Name the Service of the edge, in its own namespace, as the only one in spec.rules.
    """
    rules = Inputs(inputs.mapping("spec")).sequence("rules")
    if not (rules and all(map(_leads_to_edge, rules)) and _is_in(_EDGE_NAMESPACE, inputs)):
        yield f"its rules are {rules!r}"


def _leads_to_edge(rule: Any) -> bool:
    """Whether a route's rule has the edge as its only target, and no filter: one could mirror requests elsewhere."""
    if not isinstance(rule, dict) or not {"backendRefs", "timeouts"}.issuperset(rule):
        return False
    targets = Inputs(rule).sequence("backendRefs")
    return [isinstance(it, dict) and {**it, "port": 0} == {"name": _VISITORS, "port": 0} for it in targets] == [True]


@rule("certificate", resource_type=f"kubernetes:{CERTIFICATE}")
def certificate(inputs: Inputs) -> Iterator[str]:
    """A certificate is the edge's, in a Secret of its own, and certifies no other certificates.

    Fix: Set spec.secretName to traefik-certificate, in the edge's namespace, and leave spec.isCA out.
    """
    spec = Inputs(inputs.mapping("spec"))
    if spec.get("secretName") != _CERTIFICATE or spec.get("isCA") or not _is_in(_EDGE_NAMESPACE, inputs):
        yield f"the Secret {spec.get('secretName')!r}, and isCA is {spec.get('isCA')!r}"


@rule("certificate-grant", resource_type=f"kubernetes:{GRANT}")
def certificate_grant(inputs: Inputs) -> Iterator[str]:
    """Objects of other namespaces refer to nothing of the stack, but for Gateways to the edge's certificate.

    Fix: Name the kind Gateway in spec.from, and the Secret traefik-certificate in spec.to.
    """
    spec = Inputs(inputs.mapping("spec"))
    kinds = [it.get("kind") for it in spec.sequence("from") if isinstance(it, dict)]
    target = [{"group": "", "kind": "Secret", "name": _CERTIFICATE}]
    if kinds != ["Gateway"] or spec.sequence("to") != target or not _is_in(_EDGE_NAMESPACE, inputs):
        yield f"{spec.get('to')!r}, for {spec.get('from')!r}"
