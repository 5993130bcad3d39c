"""`make backup`: save a stack's data as files on this machine."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from tools.console.steps import Report, Runner, Step
from tools.paths import HOME
from tools.stack import backup, target


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stack", default="local")
    parser.add_argument("--to")


def run(options: argparse.Namespace, runner: Runner) -> None:
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    folder = Path(options.to) if options.to else HOME / "backups" / f"{options.stack}-{moment}"

    def save(report: Report) -> str:
        with target.reached(options.stack, report) as found:
            archives = backup.save(found.engine.client(), found.prefix, found.image, folder.absolute(), report)
        size = sum((folder / archive.file).stat().st_size for archive in archives) / 1024**2
        return f"{', '.join(archive.volume for archive in archives)}: {size:.1f} MiB in {folder}"

    runner.run([Step("Backup", save)])
    runner.console.print("It may contain certificates and passwords: keep it where only you can read it.")
