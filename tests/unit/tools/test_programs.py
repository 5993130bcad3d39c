"""The programs that are compiled from Go modules. Their versions are compared in unit/infra/test_versions.py."""

from pathlib import Path

import pytest

from infra.images import UPSTREAM_IMAGES
from offline import gomodules, programs
from offline.gomodules import BuildCache, GoBuild
from tools.console.steps import Report
from tools.paths import ROOT

NAMES = ("loki", "collector", "jaeger", "prometheus-adapter")


def build(name: str) -> GoBuild:
    found = programs.program(name, "amd64")
    assert found
    return found


def test_only_programs_that_no_distribution_packages_are_compiled() -> None:
    assert [name for name in UPSTREAM_IMAGES if programs.program(name, "amd64")] == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_dockerfile_copies_the_compiled_program(name: str) -> None:
    executable = build(name).packages[0].rpartition("/")[2]
    dockerfile = (ROOT / "images" / name / "Dockerfile").read_text()
    assert f"COPY program/{executable} /" in dockerfile


def test_a_program_is_compiled_once(monkeypatch: pytest.MonkeyPatch, report: Report, tmp_path: Path) -> None:
    compiled = []
    monkeypatch.setattr(gomodules, "_compile", lambda wanted, *_: compiled.append(wanted.title))
    cache, loki = BuildCache(tmp_path), build("loki")
    assert not cache.has(loki)
    for _ in range(2):
        assert cache.ensure(loki, report.log, report.say).is_dir()
    assert compiled == [loki.title]
