"""What the tests need of a VPS, of whatever kind."""

from pathlib import Path
from typing import Protocol

from tests.vps.network import Namespace
from tools.machine.docker_engine import DockerEngine


class Vps(Protocol):
    """A fresh server with sshd on the simulated internet, where it has the addresses of `namespace`.

    Its root accepts the key in `identity`.
    """

    @property
    def namespace(self) -> Namespace: ...

    @property
    def identity(self) -> Path: ...

    @property
    def public_key(self) -> str: ...

    @property
    def host_key(self) -> str:
        """The public key of sshd, as `type base64`."""

    @property
    def engine(self) -> DockerEngine:
        """Its Docker, reached from this machine."""

    def shell(self, script: str, check: bool = True) -> str:
        """Run a shell script inside as root, not over the internet. Returns its stdout.

        Raises:
            AssertionError: it fails and `check` is true.
        """

    def start_rsyslogd(self) -> None:
        """Start rsyslogd where nothing else does."""

    def cut_connections(self) -> None:
        """Cut the SSH connections from the internet."""

    def reboot(self) -> None:
        """Restart, and wait until sshd answers."""

    def replace(self) -> None:
        """A fresh server at the same address, with a host key of its own, in place of this one, whose disk is lost."""
