"""The operator, who runs Pulumi on another host of the internet and reaches the VPS with an SSH key."""

import dataclasses
import subprocess
from dataclasses import dataclass
from pathlib import Path

from infra.host import ssh
from infra.settings import Ssh
from tests.vps.kinds import Vps
from tests.vps.network import Namespace
from tools.commands.doctor import examine
from tools.commands.rotate import Rotation
from tools.console.steps import Report
from tools.machine.preparation import Preparation
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
        address, key = vps.namespace.ipv4, identity or vps.identity
        argv = ssh.options(Ssh(address=address, host_key=vps.host_key, identity_file=str(key)))
        with self.at.entered():
            done = subprocess.run(["ssh", *argv, *options, f"root@{address}", "true"], capture_output=True, check=False)
        return done.returncode

    def destroy(self, stack: Stack) -> None:
        with self.at.entered():
            stack.destroy(self.report)
