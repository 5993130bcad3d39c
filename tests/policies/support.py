"""Runs the pack over resources without Pulumi, through the calls that Pulumi's policy server makes."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from pulumi_policy import (
    PolicyResource,
    PolicyResourceOptions,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.policy import PolicyCustomTimeouts
from pulumi_policy.proxy import unknown_checking_proxy

from policies.exemptions import EXEMPTIONS, Exemption
from policies.inputs import Inputs
from policies.pack import POLICIES, RULES


class Resource(NamedTuple):
    """A resource as Pulumi's mocks record it: type token, name, inputs in camelCase."""

    type: str
    name: str
    inputs: Mapping[str, Any]


class Violation(NamedTuple):
    """A report of a policy. `resource` is None where it is about the whole stack."""

    policy: str
    resource: str | None
    message: str


def violations(resources: Iterable[tuple[str, str, Mapping[str, Any]]]) -> list[Violation]:
    """The reports of all policies about the resources of one stack."""
    stack = [Resource(*resource) for resource in resources]
    arguments = [_arguments(resource) for resource in stack]
    found: list[Violation] = []
    for policy in POLICIES:
        if isinstance(policy, ResourceValidationPolicy):
            for each in arguments:
                policy.validate(each, _recorder(found, policy.name, each.name))
        elif isinstance(policy, StackValidationPolicy):
            resources_of_stack = StackValidationArgs([_state(resource) for resource in stack])
            policy.validate(resources_of_stack, _recorder(found, policy.name, None))
    return found


def _recorder(found: list[Violation], policy: str, resource: str | None) -> ReportViolation:
    def report(message: str, _urn: str | None) -> None:
        found.append(Violation(policy, resource, message))

    return report


def exemptions_used(resources: Iterable[tuple[str, str, Mapping[str, Any]]]) -> set[Exemption]:
    """The exemptions that the resources need."""
    rules = {rule.name: rule for rule in RULES}
    stack = [Resource(*resource) for resource in resources]
    return {
        exemption
        for exemption in EXEMPTIONS
        for resource in stack
        if resource.type == rules[exemption.rule].resource_type
        if (inputs := Inputs.read(_props(resource))).service == exemption.service
        if rules[exemption.rule].findings(inputs)
    }


def _props(resource: Resource) -> Any:
    return unknown_checking_proxy(dict(resource.inputs))


def _urn(resource: Resource) -> str:
    return f"urn:pulumi:test::vps::{resource.type}::{resource.name}"


def _options() -> PolicyResourceOptions:
    return PolicyResourceOptions(False, [], None, [], PolicyCustomTimeouts(0, 0, 0), [])


def _arguments(resource: Resource) -> ResourceValidationArgs:
    return ResourceValidationArgs(
        resource.type, _props(resource), _urn(resource), resource.name, _options(), provider=None
    )


def _state(resource: Resource) -> PolicyResource:
    return PolicyResource(
        resource.type, _props(resource), _urn(resource), resource.name, _options(), None, None, [], {}
    )
