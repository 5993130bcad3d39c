"""The settings of the backups. The only place in this process that reads the environment."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints

from app.process.settings import FROM_JSON, ProcessSettings, Settings

TimeOfDay = Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]


class Copying(Settings):
    """How a volume is copied while its service uses it. Paths and patterns (as of `glob`) are relative to the volume.

    A copy counts only if the files of `steady` were the same before and after it: a program that only appends to its
    other files, and adds no file without changing one of these, then finds in the copy what a power cut would leave.
    """

    flush: str | None = None
    """a URL that is posted to before the copy, so that the service writes what it holds in memory."""
    steady: tuple[str, ...] = ()
    """patterns of files that must not change during the copy."""
    databases: tuple[str, ...] = ()
    """patterns of SQLite databases, which SQLite itself copies."""


class BackupOptions(Settings):
    """When to back up, and what to keep: keys of `backup` in the stack's config."""

    at: TimeOfDay = "03:30"
    """Time of day (UTC) of the backup, as in 03:30. One that is overdue by a day is made at once."""
    keep_daily: Annotated[int, Field(ge=1, le=366)] = 7
    """Days of which the last backup is kept."""
    keep_weekly: Annotated[int, Field(ge=0, le=520)] = 4
    """Weeks of which the last backup is kept."""
    keep_monthly: Annotated[int, Field(ge=0, le=120)] = 6
    """Months of which the last backup is kept."""
    drill_days: Annotated[int, Field(ge=1, le=90)] = 7
    """Days between two drills, which restore the newest backup into scratch files and compare them."""


class BackupSettings(BackupOptions, ProcessSettings):
    """Each field is the variable BACKUP_<FIELD>."""

    prefix = "BACKUP_"

    stack: str
    """the name under which the backups stand in the repository."""
    repository: str
    """the repository, as restic names it."""
    region: str | None = None
    """the region of an S3 repository."""
    sftp_host: str | None = None
    """the public key of the host of an SFTP repository."""
    volumes: Annotated[dict[str, Copying], FROM_JSON] = Field(default_factory=dict)
    """how each volume is copied, by its folder in `data`."""
    data: Path = Path("/data")
    """the folder in which the volumes are mounted."""
    scratch: Path = Path("/scratch")
    """the folder for copies of databases, drills, restic's cache, and what is known of the last runs."""
    secrets: Path = Path("/run/secrets")
    """the folder with the password of the repository, and the keys of its place."""
    port: int = Field(9500, ge=1, le=65535)
    """the port on which to serve the metrics."""
