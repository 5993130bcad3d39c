"""The documents' links, the `make` targets that they name, the commands that tests run, and the index of decisions."""

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
BLOCK = re.compile(r"^```(\w*)\n.*?^```$", re.MULTILINE | re.DOTALL)
NO_COMMANDS = {"json", "yaml"}
"""Languages of blocks that are content of files."""
RUN = re.compile(r'\bcommands\(\s*(?:OPERATIONS|"docs/OPERATIONS\.md"),\s*"([^"]+)"(?:,\s*"(\w*)")?,?\s*\)')
"""How a test takes them from a section of docs/OPERATIONS.md."""
NOT_RUN = {
    ("Agents", ""): "It is a command of Claude Code, which is not ours; tests/unit/app/test_api_agents.py calls /mcp",
}
"""Why no test runs the commands with this language in this section of docs/OPERATIONS.md."""


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


def commands_that_no_test_runs(document: str, tests: str) -> set[tuple[str, str]]:
    """Return the section and the language of the commands in a document that no call in the tests' code names."""
    documented = set()
    for section in document.split("\n## ")[1:]:
        title, _, text = section.partition("\n")
        documented |= {(title, language) for language in BLOCK.findall(text) if language not in NO_COMMANDS}
    return documented - set(RUN.findall(tests))


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


def test_a_test_runs_the_commands_of_each_procedure() -> None:
    tests = "".join(path.read_text() for path in sorted((ROOT / "tests").rglob("*.py")) if path != Path(__file__))
    document = (ROOT / "docs" / "OPERATIONS.md").read_text()
    assert commands_that_no_test_runs(document, tests) == set(NOT_RUN)


def test_commands_that_no_test_runs_are_found() -> None:
    plain, sh, yaml = (f"```{language}\nmake up\n```\n" for language in ("", "sh", "yaml"))
    document = f"# A\n\n## One\n{plain}{sh}\n## Two\n{plain}\n## Three\n{yaml}{yaml}"
    tests = 'commands("docs/OPERATIONS.md", "One")\ncommands(DEPLOYMENT, "Two")\n'
    assert commands_that_no_test_runs(document, tests) == {("One", "sh"), ("Two", "")}
    tests += 'commands(\n    OPERATIONS, "One", "sh"\n)\ncommands(OPERATIONS, "Two")[0]\n'
    assert commands_that_no_test_runs(document, tests) == set()


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
