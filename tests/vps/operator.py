"""The operator, who runs Pulumi on another host of the internet and reaches the VPS with an SSH key."""

import dataclasses
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from infra.host import ssh
from infra.settings import Ssh
from tests.checkout import Copy
from tests.vps.kinds import Vps
from tests.vps.network import Namespace
from tools.commands.doctor import examine
from tools.commands.rotate import Rotation
from tools.console.steps import Report
from tools.machine.preparation import Preparation
from tools.stack import config
from tools.stack.local_stack import Stack
from tools.stack.recovery import Recovery


@dataclass(frozen=True)
class Operator:
    """The commands of `Stack`, run in the operator's network namespace."""

    at: Namespace
    prepared: Preparation
    report: Report

    def configure(self, stack: Stack) -> None:
        # With this machine's Docker: a fresh host has none, and `host` in the settings overrides its address.
        dataclasses.replace(stack, engine=self.prepared.engine).configure(self.prepared.images, self.report)

    def preview(self, stack: Stack, *arguments: str) -> str:
        with self.at.entered():
            return stack.preview(self.report, *arguments)

    def up(self, stack: Stack) -> str:
        with self.at.entered():
            return stack.up(self.report)

    def mend(self, stack: Stack) -> None:
        with self.at.entered():
            stack.mend(self.report)

    def sees_drift(self, stack: Stack) -> bool:
        with self.at.entered():
            return stack.has_drifted(self.report)

    def finds_wrong(self, stack: Stack) -> set[str]:
        """The checks of `make doctor` that find something wrong."""
        with self.at.entered():
            found = list(examine(stack.settings, lambda: stack, self.report))
        return {finding.check for finding in found if finding.is_wrong}

    def rotate(self, stack: Stack, key: str) -> str:
        """Put a new password with this key in force, and return it."""
        rotation = Rotation(key)
        with self.at.entered():
            rotation.change(stack, None, self.report)
            stack.up(self.report)
        return str(rotation.new)

    def recover(self, stack: Stack) -> list[str]:
        """What the steps of `make recover` before its `up` say, and the last one after it."""
        recovery = Recovery(stack, stack.settings)
        with self.at.entered():
            said = [step.run(self.report) for step in recovery.steps()]
            stack.up(self.report)
            return [*said, recovery.end(self.report)]

    def signs_in(self, vps: Vps, *options: str, identity: Path | None = None) -> int:
        """Log in over SSH as root, and log out. Returns the exit code of `ssh`."""
        with self.at.entered():
            done = subprocess.run([*_ssh(vps, *options, identity=identity), "true"], capture_output=True, check=False)
        return done.returncode

    def run(self, vps: Vps, command: str) -> str:
        """Run a command of a document, in which the VPS is vps.example.com. Returns what it prints.

        Raises:
            AssertionError: it fails.
        """
        script = command.replace("ssh root@vps.example.com", shlex.join(_ssh(vps)))
        with self.at.entered():
            done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def make(self, stack: Stack, command: str, folder: Path) -> None:
        """Run `make` as a document has it, in a copy of the repository in this folder, whose stack `prod` this one is.

        Raises:
            AssertionError: it fails.
        """
        copy = Copy(folder)
        platform = config.load(stack.config_file)["config"][config.PLATFORM] | {"name": stack.prefix}
        config.template_file("prod", folder).write_text(yaml.safe_dump({"config": {config.PLATFORM: platform}}))
        with self.at.entered():
            copy.run(f"make() {{ command make TOOLS='{sys.executable} -m tools' \"$@\"; }}\n{command}")

    def destroy(self, stack: Stack) -> None:
        with self.at.entered():
            stack.destroy(self.report)


def _ssh(vps: Vps, *options: str, identity: Path | None = None) -> list[str]:
    """`ssh` to the VPS as root."""
    address, key = vps.namespace.ipv4, identity or vps.identity
    known = Ssh(address=address, host_key=vps.host_key, identity_file=str(key))
    return ["ssh", *ssh.options(known), *options, f"root@{address}"]
