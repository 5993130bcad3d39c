"""Which folder may import which, and that no modules import each other in a circle: by the imports in the code."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tools.paths import ROOT

MAY_IMPORT: Mapping[str, tuple[str, ...]] = {
    "app": (),
    "docs": ("app", "infra", "monitoring"),
    "infra": (
        "app.api.rooms.settings",
        "app.api.settings",
        "app.backup.settings",
        "app.keeper.settings",
        "app.containers.settings",
        "app.environments",
        "app.executor.apparmor",
        "app.executor.seccomp",
        "app.executor.settings",
        "app.packages.settings",
        "app.process.settings",
        "app.profile",
        "app.runtimes",
        "app.status.notices",
        "app.status.settings",
        "app.wire.problems",
        "monitoring",
    ),
    "monitoring": (),
    "offline": (),
    "policies": ("app.executor.apparmor", "app.executor.seccomp", "app.profile"),
    "stacks": ("infra",),
    "tools": (
        "app.api.settings",
        "app.environments",
        "app.executor.apparmor",
        "app.executor.seccomp",
        "app.profile",
        "infra",
        "offline",
    ),
}
"""What a folder may import besides itself: modules, and packages with all that is in them. tests/ may import all."""
ROOMS = (*MAY_IMPORT, "tests")


def modules(root: Path) -> dict[str, Path]:
    """The files of all modules by their names; a package has the name of its folder."""
    files = (file for room in ROOMS for file in (root / room).rglob("*.py"))
    return {".".join(_name(file.relative_to(root))): file for file in files}


def _name(file: Path) -> tuple[str, ...]:
    return file.parent.parts if file.name == "__init__.py" else file.with_suffix("").parts


def imports(name: str, known: Mapping[str, Path]) -> Iterator[str]:
    """Those of our modules that a module imports anywhere, functions and TYPE_CHECKING included."""
    package = [*name.split("."), ""] if known[name].name == "__init__.py" else name.split(".")
    for node in ast.walk(ast.parse(known[name].read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.partition(".")[0] in ROOMS)
        elif isinstance(node, ast.ImportFrom):
            above = package[: -node.level] if node.level else []
            origin = ".".join([*above, *filter(None, [node.module])])
            if origin.partition(".")[0] in ROOMS:
                names = (f"{origin}.{alias.name}" for alias in node.names)
                yield from (name if name in known else origin for name in names)


def trespasses(root: Path) -> list[str]:
    """Imports of what the folder may not import, as `module imports module`."""
    known = modules(root)
    return [
        f"{name} imports {wanted}"
        for name in sorted(known)
        if (room := name.partition(".")[0]) != "tests"
        for wanted in imports(name, known)
        if not any(f"{wanted}.".startswith(f"{allowed}.") for allowed in (room, *MAY_IMPORT[room]))
    ]


def circle(root: Path) -> list[str]:
    """The modules of one circle of imports, its first one last again; empty when there is none."""
    known = modules(root)
    graph = {name: sorted({*imports(name, known)} - {name}) for name in known}
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name not in done:
            for wanted in graph.get(name, ()):
                if found := visit(wanted, [*path, name]):
                    return found
            done.add(name)
        return []

    return next((found for name in sorted(graph) if (found := visit(name, []))), [])


def write(root: Path, **files: str) -> None:
    """Modules of a checkout, by names with __ in place of the dots."""
    for name, text in files.items():
        file = root / f"{name.replace('__', '/')}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def test_each_folder_imports_only_what_it_may() -> None:
    assert trespasses(ROOT) == []


def test_the_description_of_a_service_knows_nothing_of_docker() -> None:
    """Only then can another backend than infra/docker make a workload of it."""
    known = modules(ROOT)
    described = [name for name in known if name == "infra.service" or name.startswith("infra.services")]
    assert [name for name in described if "pulumi_docker" in known[name].read_text()] == []
    assert [wanted for name in described for wanted in imports(name, known) if wanted.startswith("infra.docker")] == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circle(ROOT) == []


@pytest.mark.parametrize(
    "text", ["import app.profile", "from app import profile", "from app.profile import LIMITS", "def f():\n import app"]
)
def test_an_import_of_another_folder_is_found(tmp_path: Path, text: str) -> None:
    write(tmp_path, app__profile="LIMITS = 1", offline__build=text, policies__rules="from app.profile import LIMITS")
    assert [line.partition(" ")[0] for line in trespasses(tmp_path)] == ["offline.build"]


def test_a_circle_is_found(tmp_path: Path) -> None:
    write(tmp_path, app__a="from app import b", app__b="from .c import C", app__c="def f():\n import app.a")
    assert circle(tmp_path) == ["app.a", "app.b", "app.c", "app.a"]
