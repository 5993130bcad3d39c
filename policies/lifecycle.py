"""Labels, health checks and restarts of containers."""

from collections.abc import Iterator

from policies.inputs import SERVICE_LABEL, STACK_LABEL, Inputs
from policies.rules import rule, unlabelled

_MOST_RETRIES = 5


@rule("container-labels")
def labels(inputs: Inputs) -> Iterator[str]:
    """A container's labels name its stack and its service: clean-up and exemptions depend on them.

    Fix: Set the labels vps.stack and vps.service, as literals.
    """
    return unlabelled(inputs, STACK_LABEL, SERVICE_LABEL)


@rule("container-healthcheck", cis="4.6, 5.27", running=True)
def healthcheck(inputs: Inputs) -> Iterator[str]:
    """A container has a health check.

    Fix: Set healthcheck.tests to ['CMD', program, arguments...].
    """
    tests = inputs.mapping("healthcheck").get("tests")
    if not isinstance(tests, list) or len(tests) < 2 or tests[0] not in ("CMD", "CMD-SHELL"):
        yield f"healthcheck.tests is {tests!r}"


@rule("container-restart", cis="5.15", running=True)
def restart(inputs: Inputs) -> Iterator[str]:
    """A container that keeps failing, or was stopped, is not restarted forever.

    Fix: Set restart to 'unless-stopped', or to 'on-failure' with maxRetryCount 1 to 5.
    """
    policy, retries = inputs.get("restart"), inputs.get("maxRetryCount")
    if policy == "on-failure":
        if not isinstance(retries, int) or not 1 <= retries <= _MOST_RETRIES:
            yield f"restart is {policy!r} with maxRetryCount {retries!r}"
    elif policy not in (None, "", "no", "unless-stopped"):
        yield f"restart is {policy!r}"
