"""The root file system of a VPS: Debian or Ubuntu as in a cloud's image, without a running systemd.

The VPS reaches no package server, so apt's lists and cache already have the packages that the host's scripts install.
"""

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from tools.console.steps import Report
from tools.machine import debian, process
from tools.paths import cache

_INSTALLED = (
    *("apt", "ca-certificates", "iproute2", "kmod", "netbase", "openssh-server", "procps", "python3", "sudo"),
    *("systemd", "tzdata", "unattended-upgrades"),
)
CACHED = ("chrony", "docker.io", "fail2ban", "logrotate", "nftables", "python3-systemd", "rsyslog")
_EXCLUDED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")


@dataclass(frozen=True)
class Distribution:
    """A distribution: its suite, the packages in apt's cache, their components, and services without an init script."""

    suite: str
    cached: tuple[str, ...] = CACHED
    components: tuple[str, ...] = ("main",)
    without_script: tuple[str, ...] = ()


@dataclass(frozen=True)
class Boot:
    """What a root file system needs to be booted: further packages, the units that are enabled, files by their path."""

    installed: tuple[str, ...]
    enabled: tuple[str, ...]
    files: tuple[tuple[str, str], ...]


_DISTRIBUTIONS = {
    "debian-13": Distribution("trixie", cached=(*CACHED, "docker-cli")),
    "debian-12": Distribution("bookworm"),
    # mmdebstrap verifies it with /usr/share/keyrings/ubuntu-archive-keyring.gpg, from the package ubuntu-keyring.
    "ubuntu-24.04": Distribution("noble", components=("main", "universe"), without_script=("docker",)),
}
_CHOICE = "VPS_TEST_HOST"


def chosen() -> str:
    """The name in VPS_TEST_HOST."""
    return os.environ.get(_CHOICE, "debian-13")


def ensure(name: str, report: Report, boot: Boot | None = None) -> Path:
    """The folder of a distribution. Made once for a machine, in about two minutes.

    Raises:
        LookupError: there is no such distribution.
    """
    if name not in _DISTRIBUTIONS:
        raise LookupError(f"a VPS is not {name!r}; it can be one of {', '.join(_DISTRIBUTIONS)}")
    distribution = _DISTRIBUTIONS[name]
    installed = (*_INSTALLED, *(boot.installed if boot else ()))
    recipe = repr((distribution, installed, _EXCLUDED, *([boot] if boot else []))).encode()
    folder = cache() / "base" / f"host-{hashlib.sha256(recipe).hexdigest()[:12]}"
    if folder.exists():
        return folder
    if not shutil.which("mmdebstrap"):
        debian.install(["mmdebstrap", "debian-archive-keyring"], report)
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    packages = " ".join(distribution.cached)
    download = f"chroot $1 apt-get install --yes --no-install-recommends --download-only {packages}"
    report.say(f"bootstrapping {name} for the VPS")
    process.run(
        [
            "mmdebstrap",
            "--variant=minbase",
            "--format=directory",
            "--skip=cleanup/apt",
            f"--components={','.join(distribution.components)}",
            *(f"--dpkgopt=path-exclude={pattern}" for pattern in _EXCLUDED),
            # A test's host is thrown away, so its files need not survive a power failure.
            "--dpkgopt=force-unsafe-io",
            f"--include={','.join(installed)}",
            f"--customize-hook={download}",
            *(f'--customize-hook=systemctl --root="$1" enable {unit}' for unit in (boot.enabled if boot else ())),
            distribution.suite,
            str(partial),
        ],
        report,
    )
    for service in distribution.without_script:
        shutil.copy(Path(__file__).with_name(f"{service}.init"), partial / "etc/init.d" / service)
    for path, text in boot.files if boot else ():
        (partial / path).parent.mkdir(parents=True, exist_ok=True)
        (partial / path).write_text(text)
    partial.rename(folder)
    return folder
