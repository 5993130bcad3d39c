"""The messages on the Unix socket between `api` and `executor`. They are frozen, and unknown fields are refused.

A request names an environment and has code. It has no field for an image, a mount or a flag: the executor's own
settings decide how a sandbox is made.
"""

import base64
import binascii
import unicodedata
from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from app.environments import canonical, described
from app.wire.problems import Problem

_LONGEST_NAME = 255
"""Bytes of a file's name with its folders. Linux allows 255 for each part (NAME_MAX)."""


class Message(BaseModel):
    """The configuration that all messages share. A field's docstring is its description in the OpenAPI document."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


def _without_nul(argument: str) -> str:
    if "\0" in argument:
        raise ValueError("an argument can't contain a NUL character")
    return argument


def _relative(name: str) -> str:
    if len(name.encode()) > _LONGEST_NAME:
        raise ValueError(f"a file's name has at most {_LONGEST_NAME} bytes")
    if any(part in {"", ".", ".."} for part in name.split("/")):
        raise ValueError("a file's name is relative and has no part that is empty, '.' or '..'")
    if any(unicodedata.category(letter) == "Cc" for letter in name):
        raise ValueError("a file's name can't contain a control character")
    if name == RESULTS:
        raise ValueError(f"{RESULTS} is the folder of the files that are given back")
    return name


def _pattern(name: str) -> str:
    if name in ("", ".", "..") or "/" in name or "\0" in name or len(name.encode()) > _LONGEST_NAME:
        raise ValueError("a result is the name of a file, or a pattern with *, without a folder")
    return name


Argument = Annotated[str, AfterValidator(_without_nul)]
"""A command-line argument of the code."""
RESULTS = "results"
"""The folder beside the visitor's files whose files are given back."""

FileName = Annotated[str, AfterValidator(_relative)]
PackageName = Annotated[str, Field(min_length=1, max_length=128)]
"""A package by name, or with versions as in `requests>=2.32` or `date-fns@^3`."""


class File(Message):
    """A file in the folder in which the code runs."""

    name: FileName
    """Relative name, as in main.py or data/points.csv."""
    content: str
    encoding: Literal["utf8", "base64"] = "utf8"

    @model_validator(mode="after")
    def _decodes(self) -> "File":
        try:
            _ = self.data
        except binascii.Error as error:
            raise ValueError(f"the content is not base64: {error}") from None
        return self

    @cached_property
    def data(self) -> bytes:
        """The decoded content."""
        return base64.b64decode(self.content, validate=True) if self.encoding == "base64" else self.content.encode()


class Terminal(Message):
    """The size of a pseudo terminal, in characters."""

    columns: int = Field(ge=1, le=500)
    rows: int = Field(ge=1, le=500)


class Execution(Message):
    """One request to run code: exactly one of `code` and `files`.

    Sizes and the timeout are checked against the profile by `app.wire.admission`.
    """

    environment: Annotated[str, AfterValidator(canonical)] = Field(max_length=64)
    """Name of the environment or one of its aliases, as GET /environments lists them."""
    code: str | None = None
    """The code, in the environment's language, when it is a single file."""
    files: tuple[File, ...] | None = Field(None, min_length=1, max_length=32)
    """The code's files, at most 32."""
    main: FileName | None = None
    """Which of the files is run; null is the first."""
    stdin: str = ""
    """Text at the beginning of the code's standard input."""
    args: tuple[Argument, ...] = Field((), max_length=64)
    """The code's command-line arguments, at most 64."""
    timeout: float | None = Field(None, gt=0, allow_inf_nan=False)
    """Wall time in seconds; null is the profile's timeout."""
    packages: tuple[PackageName, ...] = Field((), max_length=32)
    """Packages that the code can import, as in `requests>=2.32` or, for Node, `date-fns@^3`, where GET /environments
    says that there are any. They are prepared before the code runs, outside of its sandbox, which has no network all
    the same."""
    results: tuple[Annotated[str, AfterValidator(_pattern)], ...] | None = Field(None, min_length=1, max_length=32)
    """Files under /tmp/results to give back: names, or patterns with *. Null: the folder isn't made.

    Pictures that Python's plt.show() has made, show-1.png and so on, are given back in any case.
    """
    merge: bool = False
    """Give the code one pipe for stdout and stderr, which keeps the exact order of what it writes to them. The answer's
    `stdout` then has both, and `stderr` is empty."""
    terminal: Terminal | None = None
    """Give the code a pseudo terminal of this size, with TERM=xterm-256color, in place of pipes. Only the WebSocket
    /execute/stream has one. Output is all told as stdout, with the terminal's echo of what was typed."""

    @model_validator(mode="after")
    def _has_one_main(self) -> "Execution":
        if (self.code is None) == (self.files is None):
            raise ValueError("give either code or files")
        if self.files is None:
            if self.main is not None:
                raise ValueError("main names one of the files, and there are none")
            return self
        names = [file.name for file in self.files]
        folders = {name[:at] for name in names for at, letter in enumerate(name) if letter == "/"}
        if len(names) != len(set(names)) or folders & set(names):
            raise ValueError("two files have the same name")
        if self.main is not None and self.main not in names:
            raise ValueError(f"main is {self.main!r}, and no file has that name")
        return self

    @cached_property
    def sources(self) -> Mapping[str, bytes]:
        """The content of each file by name. `code` becomes a file with the name that the environment gives it."""
        if self.files is None:
            environment = described(self.environment)
            return {environment.main if environment else "code": (self.code or "").encode()}
        return {file.name: file.data for file in self.files}

    @property
    def home(self) -> str:
        """Name of the environment in whose sandboxes it runs."""
        environment = described(self.environment)
        return (environment and environment.within) or self.environment

    @property
    def main_file(self) -> str:
        """The name of the file that is run, one of `sources`."""
        return self.main or next(iter(self.sources))


class Status(StrEnum):
    """How an execution ended: the limit that stopped it, or else the cause of its exit code.

    For example, a fork bomb that runs until the deadline is a timeout, and one that exits earlier is a process_limit.
    """

    SUCCESS = "success"
    ERROR = "error"
    TIMEOUT = "timeout"
    MEMORY_LIMIT = "memory_limit"
    OUTPUT_LIMIT = "output_limit"
    PROCESS_LIMIT = "process_limit"
    KILLED = "killed"


class ResultFile(Message):
    """A file that the code wrote to /tmp/results."""

    name: str
    content: str
    """Base64."""
    encoding: Literal["base64"] = "base64"
    size: int
    """Bytes of the content when decoded."""


class ExecutionResult(Message):
    """How one execution ended, and its output."""

    execution_id: str
    """32 hexadecimal digits, unique to this execution."""
    status: Status
    output: str
    """stdout and stderr together, in the order in which the executor received them. They are two pipes: what the code
    writes to both at about the same time may arrive in another order, unless the request has `merge`."""
    stdout: str
    """With `merge` or a terminal this is all of the output."""
    stderr: str
    error: str | None
    """A sentence that says what ended the run; null on success."""
    exit_code: int | None
    """The interpreter's exit code, 128 plus the number of a signal; null when a limit stopped the run."""
    signal: str | None
    """Name of the signal that ended the interpreter, for example SIGSEGV; else null."""
    truncated: bool
    """Whether output beyond the limit was dropped."""
    execution_time: float
    """Wall time in seconds, from the start of the code to its end."""
    cpu_time: float | None
    """CPU time in seconds of all processes; null when unknown."""
    memory_peak: int | None
    """The sandbox's peak memory in bytes; null when unknown."""
    files: tuple[ResultFile, ...] = ()
    """The requested results that were found, and the pictures of plt.show()."""
    warnings: tuple[str, ...] = ()
    """Sentences about requested results that could not be given back, and about patterns in the code."""
    environment: str


class Package(Message):
    """A library or program that an environment has beside its language's own."""

    name: str
    version: str


class EnvironmentInfo(Message):
    """An environment that the executor serves, with the versions that its own interpreter reported in a sandbox."""

    name: str
    language: str
    """Its programming language, in lower case."""
    version: str
    end_of_life: date
    """The last day on which somebody mends faults in the security of this version."""
    packages: tuple[Package, ...]
    main: str
    """File name of `code`."""
    example: str
    """A first program, which prints Hello, World!"""
    aliases: tuple[str, ...]
    """Other names that POST /execute takes for it."""


class ExecutorHealth(Message):
    """Whether code can run now. `reason` says why no sandbox can be made."""

    engine: Literal["reachable", "failing"]
    active_sandboxes: int
    """Sandboxes in which an execution runs."""
    reason: str | None = None


class ExecutorStats(Message):
    """The executor's load now, in executions."""

    running: int
    waiting: int
    concurrency: int
    """Executions that may run at once."""


class Start(Execution):
    """The first frame of a stream, sent by the client."""

    type: Literal["start"] = "start"


class Input(Message):
    """Text for the code's standard input."""

    type: Literal["stdin"] = "stdin"
    data: str


class EndOfInput(Message):
    """The end of the code's standard input. With a terminal it is Ctrl-D, which ends the input only at the beginning of
    a line, and more may be typed after it."""

    type: Literal["stdin_end"] = "stdin_end"


class Resize(Terminal):
    """The terminal has a new size, of which the code is told by SIGWINCH."""

    type: Literal["resize"] = "resize"


class Interrupt(Message):
    """A signal for the code's process group."""

    type: Literal["signal"] = "signal"
    signal: Literal["SIGINT", "SIGTERM"]


class Cancel(Message):
    """Ends the execution at once."""

    type: Literal["cancel"] = "cancel"


Command = Annotated[Input | EndOfInput | Resize | Interrupt | Cancel, Field(discriminator="type")]
"""A frame that a client may send while its code runs."""


class Preparing(Message):
    """What is done about the packages, before the code starts."""

    type: Literal["preparing"] = "preparing"
    step: Literal["waiting", "resolving", "fetching"]


class Started(Message):
    """The code starts now."""

    type: Literal["started"] = "started"
    execution_id: str
    environment: str


class Output(Message):
    """Text that the code has written. A character is never split between two frames."""

    type: Literal["output"] = "output"
    stream: Literal["stdout", "stderr"]
    data: str


class Result(ExecutionResult):
    """The last frame, unless it is a `Fault`."""

    type: Literal["result"] = "result"


class Fault(Message, Problem):
    """The last frame when the execution was refused: a problem document, with this `type` in place of about:blank."""

    type: Literal["problem"] = "problem"

    @classmethod
    def of(cls, problem: Problem) -> "Fault":
        """The problem as a frame."""
        return cls(**problem.model_dump(exclude={"type"}))


Happening = Started | Output | Result
"""What happens to an execution that was not refused."""
Event = Annotated[Happening | Fault, Field(discriminator="type")]
"""A frame that the server sends."""
