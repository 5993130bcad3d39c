"""Pulumi's language host runs Python programs."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tools.console.steps import Report
from tools.machine import pulumi_toolchain


def test_a_program_whose_stack_has_no_config_runs(tmp_path: Path) -> None:
    """The SDK takes an empty object for the config, and no null."""
    found = pulumi_toolchain.ensure(Report(tmp_path / "log"))
    project = {"name": "bare", "runtime": {"name": "python", "options": {"virtualenv": sys.prefix}}}
    (tmp_path / "Pulumi.yaml").write_text(json.dumps(project))
    program = "import pulumi\npulumi.export('config', pulumi.runtime.config.get_config_env())\n"
    (tmp_path / "__main__.py").write_text(program)
    (tmp_path / "state").mkdir()
    own = {"PULUMI_BACKEND_URL": f"file://{tmp_path}/state", "PULUMI_CONFIG_PASSPHRASE": "x"}
    environment = {**os.environ, **found.environment, **own}

    def run(*arguments: str) -> str:
        command = [str(found.pulumi), *arguments, "--stack", "bare", "--non-interactive"]
        done = subprocess.run(command, check=False, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("stack", "init")
    run("up", "--yes", "--skip-preview")
    assert json.loads(run("stack", "output", "--json")) == {"config": {}}
