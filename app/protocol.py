"""What crosses the Unix socket between `api` and `executor`. Frozen; unknown fields are refused.

A request names an environment and carries code. It has no field for an image, a mount or a flag: what a sandbox is
made of is decided by the executor's own settings.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class Message(BaseModel):
    """What all messages have in common."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _without_nul(argument: str) -> str:
    if "\0" in argument:
        raise ValueError("an argument can't contain a NUL character")
    return argument


class Execution(Message):
    """One request to run code. Sizes and the timeout are checked against the profile by `app.admission`."""

    environment: str = Field(description="Name of the environment: python, node or bash.")
    code: str = Field(description="The code, in the environment's language.")
    stdin: str = Field("", description="What the code reads from its standard input, then end of file.")
    args: tuple[Annotated[str, AfterValidator(_without_nul)], ...] = Field(
        (), max_length=64, description="The code's command-line arguments, at most 64."
    )
    timeout: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Wall time in seconds; null is the profile's timeout."
    )


class Status(StrEnum):
    """How an execution ended."""

    SUCCESS = "success"
    ERROR = "error"
    TIMEOUT = "timeout"
    MEMORY_LIMIT = "memory_limit"
    OUTPUT_LIMIT = "output_limit"


class ExecutionResult(Message):
    """How one execution ended and what it wrote."""

    execution_id: str = Field(description="32 hexadecimal digits, unique to this execution.")
    status: Status
    output: str = Field(description="stdout and stderr together, in the order in which they arrived.")
    stdout: str
    stderr: str
    error: str | None = Field(description="What ended the run and whose doing it was, in a sentence; null on success.")
    exit_code: int | None = Field(description="The interpreter's exit code; null when the run was stopped by a limit.")
    truncated: bool = Field(description="Whether output beyond the limit was dropped.")
    execution_time: float = Field(description="Wall time in seconds, from the start of the sandbox to its end.")
    environment: str


class EnvironmentInfo(Message):
    """An environment that the executor serves, with the version that was measured inside its sandbox."""

    name: str
    version: str


class ExecutorHealth(Message):
    """Whether code can run now. `reason` says why not."""

    engine: Literal["reachable", "unreachable"]
    active_sandboxes: int
    reason: str | None = None


class ExecutorStats(Message):
    """The executor's load at this moment, in executions."""

    running: int
    waiting: int
    concurrency: int = Field(description="Executions that may run at once.")
