"""When a backup or a drill is due, and what is kept of the last ones."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.backup.__main__ import Backups, last_time
from app.backup.restic import Restic
from app.backup.settings import BackupSettings

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "last"),
    [("03:30", "2026-11-30T03:30"), ("12:00", "2026-11-30T12:00"), ("12:01", "2026-11-29T12:01")],
)
def test_the_last_time_of_day_is_of_today_or_yesterday(at: str, last: str) -> None:
    assert last_time(at, NOON).isoformat()[:16] == last


@pytest.mark.parametrize(
    ("backup_hours", "drill_days", "due"),
    [
        (None, None, "backup"),
        (30, 1, "backup"),
        (10, 1, "backup"),
        (8, 8, "drill"),
        (8, None, "drill"),
        (8, 6, None),
    ],
)
def test_what_is_due(tmp_path: Path, backup_hours: int | None, drill_days: int | None, due: str | None) -> None:
    backups = Backups(BackupSettings(stack="test", repository="/repository", scratch=tmp_path))
    if backup_hours:
        made = NOON - timedelta(hours=backup_hours)
        backups.state.write(backup_last_success_time_seconds=made.timestamp())
    if drill_days:
        backups.state.write(backup_drill_last_time_seconds=(NOON - timedelta(days=drill_days)).timestamp())
    assert backups.due(NOON) == due


def test_figures_outlive_the_process(tmp_path: Path) -> None:
    for _ in range(2):
        backups = Backups(BackupSettings(stack="test", repository="/repository", scratch=tmp_path))
        backups.state.write(backup_drill_passed=0.0)
    found = {metric.name: metric.samples[0].value for metric in backups.state.collect()}
    assert found == {"backup_last_success_time_seconds": 0.0, "backup_drill_passed": 0.0}


def test_ssh_reads_a_key_whose_last_line_has_lost_its_end(tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    (tmp_path / "backup_sftp_key").write_text((tmp_path / "key").read_text().removesuffix("\n"))
    Restic(BackupSettings(stack="test", repository="sftp:", sftp_host="ssh-ed25519 A", secrets=tmp_path), tmp_path)
    public = subprocess.check_output(["ssh-keygen", "-y", "-f", tmp_path / "sftp-key"], text=True)
    assert (tmp_path / "key.pub").read_text().startswith(public.strip())
