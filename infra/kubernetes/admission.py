"""What the API server refuses in the namespaces of a stack: the rules of admission.toml, filled in for its services."""

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from app.executor.seccomp import file_on_node
from app.executor.settings import ExecutorSettings
from infra.cluster import ADAPTER, UNITS
from infra.kubernetes.namespaces import NODES, SCALING
from infra.service import STACK_LABEL, Privileges, ServiceArgs

_EXECUTOR = "executor"
_CONTAINERS = " + ".join(
    ("object.spec.containers", *(f"object.spec.?{it}.orValue([])" for it in ("initContainers", "ephemeralContainers")))
)
_RULES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())


@dataclass(frozen=True)
class AdmissionRule:
    """An expression in CEL that is true of every pod that is let in, and what to tell of another one."""

    name: str
    expression: str
    message: str


def rules(
    prefix: str,
    own: ServiceArgs,
    images: Iterable[str],
    readable: Mapping[str, Sequence[str]],
    runtime_class: str | None = None,
) -> list[AdmissionRule]:
    """The rules for the pods of a stack.

    Args:
        prefix: begins the names of its namespaces. A container of the executor's name in that of the units may have the
            executor's privileges.
        own: the executor's description, which says what it may have beyond the others.
        images: the references that a container may have.
        readable: the paths of a node that containers in the nodes' namespace may read, by the names of those.
        runtime_class: that of the units.
    """
    units, nodes, scaling = (json.dumps(f"{prefix}-{name}") for name in (UNITS, NODES, SCALING))
    privileges = own.privileges or Privileges((), "")
    values = {
        "containers": _CONTAINERS,
        "is_executor": f"(c.name == '{_EXECUTOR}' && request.namespace == {units})",
        "reads_node": f"(c.name in {json.dumps(sorted(readable))} && request.namespace == {nodes})",
        "readable": json.dumps(sorted({path for paths in readable.values() for path in paths})),
        "nodes": nodes,
        "is_adapter": f"(request.namespace == {scaling} && ({_CONTAINERS}).all(c, c.name == '{ADAPTER}'))",
        "images": json.dumps(sorted(images)),
        "capabilities": json.dumps(sorted(privileges.capabilities)),
        "seccomp": json.dumps(file_on_node(privileges.seccomp or "")),
        "proc": json.dumps("Unmasked" if privileges.own_users else "Default"),
        "host_users": json.dumps(not privileges.own_users),
        "runtime_class": json.dumps(runtime_class or ""),
        "profile": json.dumps(str(own.environment[ExecutorSettings.variable("profile")])),
    }
    return [AdmissionRule(name, _expression(rule, values), rule["message"]) for name, rule in _RULES.items()]


def _expression(rule: Mapping[str, str], values: Mapping[str, str]) -> str:
    text = rule["expression"] if "expression" in rule else f"($containers).all(c, {rule['each']})"
    return Template(text).substitute(values)


class Admission(pulumi.ComponentResource):
    """One policy for each rule, in force in the namespaces of the stack."""

    def __init__(self, rules: Iterable[AdmissionRule], prefix: str, opts: pulumi.ResourceOptions) -> None:
        super().__init__("vps:infra:Admission", "admission", None, opts)
        child = pulumi.ResourceOptions(parent=self)
        for rule in rules:
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
