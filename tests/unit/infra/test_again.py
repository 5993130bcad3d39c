"""again.sh starts a program again when a file that it reads has changed."""

import signal
import subprocess
from pathlib import Path

from infra.services import openbao
from tests.waiting import until

SCRIPT = Path(openbao.__file__).with_name("again.sh").read_text()
WRITES = "cat one >> said; exec sleep 100"


def start(folder: Path, script: str) -> subprocess.Popen[bytes]:
    (folder / "one").write_text("first ")
    (folder / "other").write_text("x")
    return subprocess.Popen(["sh", "-c", SCRIPT, "one other", "sh", "-c", script], cwd=folder)


def test_the_program_is_started_again_with_a_changed_file_and_ends_with_the_script(tmp_path: Path) -> None:
    said = tmp_path / "said"
    running = start(tmp_path, WRITES)
    try:
        until(lambda: said.exists() and said.read_text() == "first ", 30, "the program")
        (tmp_path / "two").write_text("second ")
        (tmp_path / "two").replace(tmp_path / "one")
        until(lambda: said.read_text() == "first second ", 30, "the program, started again")
    finally:
        running.send_signal(signal.SIGTERM)
        code = running.wait(30)
    assert code == 128 + signal.SIGTERM


def test_it_ends_as_the_program_does(tmp_path: Path) -> None:
    assert start(tmp_path, "exit 3").wait(30) == 3
