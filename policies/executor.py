"""The executor's container: its launcher, its network and its memory. Sandboxes are processes of this container."""

from collections.abc import Iterator

from app.profile import EXECUTOR_LEAST_MB, SandboxProfile
from policies.inputs import Inputs
from policies.rules import rule
from policies.sandbox_profile import EXECUTOR, profile_of

_LAUNCHER = ["env", "--block-signal=TERM,INT,CHLD", "python", "-m", "app.executor.launcher"]


@rule("executor-user-namespace", running=True)
def user_namespace(inputs: Inputs) -> Iterator[str]:
    """The executor is started by its launcher, which puts it into a user namespace.

    Fix: Set entrypoints to ['env', '--block-signal=TERM,INT,CHLD', 'python', '-m', 'app.executor.launcher'], and leave
    command and workingDir out.
    """
    if inputs.service == EXECUTOR:
        if inputs.get("entrypoints") != _LAUNCHER:
            yield f"entrypoints is {inputs.get('entrypoints')!r}"
        for name in ("command", "workingDir"):
            if inputs.get(name):
                yield f"{name} is {inputs.get(name)!r}"


@rule("executor-network", running=True)
def network(inputs: Inputs) -> Iterator[str]:
    """The executor has no network.

    Fix: Set networkMode to 'none', and leave networksAdvanced out.
    """
    if inputs.service == EXECUTOR and (inputs.get("networkMode") != "none" or inputs.get("networksAdvanced")):
        yield f"networkMode is {inputs.get('networkMode')!r} with networksAdvanced {inputs.get('networksAdvanced')!r}"


@rule("executor-memory", cis="5.11", running=True)
def memory(inputs: Inputs) -> Iterator[str]:
    """A limit of memory bounds the executor and all sandboxes together, and leaves room for one of them.

    Fix: Set `sandbox.memory_mb`, or leave it out.
    """
    profile, limit = profile_of(inputs), inputs.get("memory")
    if not isinstance(profile, SandboxProfile):
        return  # sandbox-profile refuses an executor without one
    if not isinstance(limit, int) or limit < EXECUTOR_LEAST_MB + profile.memory_mb:
        yield f"memory is {limit!r}, and a sandbox may take {profile.memory_mb} MB"
