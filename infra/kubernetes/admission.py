"""What the API server refuses in the namespaces of a stack: rules in CEL, from the same descriptions as the pods."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from app.executor.seccomp import file_on_node
from app.executor.settings import ExecutorSettings
from infra.kubernetes.namespaces import UNITS
from infra.service import STACK_LABEL, Privileges, ServiceArgs

_EXECUTOR = "executor"
_CONTAINERS = " + ".join(
    ("object.spec.containers", *(f"object.spec.?{it}.orValue([])" for it in ("initContainers", "ephemeralContainers")))
)
_CONTEXT = "c.?securityContext.?"
_VOLUMES = ("configMap", "emptyDir", "persistentVolumeClaim", "secret")
_HOSTS = ("hostNetwork", "hostPID", "hostIPC")


@dataclass(frozen=True)
class AdmissionRule:
    """An expression in CEL that is true of every pod that is let in, and what to tell of another one."""

    name: str
    expression: str
    message: str


def rules(units: str, own: ServiceArgs, images: Iterable[str]) -> list[AdmissionRule]:
    """The rules for the pods of a stack.

    Args:
        units: the namespace whose pods may have a container with the executor's privileges.
        own: the executor's description, which says what it may have beyond the others.
        images: the references that a container may have.
    """
    privileges = own.privileges or Privileges((), "", "", "")
    name = ExecutorSettings.variable("profile")
    is_executor = f"(c.name == '{_EXECUTOR}' && request.namespace == {_text(units)})"
    profile = f"{_CONTEXT}seccompProfile.?"
    return [
        _each("image", f"c.image in {_list(images)}", "an image is not one of the stack's"),
        _each(
            "read-only-root", f"{_CONTEXT}readOnlyRootFilesystem.orValue(false)", "a root file system can be written"
        ),
        _each("no-new-privileges", f"!{_CONTEXT}allowPrivilegeEscalation.orValue(true)", "privileges can be gained"),
        _each("not-privileged", f"!{_CONTEXT}privileged.orValue(false)", "a container is privileged"),
        _each("proc", f"{_CONTEXT}procMount.orValue('Default') == 'Default'", "parts of /proc are uncovered"),
        _each(
            "capabilities",
            f"'ALL' in {_CONTEXT}capabilities.?drop.orValue([]) && {_CONTEXT}capabilities.?add.orValue([])"
            f".all(it, {is_executor} && it in {_list(privileges.capabilities)})",
            "a container has capabilities that are not its service's",
        ),
        _each(
            "user",
            f"{is_executor} || ({_CONTEXT}runAsNonRoot.orValue(false) && {_CONTEXT}runAsUser.orValue(0) > 0)",
            "a container runs as root",
        ),
        _each(
            "seccomp",
            f"{is_executor} ? {profile}localhostProfile.orValue('') == {_text(file_on_node(privileges.seccomp))} : "
            f"{profile}type.orValue('') == 'RuntimeDefault'",
            "a container has not the seccomp profile of its service",
        ),
        _each(
            "limits",
            "['cpu', 'memory'].all(it, it in c.?resources.?limits.orValue({}))",
            "a container has no limit of memory or CPU",
        ),
        AdmissionRule(
            "token",
            "!object.spec.?automountServiceAccountToken.orValue(true)",
            "a pod would hold a token of the cluster's API",
        ),
        AdmissionRule(
            "host-namespaces",
            " && ".join(f"!object.spec.?{name}.orValue(false)" for name in _HOSTS),
            "a pod shares a namespace with its node",
        ),
        AdmissionRule(
            "volumes",
            f"object.spec.?volumes.orValue([]).all(v, {' || '.join(f'has(v.{kind})' for kind in _VOLUMES)})",
            f"a volume is none of {', '.join(_VOLUMES)}",
        ),
        AdmissionRule(
            "sandbox-profile",
            f"({_CONTAINERS}).filter(c, {is_executor}).all(c, c.?env.orValue([]).filter(e, e.name == "
            f"{_text(name)}).map(e, e.?value.orValue('')) == [{_text(str(own.environment[name]))}])",
            f"{name} is not the profile of the stack",
        ),
    ]


class Admission(pulumi.ComponentResource):
    """One policy for each rule, in force in the namespaces of the stack."""

    def __init__(self, prefix: str, own: ServiceArgs, images: Iterable[str], opts: pulumi.ResourceOptions) -> None:
        super().__init__("vps:infra:Admission", "admission", None, opts)
        child = pulumi.ResourceOptions(parent=self)
        for rule in rules(f"{prefix}-{UNITS}", own, images):
            name = f"{prefix}-{rule.name}"
            policy = kubernetes.admissionregistration.v1.ValidatingAdmissionPolicy(
                f"{rule.name}-rule",
                metadata={"name": name, "labels": {STACK_LABEL: prefix}},
                spec={
                    "failurePolicy": "Fail",
                    "matchConstraints": {"resourceRules": [_PODS]},
                    "validations": [{"expression": rule.expression, "message": f"{name}: {rule.message}"}],
                },
                opts=child,
            )
            kubernetes.admissionregistration.v1.ValidatingAdmissionPolicyBinding(
                f"{rule.name}-binding",
                metadata={"name": name, "labels": {STACK_LABEL: prefix}},
                spec={
                    "policyName": policy.metadata["name"],
                    "validationActions": ["Deny"],
                    "matchResources": {"namespaceSelector": {"matchLabels": {STACK_LABEL: prefix}}},
                },
                opts=child,
            )
        self.register_outputs({})


_PODS: Mapping[str, Any] = {
    "apiGroups": [""],
    "apiVersions": ["v1"],
    "operations": ["CREATE", "UPDATE"],
    "resources": ["pods", "pods/ephemeralcontainers"],
}


def _each(name: str, expression: str, message: str) -> AdmissionRule:
    """A rule that every container must meet."""
    return AdmissionRule(name, f"({_CONTAINERS}).all(c, {expression})", message)


def _text(value: str) -> str:
    """A string as CEL writes it."""
    return json.dumps(value)


def _list(values: Iterable[str]) -> str:
    return json.dumps(sorted(values))
