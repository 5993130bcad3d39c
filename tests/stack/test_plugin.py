"""The edge's plugin, compiled, in front of net/http's own reverse proxy, which is Traefik's too."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PLUGIN = Path(__file__).parents[2] / "infra/services/traefik_problems"


def test_the_plugins_own_tests_pass() -> None:
    if shutil.which("go") is None:
        pytest.skip("Go, which would compile the plugin, is not on this machine")
    files = [str(PLUGIN / name) for name in ("problems.go", "problems_test.go")]
    alone = os.environ | {"GO111MODULE": "off"}
    done = subprocess.run(["go", "test", *files], env=alone, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
