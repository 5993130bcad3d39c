"""What runs in the cluster, as this machine sees it."""

from pathlib import Path


def text(file: Path) -> str:
    """A file of a process; empty when the process has ended."""
    try:
        return file.read_text()
    except OSError:
        return ""


def command(process: Path) -> bytes:
    """The arguments of a process, each with a zero byte behind it."""
    return text(process / "cmdline").encode()
