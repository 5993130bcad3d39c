"""Every package that the code imports is named in a requirements.in: none is there only because another needs it."""

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import distributions
from pathlib import Path

import pytest

from tools.paths import ROOT

ROOMS = ("app", "docs", "infra", "monitoring", "offline", "policies", "stacks", "tests", "tools")
IMAGES = (ROOT / "images" / "app-base", ROOT / "images" / "app")
"""What app and executor share, and what the app has beside that."""
NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*", re.MULTILINE)
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;]+)", re.MULTILINE)


def normalized(name: str) -> str:
    """Normalize a package's name as PyPA's specification says."""
    return re.sub(r"[-_.]+", "-", name).lower()


def named(folder: Path) -> set[str]:
    """The packages that a folder's requirements.in names."""
    return {normalized(name) for name in NAME.findall((folder / "requirements.in").read_text())}


def locked(folder: Path) -> dict[str, str]:
    """The version of each package that a folder's requirements.txt locks."""
    return {normalized(name): version for name, version in PIN.findall((folder / "requirements.txt").read_text())}


@cache
def modules() -> dict[str, str]:
    """The package that each installed module comes from, by the module's name."""
    found = {}
    for distribution in distributions():
        owner = normalized(distribution.metadata["Name"])
        # The text of the list itself: objects for the paths in it take 3 s.
        for line in (distribution.read_text("RECORD") or "").splitlines():
            path = line.rsplit(",", 2)[0]
            if path.endswith((".py", ".so")):
                module = path.removesuffix("/__init__.py").replace("/", ".")
                found[module.partition(".py")[0].partition(".cpython")[0]] = owner
    return found


def imported(room: str) -> Iterator[str]:
    """What the modules in a folder import anywhere, but for the standard library and our own modules."""
    ours = {folder.name for folder in ROOT.iterdir()}
    for file in (ROOT / room).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            for name in names:
                if (top := name.partition(".")[0]) not in sys.stdlib_module_names and top not in ours:
                    yield name


def package(name: str, known: Mapping[str, str]) -> str:
    """The package of an imported name: that of the longest part of it which is a module."""
    parts = name.split(".")
    prefixes = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((known[prefix] for prefix in prefixes if prefix in known), name)


@pytest.mark.parametrize(
    ("rooms", "folders"), [(ROOMS, [ROOT]), (("app",), IMAGES)], ids=["in the checkout", "in the image of the app"]
)
def test_each_package_that_is_imported_is_named(rooms: Iterable[str], folders: Iterable[Path]) -> None:
    known = modules()
    packages = {package(name, known) for room in rooms for name in imported(room)}
    assert packages - {name for folder in folders for name in named(folder)} == set()


@pytest.mark.parametrize("image", IMAGES, ids=lambda folder: folder.name)
def test_an_image_has_the_versions_of_the_checkout(image: Path) -> None:
    checkout = locked(ROOT)
    assert {name: version for name, version in locked(image).items() if checkout[name] != version} == {}


@pytest.mark.parametrize("folder", [ROOT, *IMAGES], ids=lambda folder: folder.name)
def test_each_named_package_is_locked(folder: Path) -> None:
    assert named(folder) - set(locked(folder)) == set()
