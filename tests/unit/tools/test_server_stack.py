"""The stack of a server is Pulumi's own: what is ours of its environment is the toolchain alone."""

import os
from pathlib import Path

import pytest

from tests.unit.tools.conftest import Program
from tools.console.steps import Report
from tools.machine.pulumi_toolchain import Toolchain
from tools.stack.pulumi_stack import PulumiStack

PULUMI = """
echo "$@" >> {folder}/calls
env | grep ^PULUMI_ | sort > {folder}/environment
"""


def test_the_operators_state_passphrase_and_logins_are_used(
    tmp_path: Path, program: Program, report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/operator")
    for name in [name for name in os.environ if name.startswith("PULUMI_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PULUMI_BACKEND_URL", "s3://bucket/vps")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "the operator's")
    binary = program("pulumi", PULUMI.format(folder=tmp_path))
    stack = PulumiStack(Toolchain(binary, {"PULUMI_HOME": "/ours"}, "3.228.0", "fake"), "prod")
    stack.set_secret("vps:dashboardPassword", "another", report)
    stack.up(report)
    secret, up = (tmp_path / "calls").read_text().splitlines()
    assert secret == "config set --secret vps:dashboardPassword --stack prod --non-interactive --color never"
    assert up.startswith("up --yes --policy-pack /")
    assert (tmp_path / "environment").read_text().splitlines() == [
        "PULUMI_BACKEND_URL=s3://bucket/vps",
        "PULUMI_CONFIG_PASSPHRASE=the operator's",
        "PULUMI_CREDENTIALS_PATH=/home/operator/.pulumi",
        "PULUMI_HOME=/ours",
    ]
