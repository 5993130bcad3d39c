"""What is compiled here is the version that it says, and takes the configuration of the image that stands for it."""

import re
from pathlib import Path

import pytest

from infra.settings import UPSTREAM_IMAGES
from offline import gomodules, programs
from offline.gomodules import BuildCache, GoBuild
from tools.console.steps import Report
from tools.paths import ROOT

NAMES = ("loki", "collector", "jaeger")


def build(name: str) -> GoBuild:
    found = programs.program(name, "amd64")
    assert found
    return found


def required(name: str, module: str) -> str:
    """The version of a module that a program's go.mod requires."""
    found = re.search(rf"\b{re.escape(module)} v(\S+)", (build(name).source / "go.mod").read_text())
    assert found
    return found[1]


def test_only_what_no_distribution_has_is_compiled() -> None:
    assert [name for name in UPSTREAM_IMAGES if programs.program(name, "amd64")] == list(NAMES)


def test_the_versions_are_those_of_the_modules() -> None:
    assert required("loki", "github.com/grafana/loki/v3") == programs.LOKI
    assert required("collector", "go.opentelemetry.io/collector/otelcol") == programs.COLLECTOR
    # The module of Jaeger 2 counts on from Jaeger 1: 1.63.0 is 2.0.0.
    major, minor, patch = map(int, required("jaeger", "github.com/jaegertracing/jaeger").split("."))
    assert f"{major + 1}.{minor - 63}.{patch}" == programs.JAEGER


def test_the_upstream_images_understand_the_same_configuration() -> None:
    versions = {name: UPSTREAM_IMAGES[name].rpartition(":")[2] for name in NAMES}
    assert (versions["loki"], versions["collector"]) == (programs.LOKI, programs.COLLECTOR)
    assert versions["jaeger"].partition(".")[0] == programs.JAEGER.partition(".")[0]


@pytest.mark.parametrize("name", NAMES)
def test_the_image_takes_the_program_where_it_lies(name: str) -> None:
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
