"""Steps, and the runner that shows the name, the progress and the seconds of each.

On a terminal, the running step is one line that is updated; elsewhere, each step prints a few plain lines.
"""

import re
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from rich.console import Console, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from tools.console import columns

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130
TAIL_LINES = 25
PLAIN_SECONDS_BETWEEN_LINES = 10.0

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
        """Run the steps until one fails, or all of them with `keep_going`. Failures are printed."""
        results: list[Result] = []
        width = max(len(step.name) for step in steps)
        for number, step in enumerate(steps, 1):
            view = _TerminalView if self.console.is_terminal else _PlainView
            with view(self.console, step.name, width, f"[{number}/{len(steps)}]") as shown:
                result = self._run_one(step, shown.progress)
                shown.end(result)
            results.append(result)
            if result.failure:
                self.explain(result.failure)
                if not keep_going:
                    break
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
        """Print an empty line and a table: see `columns.show`."""
        self.console.print()
        columns.show(self.console, rows, numbers=numbers)

    def explain(self, failure: StepFailed) -> None:
        """Print what failed, the end of its log, and what to do."""
        self.say(f"\n{failure.message}", "bold red")
        if failure.log and (tail := _tail(failure.log)):
            self.say(f"The end of {failure.log}:")
            self.say("\n".join(f"  | {line}" for line in tail), "dim")
        self.say(f"To go on: {failure.fix}\n", "bold")


class _PlainView:
    def __init__(self, console: Console, name: str, width: int, position: str) -> None:
        self._console = console
        self._position = position
        self._name = name
        self._started = self._last = time.monotonic()
        self._lock = Lock()

    def __enter__(self) -> "_PlainView":
        self._line(f"{self._position} {self._name}")
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
        self._console.print(escape(text), soft_wrap=True, highlight=False)


class _TerminalView:
    def __init__(self, console: Console, name: str, width: int, position: str) -> None:
        self._name = name
        self._width = width
        self._text = ""
        self._started = time.monotonic()
        self._spinner = Spinner("dots", style="cyan")
        self._mark: RenderableType = self._spinner
        self._style = "dim"
        self._live = Live(console=console, get_renderable=self._line, refresh_per_second=8)

    def __enter__(self) -> "_TerminalView":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def progress(self, text: str) -> None:
        self._text = text

    def end(self, result: Result) -> None:
        self._mark = Text("x", style="bold red") if result.failure else Text("✓", style="green")
        self._text = "failed" if result.failure else result.summary
        self._style = "red" if result.failure else ""

    def _line(self) -> RenderableType:
        line = Table.grid(padding=(0, 1), expand=True)
        line.add_column(width=1)
        line.add_column(width=self._width, no_wrap=True)
        line.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        line.add_column(justify="right", no_wrap=True)
        seconds = f"{time.monotonic() - self._started:.1f} s"
        line.add_row(self._mark, Text(self._name), Text(self._text, style=self._style), Text(seconds, style="dim"))
        return line


def _tail(log: Path) -> list[str]:
    try:
        return log.read_text(errors="replace").rstrip().splitlines()[-TAIL_LINES:]
    except OSError:
        return []
