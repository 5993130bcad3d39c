"""The Docker of a VPS as a socket of this machine. The SDK's own SSH transport does not pin the host key."""

import contextlib
import socketserver
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from infra.host import ssh
from infra.settings import Host
from tools.console.steps import Report

_DIAL = ("docker", "system", "dial-stdio")


class _Sockets(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """A server with a thread for each connection."""

    daemon_threads = True


@contextlib.contextmanager
def engine(host: Host, report: Report, *, as_root: bool = False) -> Iterator[str]:
    """A URL at which the host's Docker answers while the block runs.

    Each connection is an SSH connection of its own, as the deploy user, for whom sshd allows this command only; or as
    root, on a host that has no such user yet.
    """
    argv = ssh.arguments(host.ssh, *_DIAL) if as_root else command(host)

    class Connection(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with report.log.open("a") as log:
                subprocess.run(argv, stdin=self.request, stdout=self.request, stderr=log, check=False)

    with tempfile.TemporaryDirectory(prefix="vps-") as folder:
        place = Path(folder) / "docker.sock"
        with _Sockets(str(place), Connection) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            try:
                yield f"unix://{place}"
            finally:
                server.shutdown()


def command(host: Host) -> Sequence[str]:
    """The command that passes its standard input and output on to Docker."""
    destination = ["-p", str(host.ssh.port), f"{host.deploy_user}@{host.ssh.address}"]
    return ["ssh", "-T", *ssh.options(host.ssh), *destination, " ".join(_DIAL)]
