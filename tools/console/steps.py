"""Steps, and the runner that shows the name, the progress and the seconds of each, and other texts and tables.

On a terminal, the running step is one line that is updated; elsewhere, each step prints a few plain lines.
"""

import re
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.table import Column
from rich.text import Text

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130
TAIL_LINES = 25
PLAIN_SECONDS_BETWEEN_LINES = 10.0
_GAP = " " * 3

_CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")


class StepFailed(Exception):
    """A step has failed. `message` names the cause, `fix` says what to do, and the end of the file `log` says more."""

    def __init__(self, message: str, fix: str, log: Path | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.log = log


class Report:
    """Where a running step writes: a log file, and the line on the console that shows its progress."""

    def __init__(self, log: Path, show: Callable[[str], None] = lambda text: None) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log = log
        self._show = show

    def say(self, text: str) -> None:
        """Show a line of progress."""
        if line := _CONTROL.sub("", text).strip():
            self._show(line)

    def write(self, text: str) -> None:
        """Append text to the log, and show its last line."""
        with self.log.open("a") as sink:
            sink.write(_CONTROL.sub("", text))
        self.say(text.rstrip().rpartition("\n")[2])

    def part(self, name: str) -> "Report":
        """A report for one of several things that a step does at once: it has its own log, and shares the line."""
        log = self.log.with_name(f"{self.log.stem}-{name}.log")
        log.unlink(missing_ok=True)
        return Report(log, lambda text: self._show(f"{name}: {text}"))


@dataclass(frozen=True)
class Step:
    """A named piece of work. `run` returns a summary line, or raises StepFailed."""

    name: str
    run: Callable[[Report], str]

    @property
    def slug(self) -> str:
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")


@dataclass(frozen=True)
class Result:
    """How a step ended, and how many seconds it took."""

    step: Step
    seconds: float
    summary: str
    failure: StepFailed | None = None


class Runner:
    """Runs steps in order and shows them on `console`. Their logs are files in `logs`."""

    def __init__(self, console: Console, logs: Path) -> None:
        self.console = console
        self._logs = logs

    def run(self, steps: Sequence[Step], *, keep_going: bool = False) -> list[Result]:
        """Run the steps until one fails, or all of them with `keep_going`. Failures are printed.

        Raises:
            SystemExit: a step has failed, without `keep_going`.
        """
        results: list[Result] = []
        width = max(len(step.name) for step in steps)
        view = _TerminalView if self.console.is_terminal else _PlainView
        for number, step in enumerate(steps, 1):
            with view(self.console, step.name.ljust(width), f"[{number}/{len(steps)}]") as shown:
                results.append(self._run_one(step, shown.progress))
                shown.end(results[-1])
            if failure := results[-1].failure:
                self.explain(failure)
                if not keep_going:
                    sys.exit(EXIT_FAILED)
        return results

    def _run_one(self, step: Step, show: Callable[[str], None]) -> Result:
        log = self._logs / f"{step.slug}.log"
        log.unlink(missing_ok=True)
        report = Report(log, show)
        started = time.monotonic()
        summary, failure = "", None
        try:
            summary = step.run(report)
        except StepFailed as error:
            failure = error
        except Exception as error:
            report.write(traceback.format_exc())
            fix = "This is a bug. If running it again does not help, report it with that log."
            failure = StepFailed(f"{type(error).__name__}: {error}", fix, log)
        return Result(step, time.monotonic() - started, summary, failure)

    def say(self, text: str, style: str = "") -> None:
        """Print a text as it is, without breaking its lines."""
        self.console.print(Text(text, style=style), soft_wrap=True)

    def table(self, rows: Iterable[Sequence[object]], *, numbers: Sequence[int] = ()) -> None:
        """Print an empty line, then rows under their header, the first of them, in plain columns for terminals and
        logs. The columns in `numbers` are aligned to the right."""
        texts = [[str(cell) for cell in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
        self.console.print()
        for position, row in enumerate(texts):
            cells = [
                cell.rjust(width) if column in numbers else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            self.say(_GAP.join(cells).rstrip(), "" if position else "bold")

    def explain(self, failure: StepFailed) -> None:
        """Print what failed, the end of its log, and what to do."""
        self.say(f"\n{failure.message}", "bold red")
        if failure.log and failure.log.exists():
            tail = failure.log.read_text(errors="replace").rstrip().splitlines()[-TAIL_LINES:]
            self.say(f"The end of {failure.log}:")
            self.say("\n".join(f"  | {line}" for line in tail), "dim")
        self.say(f"To go on: {failure.fix}\n", "bold")


class _PlainView:
    def __init__(self, console: Console, name: str, position: str) -> None:
        self._console = console
        self._head = f"{position} {name.rstrip()}"
        self._started = self._last = time.monotonic()
        self._lock = Lock()

    def __enter__(self) -> "_PlainView":
        self._line(self._head)
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def progress(self, text: str) -> None:
        with self._lock:
            now = time.monotonic()
            if now - self._last >= PLAIN_SECONDS_BETWEEN_LINES:
                self._last = now
                self._line(f"      {now - self._started:.0f} s: {text[:160]}")

    def end(self, result: Result) -> None:
        outcome = "FAILED" if result.failure else f"ok: {result.summary}"
        self._line(f"      {result.seconds:.1f} s, {outcome}")

    def _line(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)


class _TerminalView:
    def __init__(self, console: Console, name: str, position: str) -> None:
        one_line = Column(ratio=1, no_wrap=True, overflow="ellipsis")
        self._mark = SpinnerColumn(style="cyan")
        self._text = TextColumn("{task.fields[text]}", style="dim", markup=False, table_column=one_line)
        seconds = TextColumn("{task.elapsed:.1f} s", style="dim")
        columns = (self._mark, TextColumn("{task.description}", markup=False), self._text, seconds)
        self._progress = Progress(*columns, console=console, expand=True, refresh_per_second=8)
        self._task = self._progress.add_task(name, total=1, text="")

    def __enter__(self) -> "_TerminalView":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def progress(self, text: str) -> None:
        self._progress.update(self._task, text=text)

    def end(self, result: Result) -> None:
        self._mark.finished_text = Text("x", style="bold red") if result.failure else Text("✓", style="green")
        self._text.style = "red" if result.failure else ""
        self._progress.update(self._task, completed=1, text="failed" if result.failure else result.summary)
