"""Backups of all data, to a repository of restic that may be elsewhere."""

from app.backup.settings import BackupOptions, BackupSettings
from infra.backups import Backup
from infra.service import Context, Health, Mount, Privileges, Service, ServiceArgs, Target, Volume, of_prefix
from infra.services.healthcheck import HEALTHCHECK
from infra.settings import PlatformSettings

REPOSITORY = Volume("backup-repository", copying=None)
REPOSITORY_PATH = "/repository"
_PORT = 9500
CAPABILITIES = ("DAC_OVERRIDE", "CHOWN", "FOWNER")
"""To read the files of all services, and to give restored files their owners and modes. Not DAC_READ_SEARCH: whoever
has that can open any file of the host by its number."""


SECRETS_PREFIX = "backup_"
"""What the names of this service's secrets begin with."""


def describe(context: Context) -> ServiceArgs:
    """It reaches its repository, and Loki, which it asks to write what it holds. It can't write to the volumes."""
    settings = context.settings
    backup = settings.backup or Backup()
    volumes = {volume.name: volume.copying for volume in context.orchestrator.data() if volume.copying}
    own = backup_settings(settings).model_copy(update={"volumes": volumes})
    monitored = settings.runs("prometheus") or settings.runs("loki")
    return ServiceArgs(
        image="backup",
        entrypoint=["python", "-m", "app.backup"],
        health=Health([*HEALTHCHECK, f"http://127.0.0.1:{_PORT}/metrics"], interval_seconds=15),
        memory_mb=256,
        cpus=0.5,
        user="0:0",
        root_reason="each service has files that only its own user may read",
        privileges=Privileges(CAPABILITIES, "it reads the files of all services, and a drill restores their owners"),
        networks=["outbound", *(["monitoring"] if monitored else [])],
        environment=own.variables(),
        mounts=[
            *(Mount(Volume(name, copying=copying), f"{own.data}/{name}", True) for name, copying in volumes.items()),
            Mount(Volume("backup-scratch", data=False), str(own.scratch)),
            *([Mount(REPOSITORY, REPOSITORY_PATH)] if is_on_the_host(backup) else []),
        ],
        tmp_mb=16,
    )


BACKUP = Service(
    "backup",
    describe,
    secrets=lambda settings: of_prefix(SECRETS_PREFIX, settings),
    target=Target(f"backup:{_PORT}"),
)


def is_on_the_host(backup: Backup) -> bool:
    """Whether the repository is a volume of the host's Docker."""
    return not (backup.s3 or backup.sftp)


def backup_settings(settings: PlatformSettings) -> BackupSettings:
    """What the service reads at its start, but for the volumes: they are known at deployment."""
    backup = settings.backup or Backup()
    return BackupSettings(
        **{field: getattr(backup, field) for field in BackupOptions.model_fields},
        stack=settings.name,
        repository=_repository(backup),
        region=backup.s3.region if backup.s3 else None,
        sftp_host=backup.sftp.host_key if backup.sftp else None,
        port=_PORT,
    )


def _repository(backup: Backup) -> str:
    """The repository as restic names it."""
    if backup.s3:
        return f"s3:{backup.s3.url}"
    if sftp := backup.sftp:
        return f"sftp://{sftp.user}@{sftp.address}:{sftp.port}/{sftp.path}"
    return REPOSITORY_PATH
