"""The order of `make up`: the core first where nothing answers yet, one deployment where nothing is compiled."""

import argparse
import contextlib
import io
from pathlib import Path

import pytest
from rich.console import Console

from offline.programs import program
from tools.build import images
from tools.build.images import ImageSet, Recipe
from tools.commands import up
from tools.console.steps import Report, Runner, StepFailed
from tools.stack import health, lock
from tools.stack.health import ServiceState

LOKI = program("loki", "amd64")
assert LOKI
FIRST = ImageSet({"app": "app:1"}, {"loki": "not yet"}, ((Recipe("loki", {"BASE": "base:1"}, {}, LOKI), LOKI),))
WHOLE = ImageSet({"app": "app:1", "loki": "loki:1"}, {})


class Engine:
    def client(self) -> None:
        """The caller is a stand-in, too."""


class Recorded(up.LocalStack):
    """A stack whose steps only record that they ran."""

    ran: list[str]
    fails_at = ""

    def find_engine(self, report: Report) -> str:
        self.engine = Engine()  # type: ignore[assignment] # a stand-in
        return ""

    def find_toolchain(self, report: Report) -> str:
        return ""

    def _check(self, report: Report) -> str:
        return ""

    def _configure(self, report: Report) -> str:
        return ""

    def _deploy(self, report: Report) -> str:
        self.ran.append("up without loki" if "loki" in self.images.unavailable else "up")
        if self.fails_at == self.ran[-1]:
            raise StepFailed("It can't.", "Mend it.")
        return ""

    def _wait(self, report: Report) -> str:
        self.outputs = {"urls": {"api": "http://localhost:8000"}}
        return ""


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    done: list[str] = []

    def complete(engine: object, found: ImageSet, report: Report) -> ImageSet:
        done.extend("compile" for _ in found.uncompiled)
        return WHOLE

    monkeypatch.setattr(Recorded, "ran", done, raising=False)
    monkeypatch.setattr(up, "LocalStack", Recorded)
    monkeypatch.setattr(up, "show", lambda *_: None)
    monkeypatch.setattr(lock, "exclusive", lambda *_: contextlib.nullcontext(0))
    monkeypatch.setattr(images, "complete", complete)
    return done


def make_up(
    monkeypatch: pytest.MonkeyPatch, folder: Path, found: ImageSet, core: bool = False, api: str | None = None
) -> str:
    """The output. `api` is the former state of that service."""
    states = [ServiceState("api", "vps-local-api", api, "app:1")] if api else []
    monkeypatch.setattr(images, "ensure", lambda *_: found)
    monkeypatch.setattr(health, "services", lambda *_: states)
    screen = io.StringIO()
    runner = Runner(Console(file=screen, width=200), folder)
    up.run(argparse.Namespace(stack="local", core=core), runner)
    return screen.getvalue()


def test_with_nothing_to_compile_there_is_one_deployment(
    ran: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shown = make_up(monkeypatch, tmp_path, WHOLE)
    assert ran == ["up"]
    assert "still to come" not in shown


def test_the_core_comes_first_and_the_user_reads_how_long_the_rest_takes(
    ran: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shown = make_up(monkeypatch, tmp_path, FIRST)
    assert ran == ["up without loki", "compile", "up"]
    assert "The API answers at http://localhost:8000" in shown
    assert "Loki 3.7.8, 8-12 minutes" in shown


def test_make_up_core_stops_after_the_core(ran: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shown = make_up(monkeypatch, tmp_path, FIRST, core=True)
    assert ran == ["up without loki"]
    assert "still to come" not in shown


def test_a_running_platform_keeps_its_services_while_programs_are_compiled(
    ran: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    make_up(monkeypatch, tmp_path, FIRST, api="healthy")
    assert ran == ["compile", "up"]


def test_a_platform_that_does_not_answer_gets_its_core_first(
    ran: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    make_up(monkeypatch, tmp_path, FIRST, api="exited")
    assert ran == ["up without loki", "compile", "up"]


@pytest.mark.parametrize(("where", "done"), [("up without loki", 1), ("up", 3)])
def test_a_failure_before_or_after_the_core_ends_the_command(
    where: str, done: int, ran: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Recorded, "fails_at", where)
    with pytest.raises(SystemExit, match="1"):
        make_up(monkeypatch, tmp_path, FIRST)
    assert len(ran) == done
