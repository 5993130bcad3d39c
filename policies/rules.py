"""A rule: a description, a fix, and a function that finds faults in the inputs of a resource."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

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


@dataclass(frozen=True)
class Rule:
    """One policy.

    `check` yields a phrase for each fault; `fix` is a sentence for the operator. `cis` is the number of the
    recommendation in the CIS Docker Benchmark 1.6, where there is one. A rule that requires a limit checks `running`
    containers only: one that is never started (a config loader) needs none. `resource_type` may have wildcards, and
    `other_types` are those among them that the rule does not check.
    """

    name: str
    description: str
    fix: str
    check: Check
    cis: str | None = None
    running: bool = False
    resource_type: str = CONTAINER
    other_types: frozenset[str] = frozenset()

    def findings(self, inputs: Inputs) -> list[str]:
        """The faults in the inputs. Exemptions are not considered."""
        if self.running and not inputs.has_process:
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
        if not fnmatchcase(args.resource_type, self.resource_type) or args.resource_type in self.other_types:
            return
        inputs = Inputs.read(args.props)
        if exempted(inputs.service, self.name):
            return
        for finding in self.findings(inputs):
            report(f"Found: {finding}. Fix: {self.fix}", None)


def rule(
    name: str,
    *,
    cis: str | None = None,
    running: bool = False,
    resource_type: str = CONTAINER,
    other_types: frozenset[str] = frozenset(),
) -> Callable[[Check], Rule]:
    """Decorator that makes a rule of a check, whose docstring has the description and, after `Fix:`, the fix."""

    def made(check: Check) -> Rule:
        description, fix = (" ".join(part.split()) for part in (check.__doc__ or "").split("Fix:"))
        return Rule(name, description, fix, check, cis, running, resource_type, other_types)

    return made


def unlabelled(inputs: Inputs, *labels: str) -> Iterator[str]:
    """A fault for each of these labels that is absent, empty or unknown."""
    for label in labels:
        value = inputs.labels.get(label)
        if not isinstance(value, str) or not value:
            yield f"the label {label} is {value!r}"
