"""The sandbox's limits: each field of the executor's profile must be at least as strict as the floor.

The profile is the value of EXECUTOR_PROFILE, the JSON that the executor reads. Each field of `SandboxProfile` has a
policy, so a refusal names the field.
"""

from collections.abc import Iterator

from pulumi_policy import ReportViolation, StackValidationArgs, StackValidationPolicy
from pydantic import ValidationError

from app.profile import FLOOR, SandboxProfile
from policies.inputs import Inputs
from policies.rules import CONTAINER, Rule, rule

EXECUTOR = "executor"
API = "api"
VARIABLE = "EXECUTOR_PROFILE"


def profile_of(inputs: Inputs) -> SandboxProfile | str | None:
    """The profile that an executor declares, or what is wrong with the declaration; None for any other container."""
    if inputs.service != EXECUTOR:
        return None
    declared = [value for name, value in inputs.environment if name == VARIABLE]
    if len(declared) != 1:
        return f"{VARIABLE} is declared {len(declared)} times among the literal environment variables"
    try:
        return SandboxProfile.model_validate_json(declared[0])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return f"{VARIABLE} is not a profile: {where and f'{where}: '}{first['msg']}"


@rule("sandbox-profile", running=True)
def profile_declared(inputs: Inputs) -> Iterator[str]:
    """The executor declares the sandbox's profile.

    Fix: Set EXECUTOR_PROFILE of the executor once, to a literal: the JSON of a SandboxProfile.
    """
    if isinstance(fault := profile_of(inputs), str):
        yield fault


def _field_rule(field: str) -> Rule:
    def check(inputs: Inputs) -> Iterator[str]:
        profile = profile_of(inputs)
        if isinstance(profile, SandboxProfile) and (weakness := profile.weaknesses().get(field)):
            yield weakness

    return Rule(
        name=f"sandbox-{field.replace('_', '-')}",
        description=f"{SandboxProfile.model_fields[field].description} The floor is {getattr(FLOOR, field)!r}.",
        fix=f"Set {field} in the sandbox's profile to the floor or a stricter value.",
        check=check,
        running=True,
    )


FIELD_RULES = tuple(_field_rule(field) for field in SandboxProfile.model_fields)


def _executor_is_checked(args: StackValidationArgs, report: ReportViolation) -> None:
    containers = [Inputs.read(item.props) for item in args.resources if item.resource_type == CONTAINER]
    running = {container.service for container in containers if container.has_process}
    if API in running and EXECUTOR not in running:
        report(
            f"Found: a service {API!r} and no service {EXECUTOR!r}, so no profile was checked. "
            f"Fix: give the container of the executor the label vps.service={EXECUTOR}.",
            None,
        )


EXECUTOR_POLICY = StackValidationPolicy(
    name="sandbox-executor",
    description="A stack with an api has an executor, whose profile this pack checks.",
    validate=_executor_is_checked,
)
