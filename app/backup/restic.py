"""restic: its commands on the stack's repository."""

import json
import os
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.backup.settings import BackupSettings

NO_REPOSITORY = 10
UNREADABLE = 3
_WRONG_PASSWORD = 12
"""The exit codes of restic: there is no repository, some files could not be read, and the password is another one."""
COMPLETE, UNFINISHED = "complete", "unfinished"
"""The tags of a backup whose files fit together, and of another one."""
_SHOWN = 2000
"""Characters of restic's messages that an error repeats."""
_KEYS = {"AWS_ACCESS_KEY_ID": "backup_s3_id", "AWS_SECRET_ACCESS_KEY": "backup_s3_key"}


class BackupFailed(Exception):
    """A backup, a restore or a drill failed. The message says why."""


class Restic:
    """Runs restic. `folder` is for its cache, and for copies of the SSH key and the password that only we can read.

    When the password is changed, the repository gets the new one with the copy of the former one.
    """

    def __init__(self, settings: BackupSettings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder
        self._password, self._former = settings.secrets / "backup_password", folder / "password"
        self._options: tuple[str, ...] = ()
        if settings.sftp_host:
            self._options = ("-o", f"sftp.args={_ssh(settings, folder)}")

    def attempt(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command. One that needs the repository for itself waits ten minutes for another."""
        password = self._password.read_text()
        done = self._attempt(self._password, *arguments)
        if done.returncode == _WRONG_PASSWORD and self._former.exists():
            self._attempt(self._former, "key", "passwd", "--new-password-file", str(self._password))
            done = self._attempt(self._password, *arguments)
        if done.returncode != _WRONG_PASSWORD:
            _copy(password, self._former)
        return done

    def run(self, *arguments: str) -> str:
        """What a command prints.

        Raises:
            BackupFailed: it fails; the message is restic's own.
        """
        done = self.attempt(*arguments)
        if done.returncode:
            raise failed(arguments[0], done)
        return done.stdout

    def snapshots(self) -> list[dict[str, Any]]:
        """The complete backups of the stack, from the oldest on."""
        said = self.run("snapshots", "--json", "--host", self._settings.stack, "--tag", COMPLETE)
        return sorted(json.loads(said) or [], key=lambda snapshot: snapshot["time"])

    def ensure_repository(self) -> None:
        """Make the repository if there is none at its place."""
        done = self.attempt("cat", "config")
        if done.returncode == NO_REPOSITORY:
            self.run("init")
        elif done.returncode:
            raise failed("cat config", done)

    def _attempt(self, password: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        argv = ["restic", *self._options, "--retry-lock", "10m", *arguments]
        environment = {**self._environment(), "RESTIC_PASSWORD_FILE": str(password)}
        return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)

    def _environment(self) -> Mapping[str, str]:
        secrets = self._settings.secrets
        keys = {name: (secrets / file).read_text() for name, file in _KEYS.items() if (secrets / file).exists()}
        region = {"AWS_DEFAULT_REGION": self._settings.region} if self._settings.region else {}
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self._folder),
            "TMPDIR": str(self._folder),
            "RESTIC_REPOSITORY": self._settings.repository,
            "RESTIC_CACHE_DIR": str(self._folder / "cache"),
            "GOMEMLIMIT": "150MiB",
            **keys,
            **region,
        }


def failed(command: str, done: subprocess.CompletedProcess[str]) -> BackupFailed:
    """The error of a command that failed."""
    return BackupFailed(f"restic {command} failed ({done.returncode}): {done.stderr.strip()[-_SHOWN:]}")


def _copy(text: str, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    file.write_text(text)


def _ssh(settings: BackupSettings, folder: Path) -> str:
    """The arguments of ssh: only this private key and this host key. ssh refuses a key that others can read, and one
    whose last line has no end, which is lost where secrets are typed or piped.

    The host key is in a file, since for a command that prints it ssh would change its groups, which we may not.
    """
    key = folder / "sftp-key"
    _copy((settings.secrets / "backup_sftp_key").read_text().rstrip("\n") + "\n", key)
    known = folder / "sftp-hosts"
    known.write_text(f"* {settings.sftp_host}\n")
    options = {
        "IdentitiesOnly": "yes",
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": str(known),
        "GlobalKnownHostsFile": "none",
        "ServerAliveInterval": "15",
    }
    return shlex.join(["-i", str(key), *(part for key_, it in options.items() for part in ("-o", f"{key_}={it}"))])
