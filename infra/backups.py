"""Settings of backups. `docs/SETTINGS.md` lists all keys."""

from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from app.backup.settings import BackupOptions
from app.process.settings import Settings
from infra.cluster import HostName

Port = Annotated[int, Field(ge=1, le=65535)]
UserName = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")]
HostKey = Annotated[str, StringConstraints(pattern=r"^(ssh|ecdsa)-[a-z0-9-]+ [A-Za-z0-9+/]+=*$")]


class S3(Settings):
    """A bucket. Its keys are the secrets vps:backupS3Id and vps:backupS3Key."""

    url: Annotated[str, StringConstraints(pattern=r"^https?://[^/@?#\s]+/[^@?#\s]+$")]
    """URL of the server, with the bucket and a folder in it, as in https://s3.example.com/bucket/prod."""
    region: str | None = None
    """Region of the bucket, where its server asks for one."""


class Sftp(Settings):
    """A folder of another host. Its private key is the secret vps:backupSftpKey."""

    address: HostName
    """IPv4 address or name of the host."""
    port: Port = 22
    """Port of its sshd."""
    user: UserName
    """User on the host."""
    host_key: HostKey
    """Public key of the host, as in `ssh-ed25519 AAAA...`."""
    path: Annotated[str, StringConstraints(pattern=r"^/?[A-Za-z0-9._/-]+$")]
    """Folder on the host; without a slash at its beginning, below the user's home."""


class Backup(BackupOptions):
    """Encrypted backups of all data by restic. The repository's password is the secret vps:backupPassword."""

    s3: S3 | None = None
    """A bucket for the repository. With neither `s3` nor `sftp` it is a volume of the host's Docker, which is lost
    with the host."""
    sftp: Sftp | None = None
    """A folder of another host for the repository."""

    @model_validator(mode="after")
    def _one_place(self) -> "Backup":
        if self.s3 and self.sftp:
            raise ValueError("s3 and sftp are both set: the repository is at one place")
        return self
