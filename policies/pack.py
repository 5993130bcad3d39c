"""All policies of the pack: every rule that a module of this folder defines."""

from importlib import import_module
from pkgutil import iter_modules

from pulumi_policy import Policy

import policies
from policies.allowed import ALLOWED_RULES
from policies.rules import Rule
from policies.sandbox_profile import EXECUTOR_POLICY, FIELD_RULES

NAME = "vps"
_MODULES = [found.name for found in iter_modules(policies.__path__) if found.name not in ("__main__", "pack")]
_FOUND = [value for name in _MODULES for value in vars(import_module(f"policies.{name}")).values()]
RULES = (*FIELD_RULES, *ALLOWED_RULES, *(value for value in _FOUND if isinstance(value, Rule)))
POLICIES: tuple[Policy, ...] = (*(rule.policy() for rule in RULES), EXECUTOR_POLICY)
