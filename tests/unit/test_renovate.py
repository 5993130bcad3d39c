"""renovate.json finds the versions that it is to keep moving. Renovate itself is not run here."""

import json
import re
import tomllib

import pytest

from tools.commands.generate import lock_files
from tools.paths import ROOT

CONFIG = json.loads((ROOT / "renovate.json").read_text())
LOCKS = {file.relative_to(ROOT).as_posix(): command for file, command in lock_files().items()}


def matches(patterns: list[str], path: str) -> bool:
    """Whether a pattern matches a path of the repository. Patterns are regular expressions between slashes."""
    return any(re.search(pattern.strip("/"), path) for pattern in patterns)


def test_each_image_of_the_versions_file_is_found_with_its_version() -> None:
    (manager,) = CONFIG["customManagers"]
    (expression,) = manager["matchStrings"]
    found = re.findall(expression.replace("(?<", "(?P<"), (ROOT / "versions.toml").read_text())
    programs = tomllib.loads((ROOT / "versions.toml").read_text())
    assert matches(manager["managerFilePatterns"], "versions.toml")
    assert [":".join(pair) for pair in found] == [program["image"] for program in programs.values()]


@pytest.mark.parametrize("path", LOCKS)
def test_a_lock_file_can_be_written_again_by_the_command_in_its_header(path: str) -> None:
    """Renovate takes no short option, and a value only behind an equals sign."""
    program, *arguments = LOCKS[path]
    assert matches(CONFIG["pip-compile"]["managerFilePatterns"], path)
    assert (program, arguments[:2], arguments[-1]) == ("uv", ["pip", "compile"], "requirements.in")
    assert all(re.fullmatch(r"--[a-z-]+(=\S+)?", argument) for argument in arguments[2:-1])
    assert "--output-file=requirements.txt" in arguments


def test_every_group_names_what_is_in_use() -> None:
    used = "\n".join(
        path.read_text()
        for pattern in (
            *("versions.toml", "offline/**/go.mod", "requirements.txt"),
            *("images/*/requirements.txt", "images/*/package.json"),
        )
        for path in ROOT.glob(pattern)
    )
    for rule in CONFIG["packageRules"]:
        for name in rule["matchPackageNames"]:
            assert name.partition("{")[0].rstrip("*/") in used, name
