"""All policies of the pack. Every rule that one of these modules defines is in it."""

from pulumi_policy import Policy

from policies import (
    credentials,
    executor,
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
_MODULES = (
    sandbox_profile,
    executor,
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
RULES = (
    *sandbox_profile.FIELD_RULES,
    *(value for module in _MODULES for value in vars(module).values() if isinstance(value, Rule)),
)
POLICIES: tuple[Policy, ...] = (*(rule.policy() for rule in RULES), sandbox_profile.EXECUTOR_POLICY)
