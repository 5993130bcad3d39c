"""The VPS over SSH, always with its host key pinned: for pulumi-command, and for the local `ssh` that Docker uses."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import pulumi
import pulumi_command as command

from infra.config import SettingsError
from infra.settings import Ssh

_SCRIPTS = Path(__file__).parent / "scripts"
_SECONDS_TO_CONNECT = 10


def connection(ssh: Ssh) -> command.remote.ConnectionArgs:
    """How pulumi-command reaches the VPS. The private key is a secret in the state."""
    return command.remote.ConnectionArgs(
        host=ssh.address,
        port=ssh.port,
        user=ssh.user,
        host_key=ssh.host_key,
        private_key=pulumi.Output.secret(_private_key(ssh)),
        per_dial_timeout=_SECONDS_TO_CONNECT,
    )


def options(ssh: Ssh) -> list[str]:
    """Arguments of the program `ssh`: this key, no other host key, no question, no other file."""
    return [
        *("-i", str(_identity(ssh))),
        *("-o", "IdentitiesOnly=yes"),
        *("-o", "BatchMode=yes"),
        *("-o", f"ConnectTimeout={_SECONDS_TO_CONNECT}"),
        *("-o", "ServerAliveInterval=15"),
        *("-o", "StrictHostKeyChecking=yes"),
        *("-o", "UserKnownHostsFile=none"),
        *("-o", "GlobalKnownHostsFile=none"),
        *("-o", f"KnownHostsCommand=/bin/echo %H {ssh.host_key}"),
    ]


def login(ssh: Ssh, *argv: str) -> str:
    """A local shell command that runs `argv` on the VPS as root, over a connection of its own."""
    destination = ["-p", str(ssh.port), f"{ssh.user}@{ssh.address}"]
    return shlex.join(["ssh", *options(ssh), *destination, shlex.join([*_root(ssh), *argv])])


def script(
    name: str, ssh: Ssh, *arguments: str, undo: bool = True, opts: pulumi.ResourceOptions
) -> command.remote.Command:
    """Run `scripts/<name>.sh` on the VPS: at first, and again when it or an argument changes.

    It goes through standard input, and its arguments are no secrets. Where `undo` is true, it takes back at destroy
    what it did.
    """
    return command.remote.Command(
        f"host-{name}",
        connection=connection(ssh),
        create=shlex.join([*_root(ssh), "sh", "-s", "--", "apply", *arguments]),
        delete=shlex.join([*_root(ssh), "sh", "-s", "--", "undo"]) if undo else None,
        stdin=script_text(name),
        # sshd accepts no variables from us.
        add_previous_output_in_env=False,
        opts=opts,
    )


def script_text(name: str) -> str:
    """A script as it is sent. The shell reads it from its input, and no program in it may."""
    parts = [(_SCRIPTS / f"{part}.sh").read_text() for part in ("lib", name)]
    return "\n".join([*parts, '"$@" </dev/null\n'])


def _root(ssh: Ssh) -> Sequence[str]:
    return () if ssh.user == "root" else ("sudo", "-n")


def _private_key(ssh: Ssh) -> str:
    try:
        return _identity(ssh).read_text()
    except OSError as error:
        raise SettingsError(
            f"host.ssh.identity_file can't be read: {error}. Name there the private key that {ssh.address} lets in."
        ) from None


def _identity(ssh: Ssh) -> Path:
    return Path(ssh.identity_file).expanduser()
