import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.console.steps import Report
from tools.machine import process


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_both_streams_are_returned_and_logged(report: Report) -> None:
    code = "import sys; print('out', flush=True); print('err', file=sys.stderr)"
    assert process.run(python(code), report) == "out\nerr\n"
    assert report.log.read_text() == "out\nerr\n"


def test_a_nonzero_exit_code_is_an_error_with_the_output(report: Report) -> None:
    with pytest.raises(process.CommandFailed) as caught:
        process.run(python("print('why'); raise SystemExit(3)"), report)
    assert (caught.value.code, caught.value.output) == (3, "why\n")


def test_captured_output_is_not_logged_but_its_errors_are(report: Report) -> None:
    code = "import sys; print('secret'); print('note', file=sys.stderr)"
    assert process.capture(python(code), report) == "secret\n"
    assert report.log.read_text() == "note\n"


def test_a_failing_capture_carries_its_own_errors_only(report: Report) -> None:
    report.write("earlier\n")
    with pytest.raises(process.CommandFailed) as caught:
        process.capture(python("import sys; sys.exit('why')"), report)
    assert caught.value.output == "why\n"


def test_variables_are_added_and_removed(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAKEN", "1")
    code = "import os; print(os.environ.get('ADDED'), os.environ.get('TAKEN'))"
    assert process.run(python(code), report, environment={"ADDED": "yes", "TAKEN": None}) == "yes None\n"


def test_stdin_is_the_given_text_and_then_ends(report: Report) -> None:
    assert process.run(["cat"], report, stdin="value") == "value"


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt, whatever handler an earlier test has left."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before or signal.default_int_handler)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_program_has_time_to_finish(report: Report, tmp_path: Path) -> None:
    started, ended = tmp_path / "started", tmp_path / "ended"
    body = f"trap 'sleep 0.2; touch {ended}; exit 1' INT; touch {started}; while :; do sleep 0.05; done"

    main = threading.get_ident()

    def interrupt() -> None:
        while not started.exists():
            time.sleep(0.01)
        # The main thread must block in read() first: a read that starts after the signal would never return.
        time.sleep(0.3)
        signal.pthread_kill(main, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        process.run(["sh", "-c", body], report)
    assert ended.exists()
