"""The root file system of Debian's base image, made from Debian's packages where no container registry answers."""

from collections.abc import Callable, Sequence
from pathlib import Path

SUITE = "trixie"
PROGRAM = "mmdebstrap"
PACKAGES = (PROGRAM, "debian-archive-keyring")
"""What Debian calls the packages of the program and of the keys that it checks signatures with."""
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
"""Files that Debian's own "slim" image leaves out as well."""


def bootstrap(architecture: str, archive: Path, run: Callable[[Sequence[str]], object]) -> None:
    """Write the file system into a tar file, which appears once it is complete.

    Args:
        architecture: as Debian names it: amd64, arm64.
        archive: the tar file; its folder is created.
        run: runs a command, and raises when it fails.
    """
    archive.parent.mkdir(parents=True, exist_ok=True)
    partial = archive.with_name(f"{archive.name}.partial")
    options = [f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT]
    run(
        [PROGRAM, "--variant=minbase", "--format=tar", f"--architectures={architecture}", *options, SUITE, str(partial)]
    )
    partial.rename(archive)
