"""SSH connections to the VPS, for pulumi-command and for the `ssh` of Docker's client. The host key is pinned."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import pulumi
import pulumi_command as command

from infra.config import SettingsError
from infra.settings import Ssh

_SCRIPTS = Path(__file__).parent / "scripts"
_SECONDS_TO_DIAL, _SECONDS_TO_CONNECT = 10, 30
"""pulumi-command dials ten times, and `ssh` once: a server whose processors are all busy takes its time."""
OTHER_KEY = "Host key verification failed"
"""What `ssh` says of a host with another key than the pinned one."""


def connection(ssh: Ssh) -> command.remote.ConnectionArgs:
    """The connection for pulumi-command. The private key is a secret in the state.

    Raises:
        SettingsError: the private key can't be read.
    """
    return command.remote.ConnectionArgs(
        host=ssh.address,
        port=ssh.port,
        user=ssh.user,
        host_key=ssh.host_key,
        private_key=pulumi.Output.secret(_private_key(ssh)),
        per_dial_timeout=_SECONDS_TO_DIAL,
    )


def options(ssh: Ssh) -> list[str]:
    """Arguments of `ssh`: only this private key and this host key, no prompts, no known_hosts file."""
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


def arguments(ssh: Ssh, *argv: str) -> list[str]:
    """A local program with its arguments, which runs `argv` on the VPS as root, over a new connection."""
    destination = ["-p", str(ssh.port), f"{ssh.user}@{ssh.address}"]
    return ["ssh", *options(ssh), *destination, shlex.join([*_root(ssh), *argv])]


def login(ssh: Ssh, *argv: str) -> str:
    """`arguments` as a local shell command."""
    return shlex.join(arguments(ssh, *argv))


def script(
    name: str, ssh: Ssh, *arguments: str, undo: bool = True, opts: pulumi.ResourceOptions
) -> command.remote.Command:
    """Run `scripts/<name>.sh` on the VPS, and again when the script or an argument changes.

    The script is sent through standard input. Its arguments are visible in the state, so they must not be secrets. With
    `undo`, its `undo` function runs on destroy.
    """
    return command.remote.Command(
        f"host-{name}",
        connection=connection(ssh),
        create=shlex.join([*_root(ssh), "sh", "-s", "--", "apply", *arguments]),
        delete=shlex.join([*_root(ssh), "sh", "-s", "--", "undo"]) if undo else None,
        stdin=script_text(name),
        # sshd refuses environment variables (AcceptEnv).
        add_previous_output_in_env=False,
        opts=opts,
    )


def script_text(name: str) -> str:
    """The text of a script with `lib.sh` before it. The shell reads it from its input; its programs get /dev/null."""
    parts = [(_SCRIPTS / f"{part}.sh").read_text() for part in ("lib", name)]
    return "\n".join([*parts, '"$@" </dev/null\n'])


def _root(ssh: Ssh) -> Sequence[str]:
    return () if ssh.user == "root" else ("sudo", "-n")


def _private_key(ssh: Ssh) -> str:
    try:
        return _identity(ssh).read_text()
    except OSError as error:
        raise SettingsError(
            f"host.ssh.identity_file can't be read: {error}. Set it to a private key that {ssh.address} accepts."
        ) from None


def _identity(ssh: Ssh) -> Path:
    return Path(ssh.identity_file).expanduser()
