"""The files that GitHub, pre-commit and editors read: what they name exists here."""

import json
import re
from typing import Any

import pytest
import yaml

from tools.paths import ROOT

FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml"))


def test_every_path_with_an_owner_exists() -> None:
    lines = (ROOT / ".github" / "CODEOWNERS").read_text().splitlines()
    paths = [line.split()[0] for line in lines if line.startswith("/")]
    assert paths
    assert [path for path in paths if not (ROOT / path.lstrip("/")).exists()] == []


def test_every_hook_runs_a_program_that_is_locked() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks: dict[str, str] = {hook["id"]: hook["entry"] for repo in config["repos"] for hook in repo["hooks"]}
    assert {"ruff-check", "ruff-format", "mypy", "codespell", "shellcheck", "actionlint"} <= hooks.keys()
    locked = set(re.findall(r"^([\w.-]+)==", (ROOT / "requirements.txt").read_text(), re.MULTILINE))
    ours = {entry.split()[0].removeprefix(".venv/bin/") for entry in hooks.values() if entry.startswith(".venv/bin/")}
    assert ours - {"python"} <= locked
    assert {entry.split()[0] for entry in hooks.values() if not entry.startswith(".venv/bin/")} == {"shellcheck"}


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.stem)
def test_an_issue_form_has_a_name_and_fields_that_can_be_told_apart(form: Any) -> None:
    content = yaml.safe_load(form.read_text())
    assert content.keys() >= {"name", "description", "body"}
    fields = [field for field in content["body"] if field["type"] != "markdown"]
    assert (
        len({field["id"] for field in fields}) == len({field["attributes"]["label"] for field in fields}) == len(fields)
    )


def test_the_devcontainer_makes_the_environment_with_a_target_of_the_makefile() -> None:
    text = (ROOT / ".devcontainer" / "devcontainer.json").read_text()
    command = json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))["postCreateCommand"]
    assert re.search(rf"^{command.removeprefix('make ')}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
