"""Other programs: which of them run, and running one with its output in the step's log.

When this process is interrupted, a program that it runs is interrupted too and has 60 seconds to end.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TypedDict, Unpack

from tools.console.steps import Report, StepFailed
from tools.paths import ROOT

# An interrupted Pulumi finishes the operations that it has started: a container with its health check takes this long.
_SECONDS_TO_END = 60


def named(*names: str) -> tuple[int, ...]:
    """The ids of this machine's processes with one of these names, of which the kernel keeps 15 characters."""
    return tuple(pid for it in Path("/proc").iterdir() if it.name.isdigit() and name(pid := int(it.name)) in names)


def name(pid: int) -> str:
    """What the kernel calls a process; empty for one that has ended, whether or not its parent has noticed."""
    try:
        before, _, after = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    except OSError:
        return ""
    return "" if after.split()[0] in "ZX" else before.partition("(")[2]


class CommandFailed(Exception):
    """A program ended with an exit code other than 0. `output` is its output."""

    def __init__(self, argv: Sequence[str], code: int, output: str) -> None:
        super().__init__(f"`{' '.join([Path(argv[0]).name, *argv[1:3]])}` ended with exit code {code}")
        self.code = code
        self.output = output

    @property
    def last_line(self) -> str:
        """The last line of its output; empty when it printed nothing."""
        return self.output.strip().rpartition("\n")[2]


@contextlib.contextmanager
def explained(message: str, fix: str, report: Report) -> Iterator[None]:
    """Name the cause and the fix when a program in the block fails.

    Raises:
        StepFailed: a program's exit code was not 0.
    """
    try:
        yield
    except CommandFailed as error:
        raise StepFailed(message, fix, report.log) from error


class Options(TypedDict, total=False):
    """How a program is run. `environment` is added to ours (None takes a variable away), `stdin` is its input, and the
    file descriptors in `held` stay open in it."""

    environment: Mapping[str, str | None]
    cwd: Path
    stdin: str
    held: Sequence[int]


def run(argv: Sequence[str], report: Report, **options: Unpack[Options]) -> str:
    """Run a program to its end, with both its streams in the log, line by line. Returns its output.

    Raises:
        CommandFailed: its exit code was not 0.
    """
    lines: list[str] = []
    with _started(argv, subprocess.STDOUT, options) as (process, output):
        for line in output:
            lines.append(line)
            report.write(line)
        code = process.wait()
    if code != 0:
        raise CommandFailed(argv, code, "".join(lines))
    return "".join(lines)


def capture(argv: Sequence[str], report: Report, **options: Unpack[Options]) -> str:
    """Like `run`, for a program whose output is data: stdout is returned and not logged (it may be secret).

    Raises:
        CommandFailed: its exit code was not 0. `output` is then its stderr.
    """
    with report.log.open("a+") as errors:
        start = errors.seek(0, os.SEEK_END)
        with _started(argv, errors, options) as (process, output):
            answer = output.read()
            code = process.wait()
        if code != 0:
            errors.seek(start)
            raise CommandFailed(argv, code, errors.read())
    return answer


@contextlib.contextmanager
def _started(
    argv: Sequence[str], errors: int | IO[str], options: Options
) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    wanted = {**os.environ, **options.get("environment", {})}
    # A session of its own: Ctrl-C reaches this process only, which then interrupts the program once.
    with subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        cwd=options.get("cwd", ROOT),
        env={name: value for name, value in wanted.items() if value is not None},
        text=True,
        errors="replace",
        start_new_session=True,
        pass_fds=options.get("held", ()),
    ) as process:
        assert process.stdin and process.stdout  # noqa: S101 - both are pipes, which the type does not show
        try:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(options.get("stdin", ""))
                process.stdin.close()
            process.stdin = None
            yield process, process.stdout
        except BaseException:
            _end(process)
            raise


def terminate(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Send SIGTERM to a program, and SIGKILL if it has not ended within `seconds`."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _end(process: subprocess.Popen[str]) -> None:
    try:
        _signal(process, signal.SIGINT)
        process.communicate(timeout=_SECONDS_TO_END)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        _signal(process, signal.SIGKILL)


def _signal(process: subprocess.Popen[str], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
