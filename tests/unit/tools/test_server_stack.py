"""The stack of a server is Pulumi's own: what is ours of its environment is the toolchain alone."""

import argparse
import os
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from tests.unit.tools.conftest import Program
from tools.commands import pulumi
from tools.console.steps import Report, Runner, StepFailed
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


@pytest.mark.parametrize(
    ("said", "cause", "fix"),
    [
        ("PULUMI_ACCESS_TOKEN must be set for login during non-interactive CLI sessions", "PULUMI_BACKEND_URL", ".env"),
        ("constructing secrets manager: passphrase must be set with PULUMI_CONFIG_PASSPHRASE", "is not set", ".env"),
        ("unable to read PULUMI_CONFIG_PASSPHRASE_FILE: open x", "can't be read", "Put it back"),
        ("open keeper: neither VAULT_SERVER_URL nor VAULT_ADDR environment variables are set", "VAULT_ADDR", ".env"),
        ("Code: 503. Errors: * Vault is sealed", "is sealed", "operator unseal"),
        (
            "URL: PUT x/v1/transit/decrypt/vps Code: 403. Errors: * invalid token",
            "refuses the token",
            "token lookup",
        ),
        ("URL: PUT x/v1/transit/decrypt/vps Code: 400. Errors: * too old", "is retired", "Pulumi.prod.yaml"),
        ("Put x/v1/transit/decrypt/vps: dial tcp: connect: connection refused", "does not answer", "VAULT_ADDR"),
        ("no stack named 'prod' found", "no such stack", "pulumi stack init prod"),
        (
            "configuration key 'vps:dashboardPassword' not found for stack 'prod'",
            "no secret",
            "KEY=dashboardPassword STACK=prod",
        ),
        ("the stack is currently locked by 1 lock(s)", "Another", "pulumi cancel --stack prod"),
        (
            "update failed\n  docker:index:Container (api-container):\n"
            "    error:   sdk-v2/provider2.go:572: sdk.helper_schema: container failed to be in healthy state",
            "The new api did not get healthy",
            "make logs SERVICE=api STACK=prod",
        ),
        ("something else", "something else", "resumes"),
    ],
)
def test_what_the_operator_has_not_set_is_named_with_its_fix(
    program: Program, report: Report, said: str, cause: str, fix: str
) -> None:
    binary = program("pulumi", f'echo "error: {said}" >&2; exit 255')
    with pytest.raises(StepFailed) as caught:
        PulumiStack(Toolchain(binary, {}, "3.228.0", "fake"), "prod").secret("vps:dashboardPassword", report)
    assert cause in caught.value.message
    assert fix in caught.value.fix


def test_a_shell_that_reads_the_file_of_make_pulumi_runs_pulumi_as_make_does(
    tmp_path: Path, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    binary = program("pulumi", 'echo "$PULUMI_HOME"')
    toolchain = Toolchain(binary, {"PULUMI_HOME": "/with a space"}, "3.228.0", "fake")
    monkeypatch.setattr("tools.machine.pulumi_toolchain.ensure", lambda report: toolchain)
    monkeypatch.setattr(pulumi, "HOME", tmp_path)
    pulumi.run(argparse.Namespace(), Runner(Console(), tmp_path / "logs"))
    script = f". {tmp_path}/pulumi.env && pulumi"
    assert subprocess.check_output(["sh", "-c", script], text=True) == "/with a space\n"
