"""GitHub's workflows, which can't run here: actionlint checks them, and actions are pinned."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from offline.gomodules import BuildError
from offline.programs import ACTIONLINT
from tools.build.images import compiled
from tools.console.steps import Report
from tools.paths import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
USES = re.compile(r"^\s*(?:- )?uses: *(\S+)", re.MULTILINE)
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")


@pytest.fixture(scope="module")
def actionlint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The actionlint on PATH, or one compiled from Go modules (15 s, once for each machine)."""
    if found := shutil.which("actionlint"):
        return Path(found)
    report = Report(tmp_path_factory.mktemp("actionlint") / "build.log")
    if not compiled().has(ACTIONLINT):
        try:
            compiled().check(ACTIONLINT, report.log)
        except BuildError as error:
            pytest.skip(f"workflows can't be linted here: {error}")
    return compiled().ensure(ACTIONLINT, report.log, report.say) / "actionlint"


def lint(actionlint: Path, *files: Path) -> tuple[int, str]:
    """Return actionlint's exit code and findings. It runs shellcheck on the workflows' shell scripts."""
    done = subprocess.run(
        [actionlint, "-no-color", "-oneline", *files], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_actionlint_finds_nothing(actionlint: Path) -> None:
    assert WORKFLOWS
    assert lint(actionlint, *WORKFLOWS) == (0, "")


@pytest.mark.parametrize(
    ("right", "wrong", "complaint"),
    [
        ("runs-on:", "runs-at:", "runs-at"),
        ("${{ vars.PULUMI_BACKEND_URL }}", "${{ nothing.PULUMI_BACKEND_URL }}", "undefined variable"),
        ("run: pulumi install", "run: cd $HOME/$x && pulumi install", "SC2086"),
    ],
    ids=["key", "expression", "shell"],
)
def test_actionlint_finds_a_broken_workflow(
    actionlint: Path, tmp_path: Path, right: str, wrong: str, complaint: str
) -> None:
    text = next(file for file in WORKFLOWS if file.stem == "deploy").read_text()
    assert right in text
    broken = tmp_path / "broken.yml"
    broken.write_text(text.replace(right, wrong))
    code, said = lint(actionlint, broken)
    assert code == 1
    assert complaint in said


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda file: file.stem)
def test_every_action_is_pinned_by_its_commit(workflow: Path) -> None:
    used = USES.findall(workflow.read_text())
    assert used
    assert [action for action in used if not PINNED.fullmatch(action)] == []
