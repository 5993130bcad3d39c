"""What the API server refuses in the namespaces of a stack: the rules of admission.toml, filled in for its services."""

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
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
_RULES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())


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
    values = {
        "containers": _CONTAINERS,
        "is_executor": f"(c.name == '{_EXECUTOR}' && request.namespace == {json.dumps(units)})",
        "images": json.dumps(sorted(images)),
        "capabilities": json.dumps(sorted(privileges.capabilities)),
        "seccomp": json.dumps(file_on_node(privileges.seccomp)),
        "profile": json.dumps(str(own.environment[ExecutorSettings.variable("profile")])),
    }
    return [AdmissionRule(name, _expression(rule, values), rule["message"]) for name, rule in _RULES.items()]


def _expression(rule: Mapping[str, str], values: Mapping[str, str]) -> str:
    text = rule["expression"] if "expression" in rule else f"($containers).all(c, {rule['each']})"
    return Template(text).substitute(values)


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
