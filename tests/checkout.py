"""A copy of this repository, in which tests follow the documents: diffs, `pulumi`, git and make."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tools.paths import ROOT
from tools.stack.config import PLATFORM

_SECRET = ("passphrase", "vault-token", ".env")
_NOT_COPIED = (".git", ".venv", ".vps", "*_cache", "__pycache__", "node_modules", "state", *_SECRET)
_PERSON = {f"GIT_{who}_{what}": "operator" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
_VARIABLES = "set -a; . ./.env; . .vps/pulumi.env; set +a"
# The virtual environment of `make` is this one.
_MAKE = f"make() {{ command make --no-print-directory TOOLS='{sys.executable} -m tools' \"$@\"; }}"
# An operator would close the editor and confirm the question.
_ANSWERS = {"GIT_EDITOR": "true", "PULUMI_SKIP_CONFIRMATIONS": "true", "PULUMI_SKIP_UPDATE_CHECK": "true"}


class Copy:
    """A copy of the repository with its virtual environment, in a Git repository of its own. Nothing is committed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._environment = {**os.environ, **_PERSON, **_ANSWERS}
        shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*_NOT_COPIED), symlinks=True)
        (folder / ".venv").symlink_to(sys.prefix)
        self.run("git init --quiet")

    def attempt(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a shell script in the copy. It ends at the first of its commands that fails."""
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def run(self, script: str) -> str:
        """Run a shell script in the copy and return what it prints.

        Raises:
            AssertionError: one of its commands failed.
        """
        done = self.attempt(script)
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout

    def apply(self, diff: str) -> None:
        """Change the copy as a documented diff says."""
        (self.folder / ".git" / "change.diff").write_text(diff)
        self.run("git apply --verbose .git/change.diff")


class Checkout(Copy):
    """The repository with the stack `prod` on it, whose `vps:platform` is `platform`.

    The script `set_up` makes the stack: else state and passphrase are where `.env.example` has them.
    """

    def __init__(self, folder: Path, platform: Mapping[str, Any], set_up: str | None = None) -> None:
        super().__init__(folder)
        (folder / "Pulumi.prod.yaml").write_text(yaml.safe_dump({"config": {PLATFORM: dict(platform)}}))
        (documented,) = commands("docs/DEPLOYMENT.md", "State, passphrase, stack")
        self.run(set_up or documented)
        self.run("openssl rand -base64 18 | pulumi config set --secret --stack prod vps:dashboardPassword")
        self.commit("As it was set up")

    def attempt(self, script: str) -> subprocess.CompletedProcess[str]:
        """Like a `Copy`'s, with `make`, and with the variables that docs/DEPLOYMENT.md sets for it and for `pulumi`."""
        return super().attempt(f"{_MAKE}\n[ ! -e .vps/pulumi.env ] || {{ {_VARIABLES}; }}\n{script}")

    def commit(self, message: str) -> None:
        self.run(f"git add --all && git commit --quiet --message '{message}'")


def commands(document: str, section: str, language: str = "") -> list[str]:
    """Return the code blocks with this language in a section of a document, which is a path in the repository."""
    text = (ROOT / document).read_text()
    _, _, after = text.partition(f"\n## {section}\n")
    assert after, f"{document} has no section {section}"
    blocks = (block.partition("\n") for block in after.partition("\n## ")[0].split("```")[1::2])
    return [block for name, _, block in blocks if name == language]
