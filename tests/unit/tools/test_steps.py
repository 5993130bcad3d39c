import io
import re
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

from tools.console import steps
from tools.console.steps import Report, Runner, Step, StepFailed


@pytest.fixture
def screen() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def runner(screen: io.StringIO, tmp_path: Path) -> Runner:
    return Runner(Console(file=screen, width=100, highlight=False), tmp_path)


def fails(report: Report) -> str:
    report.write("".join(f"line {number}\n" for number in range(100)))
    raise StepFailed("The [disk] is full.", "Make room.", report.log)


def test_each_step_shows_position_name_seconds_and_summary(runner: Runner, screen: io.StringIO) -> None:
    runner.run([Step("First", lambda report: "one"), Step("Second", lambda report: "two [red]")])
    assert screen.getvalue().splitlines() == [
        "[1/2] First",
        "      0.0 s, ok: one",
        "[2/2] Second",
        "      0.0 s, ok: two [red]",
    ]


def test_a_failure_shows_the_cause_the_end_of_the_log_and_the_fix_and_ends_the_run(
    runner: Runner, screen: io.StringIO
) -> None:
    with pytest.raises(SystemExit, match="1"):
        runner.run([Step("First", fails), Step("Second", lambda report: "")])
    shown = screen.getvalue()
    assert "The [disk] is full." in shown
    assert "| line 99" in shown
    assert "line 9\n" not in shown
    assert "To go on: Make room." in shown
    assert "Second" not in shown


def test_with_keep_going_the_steps_after_a_failure_run(runner: Runner) -> None:
    results = runner.run([Step("First", fails), Step("Second", lambda report: "")], keep_going=True)
    assert [bool(result.failure) for result in results] == [True, False]


def test_an_unexpected_exception_is_a_failure_with_its_traceback_in_the_log(runner: Runner, tmp_path: Path) -> None:
    def breaks(report: Report) -> str:
        raise ZeroDivisionError("division by zero")

    (result,) = runner.run([Step("Breaks", breaks)], keep_going=True)
    assert result.failure is not None
    assert result.failure.message == "ZeroDivisionError: division by zero"
    assert "in breaks" in (tmp_path / "breaks.log").read_text()


def test_an_interruption_is_not_swallowed(runner: Runner) -> None:
    def interrupted(report: Report) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.run([Step("Interrupted", interrupted)])


def test_plain_output_has_at_most_one_line_of_progress_in_ten_seconds(
    runner: Runner, screen: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chatty(report: Report) -> str:
        for number in range(50):
            report.say(f"at {number}")
        monkeypatch.setattr(steps, "PLAIN_SECONDS_BETWEEN_LINES", 0.0)
        report.say("late")
        return ""

    runner.run([Step("Chatty", chatty)])
    assert [line.strip() for line in screen.getvalue().splitlines()][1:-1] == ["0 s: late"]


def test_on_a_terminal_a_step_ends_as_one_line_with_mark_and_summary(screen: io.StringIO, tmp_path: Path) -> None:
    runner = Runner(Console(file=screen, width=60, force_terminal=True, color_system=None), tmp_path)
    runner.run([Step("Good", lambda report: "fine"), Step("Bad", fails)], keep_going=True)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    assert re.search(r"\r✓ Good fine +\d\.\d s", shown)
    assert re.search(r"\rx Bad  failed +\d\.\d s", shown)


def test_a_log_holds_the_latest_run_without_control_sequences(runner: Runner, tmp_path: Path) -> None:
    def write(text: str, report: Report) -> str:
        report.write(text)
        return ""

    for text in ("old\n", "\x1b[31mnew\x1b[0m\n"):
        runner.run([Step("Log It", partial(write, text))])
    assert (tmp_path / "log-it.log").read_text() == "new\n"


def test_parts_of_a_step_have_logs_of_their_own_and_share_its_line(tmp_path: Path) -> None:
    shown: list[str] = []
    report = Report(tmp_path / "images.log", shown.append)
    report.part("app").write("Step 1/9\n")
    assert shown == ["app: Step 1/9"]
    assert (tmp_path / "images-app.log").read_text() == "Step 1/9\n"
