"""All policies of the pack. Every rule that one of these modules defines is in it."""

from types import ModuleType

from pulumi_policy import Policy

from policies import (
    credentials,
    images,
    lifecycle,
    mounts,
    namespaces,
    objects,
    ports,
    privileges,
    resources,
    sandbox_profile,
)
from policies.rules import Rule

NAME = "vps"


def _rules_in(module: ModuleType) -> list[Rule]:
    return [value for value in vars(module).values() if isinstance(value, Rule)]


RULES: tuple[Rule, ...] = (
    *sandbox_profile.FIELD_RULES,
    *(
        rule
        for module in (
            sandbox_profile,
            privileges,
            namespaces,
            resources,
            mounts,
            ports,
            lifecycle,
            images,
            credentials,
            objects,
        )
        for rule in _rules_in(module)
    ),
)
POLICIES: tuple[Policy, ...] = (*(rule.policy() for rule in RULES), sandbox_profile.EXECUTOR_POLICY)
