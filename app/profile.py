"""The sandbox's limits. No other module spells one.

`SandboxProfile()` is the floor, the weakest profile that is allowed. The stack passes a profile to the executor as
JSON. The executor refuses to start with a weaker one than the floor, the policy pack refuses a stack that declares one,
and tests attack sandboxes that were made with it. A stricter profile is always allowed.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class SandboxProfile(BaseModel):
    """All limits of one single-use sandbox. Frozen; unknown fields are refused.

    Sizes are binary (1 MB = 1,048,576 bytes, 1 KB = 1,024 bytes).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    network: Literal["none", "host"] = "none"
    """Network. `none` is a loopback interface of its own and nothing else."""
    read_only_root: bool = True
    """The root file system can't be written."""
    tmp_mb: int = Field(50, ge=1)
    """Size of /tmp in MB. Only /dev/shm can be written besides."""
    cap_drop: tuple[str, ...] = ("ALL",)
    """Linux capabilities that are dropped."""
    no_new_privileges: bool = True
    """setuid programs gain nothing."""
    user: Literal["own", "root"] = "own"
    """User of everything inside. `own` is never root, and no other sandbox's at the same time."""
    pids: int = Field(50, ge=4)
    """Processes and threads alive at once, PID 1 included."""
    # The kernel refuses a quota below 1 ms, and the period is 100 ms.
    cpus: float = Field(0.5, ge=0.01)
    """CPU time a second of wall time, in cores."""
    memory_mb: int = Field(256, ge=16)
    """Memory, the contents of /tmp and /dev/shm included, in MB."""
    swap_mb: int = Field(0, ge=0)
    """Swap beyond the memory, in MB."""
    timeout_seconds: float = Field(30, gt=0)
    """Wall time of one execution, in seconds."""
    output_kb: int = Field(10, ge=1)
    """Output kept, stdout and stderr together, in KB."""
    code_kb: int = Field(64, ge=1)
    """Code accepted in one execution, in KB of UTF-8."""

    result_files: int = Field(8, ge=0)
    """Files given back by one execution."""
    result_kb: int = Field(1024, ge=0)
    """Size of the files given back, together, in KB."""

    def limits(self) -> dict[str, float]:
        """The numeric limits by name. The unit is part of each name."""
        return {name: value for name, value in self if type(value) in (int, float)}

    def weaknesses(self) -> dict[str, str]:
        """A sentence for each field that is weaker than the floor, by field. It names both values.

        A number must be at most the floor's: each is an upper limit. Any other value must be the floor's.
        """
        limits = self.limits()
        return {
            name: f"{name} is {value!r}, and must be {'at most' if name in limits else 'exactly'} {floor!r}"
            for (name, value), (_, floor) in zip(self, FLOOR, strict=True)
            if not (value <= floor if name in limits else value == floor)
        }


FLOOR = SandboxProfile()
EXECUTOR_LEAST_MB = 128
"""Memory that the executor needs beside the sandboxes that run, in MB."""
NOT_EXECUTABLE = "No file in /tmp can be executed: run a script by its interpreter, as in `bash a.sh` for `./a.sh`."
