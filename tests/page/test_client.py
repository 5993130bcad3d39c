"""The terminal client against a running platform."""

import subprocess
import sys

from tools.paths import ROOT

CLIENT = (sys.executable, "-m", "tools", "client", "--url")


def run(*arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CLIENT, *arguments], input=typed, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT
    )


def test_every_call_of_the_tour_succeeds(page_url: str) -> None:
    done = run(page_url, "--tour")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Hello, Ada and Grace" in done.stdout
    assert '"status": "timeout"' in done.stdout


def test_code_typed_by_hand_runs_and_reads_the_next_input(page_url: str) -> None:
    typed = "s\n" + "python\n" + "print(input()[::-1])\nprint('\\x1b[2J')\n.\n" + "desrever\n"
    done = run(page_url, typed=typed)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "reversed\n\\x1b[2J\n" in done.stdout


def test_the_tour_fails_when_the_api_does_not_answer() -> None:
    done = run("http://127.0.0.1:9", "--tour")
    assert done.returncode == 1
    assert "Unexpected: " in done.stdout
    assert "Traceback" not in done.stderr
