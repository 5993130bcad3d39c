"""The sandbox's limits, property by property: what the executor declares is at least as strict as the floor.

The profile is the value of EXECUTOR_PROFILE, the very JSON that the executor reads. One policy for each field of
`SandboxProfile`, made from the model, so that a refusal names the property.
"""

from collections.abc import Iterator

from pulumi_policy import ReportViolation, StackValidationArgs, StackValidationPolicy
from pydantic import ValidationError

from app.profile import FLOOR, SandboxProfile
from policies.inputs import Inputs
from policies.rules import CONTAINER, Rule, Scope, rule

EXECUTOR = "executor"
API = "api"
VARIABLE = "EXECUTOR_PROFILE"


class ProfileError(Exception):
    """An executor's profile can't be read; the message says what was found."""


def _profile(inputs: Inputs) -> SandboxProfile | None:
    """The profile an executor declares, None for any other container."""
    if inputs.service != EXECUTOR:
        return None
    declared = [value for name, value in inputs.environment if name == VARIABLE]
    if len(declared) != 1:
        raise ProfileError(f"{VARIABLE} is declared {len(declared)} times among the literal environment variables")
    try:
        return SandboxProfile.model_validate_json(declared[0])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ProfileError(f"{VARIABLE} is no profile: {where and f'{where}: '}{first['msg']}") from error


@rule(
    "sandbox-profile",
    scope=Scope.WITH_PROCESS,
    description="An executor declares the sandbox's profile.",
    fix=f"Give the executor one variable {VARIABLE}, a literal: the JSON of a SandboxProfile.",
)
def profile_declared(inputs: Inputs) -> Iterator[str]:
    try:
        _profile(inputs)
    except ProfileError as error:
        yield str(error)


def _field_rule(field: str) -> Rule:
    def check(inputs: Inputs) -> Iterator[str]:
        try:
            profile = _profile(inputs)
        except ProfileError:
            return  # sandbox-profile refuses it
        if profile and (weakness := profile.weaknesses().get(field)):
            yield weakness

    return Rule(
        name=f"sandbox-{field.replace('_', '-')}",
        description=f"{SandboxProfile.model_fields[field].description} The floor is {getattr(FLOOR, field)!r}.",
        fix=f"Set {field} in the sandbox's profile to the floor, or stricter.",
        check=check,
        scope=Scope.WITH_PROCESS,
    )


FIELD_RULES = tuple(_field_rule(field) for field in SandboxProfile.model_fields)


def _executor_is_judged(args: StackValidationArgs, report: ReportViolation) -> None:
    containers = [Inputs.read(item.props) for item in args.resources if item.resource_type == CONTAINER]
    running = {container.service for container in containers if container.has_process}
    if API in running and EXECUTOR not in running:
        report(
            f"Found: a service {API!r} and no service {EXECUTOR!r}, so that no profile was judged. "
            f"Fix: label the container that runs the sandboxes vps.service={EXECUTOR}.",
            None,
        )


EXECUTOR_POLICY = StackValidationPolicy(
    name="sandbox-executor",
    description="A stack that takes visitors' code has an executor whose profile this pack has judged.",
    validate=_executor_is_judged,
)
