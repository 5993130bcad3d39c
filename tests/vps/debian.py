"""The Debian that a VPS begins with: what a cloud's image holds but for systemd, and packages not yet installed.

The VPS reaches no package server, so apt's lists and what the host needs are in apt's own cache: it really installs
them, from there.
"""

import hashlib
import shutil
from pathlib import Path

from tools import debian, process
from tools.base_image import SUITE
from tools.paths import cache
from tools.steps import Report

_INSTALLED = (
    *("ca-certificates", "iproute2", "kmod", "netbase", "openssh-server", "procps", "python3", "sudo", "systemd"),
    *("tzdata", "unattended-upgrades"),
)
_AT_HAND = ("chrony", "docker-cli", "docker.io", "fail2ban", "logrotate", "nftables", "python3-systemd", "rsyslog")
_LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")


def ensure(report: Report) -> Path:
    """Its folder, made once for a machine (two minutes)."""
    recipe = repr((SUITE, _INSTALLED, _AT_HAND, _LEFT_OUT)).encode()
    folder = cache() / "base" / f"host-{hashlib.sha256(recipe).hexdigest()[:12]}"
    if folder.exists():
        return folder
    if not shutil.which("mmdebstrap"):
        debian.install(["mmdebstrap", "debian-archive-keyring"], report)
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    download = f"chroot $1 apt-get install --yes --no-install-recommends --download-only {' '.join(_AT_HAND)}"
    report.say(f"bootstrapping a Debian {SUITE} for the VPS")
    process.run(
        [
            "mmdebstrap",
            "--variant=minbase",
            "--format=directory",
            "--skip=cleanup/apt",
            *(f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT),
            # A test's host is thrown away: no file has to survive a power cut.
            "--dpkgopt=force-unsafe-io",
            f"--include={','.join(_INSTALLED)}",
            f"--customize-hook={download}",
            SUITE,
            str(partial),
        ],
        report,
    )
    partial.rename(folder)
    return folder
