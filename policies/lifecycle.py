"""Labels, health checks and restarts of containers."""

from collections.abc import Iterator

from policies.inputs import SERVICE_LABEL, STACK_LABEL, Inputs
from policies.rules import Scope, rule

_MOST_RETRIES = 5


@rule(
    "container-labels",
    description="A container's labels name its stack and its service: clean-up and exemptions depend on them.",
    fix=f"Set the labels {STACK_LABEL} and {SERVICE_LABEL}, as literals.",
)
def labels(inputs: Inputs) -> Iterator[str]:
    for label in (STACK_LABEL, SERVICE_LABEL):
        value = inputs.labels.get(label)
        if not isinstance(value, str) or not value:
            yield f"the label {label} is {value!r}"


@rule(
    "container-healthcheck",
    cis="4.6, 5.27",
    scope=Scope.WITH_PROCESS,
    description="A container has a health check.",
    fix="Set healthcheck.tests to ['CMD', program, arguments...].",
)
def healthcheck(inputs: Inputs) -> Iterator[str]:
    tests = inputs.mapping("healthcheck").get("tests")
    if not isinstance(tests, list) or len(tests) < 2 or tests[0] not in ("CMD", "CMD-SHELL"):
        yield f"healthcheck.tests is {tests!r}"


@rule(
    "container-restart",
    cis="5.15",
    scope=Scope.WITH_PROCESS,
    description="A container that keeps failing, or was stopped, is not restarted forever.",
    fix=f"Set restart to 'unless-stopped', or to 'on-failure' with maxRetryCount 1 to {_MOST_RETRIES}.",
)
def restart(inputs: Inputs) -> Iterator[str]:
    policy, retries = inputs.get("restart"), inputs.get("maxRetryCount")
    if policy == "on-failure":
        if not isinstance(retries, int) or not 1 <= retries <= _MOST_RETRIES:
            yield f"restart is {policy!r} with maxRetryCount {retries!r}"
    elif policy not in (None, "", "no", "unless-stopped"):
        yield f"restart is {policy!r}"
