"""How a rule is declared: data, and a function from a resource's inputs to what is wrong with them."""

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
    """Which containers a rule judges. The line is whether the rule forbids a grant or demands a bound.

    A container that never starts needs no bound, as there is nothing to hold in; a grant is refused to it all the same.
    """

    EVERY = "every resource of the type"
    WITH_PROCESS = "containers in which something runs"


@dataclass(frozen=True)
class Rule:
    """One policy. `cis` is the recommendation's number in the CIS Docker Benchmark 1.6, where there is one.

    `check` yields a phrase for each thing it found; `fix` is a sentence that says what to do about it.
    """

    name: str
    description: str
    fix: str
    check: Check
    cis: str | None = None
    scope: Scope = Scope.EVERY
    resource_type: str = CONTAINER

    def findings(self, inputs: Inputs) -> list[str]:
        """What is wrong, exemptions aside."""
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
    """Make a rule of the function below it."""
    return lambda check: Rule(name, description, fix, check, cis, scope, resource_type)
