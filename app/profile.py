"""The sandbox's limits. No other module spells one.

`SandboxProfile()` is the floor, the weakest profile that is allowed. The stack passes a profile to the executor as
JSON. The executor refuses to start with a weaker one than the floor, the policy pack refuses a stack that declares one,
and tests attack sandboxes that were made with it. A stricter profile is always allowed.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Stricter:
    """Says which values of a field are at least as strict as the floor's. Each field's annotation has one."""

    def __init__(self, name: str, at_least_as_strict: Callable[[Any, Any], bool]) -> None:
        self.name = name
        self.at_least_as_strict = at_least_as_strict


LOWER = Stricter("at most", lambda value, floor: value <= floor)
SAME = Stricter("exactly", lambda value, floor: value == floor)


class SandboxProfile(BaseModel):
    """All limits of one single-use sandbox. Frozen; unknown fields are refused.

    Sizes are binary (1 MB = 1,048,576 bytes, 1 KB = 1,024 bytes).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: Annotated[Literal["none", "host"], SAME] = Field(
        "none", description="Network. `none` is a loopback interface of its own and nothing else."
    )
    read_only_root: Annotated[bool, SAME] = Field(True, description="The root file system can't be written.")
    tmp_mb: Annotated[int, LOWER] = Field(
        50, ge=1, description="Size of /tmp in MB. Only /dev/shm can be written besides."
    )
    cap_drop: Annotated[tuple[str, ...], SAME] = Field(("ALL",), description="Linux capabilities that are dropped.")
    no_new_privileges: Annotated[bool, SAME] = Field(True, description="setuid programs gain nothing.")
    user: Annotated[Literal["own", "root"], SAME] = Field(
        "own", description="User of everything inside. `own` is never root, and no other sandbox's at the same time."
    )
    pids: Annotated[int, LOWER] = Field(50, ge=4, description="Processes and threads alive at once, PID 1 included.")
    # The kernel refuses a quota below 1 ms, and the period is 100 ms.
    cpus: Annotated[float, LOWER] = Field(0.5, ge=0.01, description="CPU time a second of wall time, in cores.")
    memory_mb: Annotated[int, LOWER] = Field(
        256, ge=16, description="Memory, the contents of /tmp and /dev/shm included, in MB."
    )
    swap_mb: Annotated[int, LOWER] = Field(0, ge=0, description="Swap beyond the memory, in MB.")
    timeout_seconds: Annotated[float, LOWER] = Field(30, gt=0, description="Wall time of one execution, in seconds.")
    output_kb: Annotated[int, LOWER] = Field(10, ge=1, description="Output kept, stdout and stderr together, in KB.")
    code_kb: Annotated[int, LOWER] = Field(64, ge=1, description="Code accepted in one execution, in KB of UTF-8.")

    result_files: Annotated[int, LOWER] = Field(8, ge=0, description="Files given back by one execution.")
    result_kb: Annotated[int, LOWER] = Field(1024, ge=0, description="Size of the files given back, together, in KB.")

    def limits(self) -> dict[str, float]:
        """The numeric limits by name. The unit is part of each name."""
        fields = self.model_dump()
        return {name: value for name, value in fields.items() if type(value) in (int, float)}

    def weaknesses(self) -> dict[str, str]:
        """A sentence for each field that is weaker than the floor, by field. It names both values."""
        return {
            name: f"{name} is {getattr(self, name)!r}, and must be {rule.name} {getattr(FLOOR, name)!r}"
            for name, rule in _rules().items()
            if not rule.at_least_as_strict(getattr(self, name), getattr(FLOOR, name))
        }


def _rules() -> dict[str, Stricter]:
    return {
        name: next(mark for mark in field.metadata if isinstance(mark, Stricter))
        for name, field in SandboxProfile.model_fields.items()
    }


FLOOR = SandboxProfile()
EXECUTOR_LEAST_MB = 128
"""Memory that the executor needs beside the sandboxes that run, in MB."""
NOT_EXECUTABLE = "No file in /tmp can be executed: run a script by its interpreter, as in `bash a.sh` for `./a.sh`."
