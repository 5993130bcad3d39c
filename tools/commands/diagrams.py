"""`make diagrams`: draw the committed pictures of docs/workspace.dsl again.

Structurizr's own parser reads the DSL (by Maven and Java), and Graphviz draws. Each picture contains a hash of its
sources, by which a test finds one that is out of date.
"""

import argparse
import hashlib
import tempfile
from functools import partial
from pathlib import Path

from tools.console.steps import Report, Runner, Step
from tools.machine import debian, process
from tools.paths import ROOT, cache

WORKSPACE = ROOT / "docs" / "workspace.dsl"
FOLDER = ROOT / "docs" / "diagrams"
PROGRAMS = {"mvn": "maven", "java": "default-jre-headless", "dot": "graphviz"}


def source_hash() -> str:
    """A hash of everything that determines the pictures, except the versions of Java and Graphviz."""
    digest = hashlib.sha256()
    for file in (WORKSPACE, FOLDER / "pom.xml", FOLDER / "Export.java"):
        content = file.read_bytes()
        digest.update(f"{file.name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def run(options: argparse.Namespace, runner: Runner) -> None:
    runner.run([Step("Programs", partial(debian.ensure, PROGRAMS)), Step("Diagrams", _draw)])


def _draw(report: Report) -> str:
    with tempfile.TemporaryDirectory(dir=cache()) as scratch:
        fix = "Fix what the log reports, then run this again."
        with process.explained("The diagrams could not be drawn.", fix, report):
            graphs = _export(Path(scratch), report)
            for graph in graphs:
                drawn = process.capture(["dot", "-Tsvg", str(graph)], report)
                (FOLDER / f"{graph.stem}.svg").write_text(_signed(drawn))
    for stale in {file.stem for file in FOLDER.glob("*.svg")} - {graph.stem for graph in graphs}:
        (FOLDER / f"{stale}.svg").unlink()
    return f"{len(graphs)} in {FOLDER.relative_to(ROOT)}"


def _export(scratch: Path, report: Report) -> list[Path]:
    classpath = scratch / "classpath"
    find = ["mvn", "--quiet", "--batch-mode", "--file", str(FOLDER / "pom.xml"), "dependency:build-classpath"]
    process.run([*find, f"-Dmdep.outputFile={classpath}"], report)
    export = ["java", "-cp", classpath.read_text(), str(FOLDER / "Export.java"), str(WORKSPACE), str(scratch)]
    process.run(export, report)
    return sorted(scratch.glob("*.dot"))


def _signed(svg: str) -> str:
    """The picture with the hash of its sources, without the lines that name the drawing program."""
    start = svg.index("<svg")
    return f"<!-- made by `make diagrams` from {source_hash()} -->\n{svg[start:]}"
