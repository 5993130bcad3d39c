"""The sandbox's limits: the single place where each of them is spelled.

`SandboxProfile()` is the floor. The stack passes a profile to the executor as JSON, the executor refuses to start
on one that is weaker than the floor, the policy pack refuses the stack that declares it, and the tests attack the
result. A stricter profile is always welcome.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Stricter:
    """How a limit compares: the marker in each field's annotation says which values are at least as strict."""

    def __init__(self, name: str, at_least_as_strict: Callable[[Any, Any], bool]) -> None:
        self.name = name
        self.at_least_as_strict = at_least_as_strict


LOWER = Stricter("at most", lambda value, floor: value <= floor)
SAME = Stricter("exactly", lambda value, floor: value == floor)


class SandboxProfile(BaseModel):
    """Everything that holds one single-use sandbox in. Frozen; unknown fields are refused.

    Sizes are binary (1 MB = 1,048,576 bytes, 1 KB = 1,024 bytes), as the Docker Engine counts them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: Annotated[Literal["none", "bridge", "host"], SAME] = Field(
        "none", description="Network mode. `none` leaves a loopback interface and nothing else."
    )
    read_only_root: Annotated[bool, SAME] = Field(True, description="The root file system can't be written.")
    tmp_mb: Annotated[int, LOWER] = Field(50, ge=1, description="Size of /tmp, the only writable place, in MB.")
    cap_drop: Annotated[tuple[str, ...], SAME] = Field(("ALL",), description="Linux capabilities that are dropped.")
    no_new_privileges: Annotated[bool, SAME] = Field(True, description="setuid programs gain nothing.")
    user: Annotated[str, SAME] = Field("65534:65534", description="uid:gid of everything inside; never root.")
    pids: Annotated[int, LOWER] = Field(50, ge=4, description="Processes and threads alive at once.")
    # The kernel refuses a quota below 1 ms, and Docker's period is 100 ms.
    cpus: Annotated[float, LOWER] = Field(0.5, ge=0.01, description="CPU time a second of wall time, in cores.")
    memory_mb: Annotated[int, LOWER] = Field(256, ge=16, description="Memory, the contents of /tmp included, in MB.")
    swap_mb: Annotated[int, LOWER] = Field(0, ge=0, description="Swap beyond the memory, in MB.")
    timeout_seconds: Annotated[float, LOWER] = Field(30, gt=0, description="Wall time of one execution, in seconds.")
    output_kb: Annotated[int, LOWER] = Field(10, ge=1, description="Output kept, stdout and stderr together, in KB.")
    code_kb: Annotated[int, LOWER] = Field(64, ge=1, description="Code accepted in one execution, in KB of UTF-8.")

    result_files: Annotated[int, LOWER] = Field(8, ge=0, description="Files given back by one execution.")
    result_kb: Annotated[int, LOWER] = Field(1024, ge=0, description="Size of the files given back, together, in KB.")

    def limits(self) -> dict[str, float]:
        """Each limit that is a number, in the unit that its name says."""
        fields = self.model_dump()
        return {name: value for name, value in fields.items() if type(value) in (int, float)}

    def weaknesses(self) -> dict[str, str]:
        """Each field that is weaker than the floor, with a sentence that names both values. Empty when none is."""
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
