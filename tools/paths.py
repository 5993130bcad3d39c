"""Folders: of the checkout, and of the machine's cache."""

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".vps"


def cache() -> Path:
    """The folder of what is built once for a machine and not for each checkout. It is created if it is missing."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = Path(base).expanduser().resolve() / "vps"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def made_once(folder: Path, make: Callable[[Path], object]) -> Path:
    """A folder that `make` fills, unless it is there. It appears once it is complete, whoever made it."""
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            made = Path(scratch, folder.name)
            made.mkdir()
            make(made)
            with contextlib.suppress(OSError):  # another process was first
                made.rename(folder)
    return folder


def private_folder(folder: Path) -> Path:
    """The folder, readable by its owner only. It is created if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


def write_private(file: Path, text: str) -> None:
    """Replace a file atomically (a reader sees the old or the new text), readable by its owner only."""
    partial = file.with_name(f"{file.name}.partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as sink:
        sink.write(text)
    partial.replace(file)
