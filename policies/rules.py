"""A rule: a description, a fix, and a function that finds faults in the inputs of a resource."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

from pulumi_policy import (
    PolicyComplianceFramework,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
)

from policies.exemptions import exempted
from policies.inputs import Inputs

CONTAINER = "docker:index/container:Container"
Check = Callable[[Inputs], Iterable[str]]


class Scope(Enum):
    """Which containers a rule checks: all where it forbids something, and running ones where it requires a limit.

    A container that is never started (a config loader) needs no limits.
    """

    EVERY = "every resource of the type"
    WITH_PROCESS = "containers in which something runs"


@dataclass(frozen=True)
class Rule:
    """One policy.

    `check` yields a phrase for each fault; `fix` is a sentence for the operator. `cis` is the number of the
    recommendation in the CIS Docker Benchmark 1.6, where there is one.
    """

    name: str
    description: str
    fix: str
    check: Check
    cis: str | None = None
    scope: Scope = Scope.EVERY
    resource_type: str = CONTAINER

    def findings(self, inputs: Inputs) -> list[str]:
        """The faults in the inputs. Exemptions are not considered."""
        if self.scope is Scope.WITH_PROCESS and not inputs.has_process:
            return []
        return list(self.check(inputs))

    def policy(self) -> ResourceValidationPolicy:
        return ResourceValidationPolicy(
            name=self.name,
            description=f"{self.description} (CIS Docker {self.cis})" if self.cis else self.description,
            validate=self._validate,
            framework=(self.cis and PolicyComplianceFramework("CIS Docker Benchmark", "1.6.0", self.cis)) or None,
            remediation_steps=self.fix,
        )

    def _validate(self, args: ResourceValidationArgs, report: ReportViolation) -> None:
        if args.resource_type != self.resource_type:
            return
        inputs = Inputs.read(args.props)
        if exempted(inputs.service, self.name):
            return
        for finding in self.findings(inputs):
            report(f"Found: {finding}. Fix: {self.fix}", None)


def rule(
    name: str,
    *,
    description: str,
    fix: str,
    cis: str | None = None,
    scope: Scope = Scope.EVERY,
    resource_type: str = CONTAINER,
) -> Callable[[Check], Rule]:
    """Decorator that makes a rule of a check."""
    return lambda check: Rule(name, description, fix, check, cis, scope, resource_type)
