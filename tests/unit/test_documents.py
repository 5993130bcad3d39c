"""The documents' links, the `make` targets that they name, and the index of decisions."""

import re
from pathlib import Path

import pytest

from docs.reference import anchors
from tools.paths import ROOT

DECISIONS = ROOT / "docs" / "adr"
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *(ROOT / "offline").rglob("*.md"),
    ROOT / ".github" / "pull_request_template.md",
]
LINK = re.compile(r"\]\(([^)\s]+)\)")
ELSEWHERE = ("http://", "https://", "mailto:")
CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:^|`)make ([a-z]+)", re.MULTILINE)
ROW = re.compile(r"^\| \[(\d+)\]\((\S+)\) \| (.+) \| (.+) \|$", re.MULTILINE)
TARGET = re.compile(r"^([a-z]+):", re.MULTILINE)


def dead_links(document: Path) -> list[str]:
    """Return the links to a file or a heading that does not exist."""
    dead = []
    for link in LINK.findall(CODE.sub("", document.read_text())):
        if link.startswith(ELSEWHERE):
            continue
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            dead.append(link)
    return dead


def name(document: Path) -> str:
    return document.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_link_has_a_target(document: Path) -> None:
    assert dead_links(document) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_make_command_is_a_target(document: Path) -> None:
    known = set(TARGET.findall((ROOT / "Makefile").read_text()))
    assert set(COMMAND.findall(document.read_text())) <= known


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    document = tmp_path / "document.md"
    document.write_text("# One\n[a](#one) [b](#two) [c](gone.md) [d](document.md#two) [e](https://example.com/#f)\n")
    assert dead_links(document) == ["#two", "gone.md", "document.md#two"]


def test_the_readme_links_to_every_document() -> None:
    linked = {link for link in LINK.findall((ROOT / "README.md").read_text()) if link.endswith(".md")}
    wanted = {name(document) for document in DOCUMENTS if document.parent in (ROOT, ROOT / "docs")}
    assert wanted - {"README.md"} | {name(DECISIONS / "README.md")} <= linked


def test_the_index_of_decisions_has_each_with_its_title_and_status() -> None:
    rows = ROW.findall((DECISIONS / "README.md").read_text())
    pages = []
    for page in sorted(DECISIONS.glob("0*.md")):
        title, _, status, *rest = page.read_text().splitlines()
        number, _, decision = title.removeprefix("# ").partition(". ")
        pages.append((number, page.name, decision, status.removeprefix("Status: ").partition(".")[0]))
        assert [line for line in rest if line.startswith("## ")][::2] == ["## Context", "## Consequences"], page.name
    assert rows == pages
