"""The Debian or Ubuntu that a VPS begins with: what a cloud's image holds but for systemd, and packages not yet there.

The VPS reaches no package server, so apt's lists and what the host needs are in apt's own cache: it really installs
them, from there.
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
_AT_HAND = ("chrony", "docker.io", "fail2ban", "logrotate", "nftables", "python3-systemd", "rsyslog")
_LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")


@dataclass(frozen=True)
class Distribution:
    """What differs: the packages at hand, the parts of its archive that they are in, services without init script."""

    suite: str
    at_hand: tuple[str, ...] = _AT_HAND
    components: tuple[str, ...] = ("main",)
    without_script: tuple[str, ...] = ()


_DISTRIBUTIONS = {
    "debian-13": Distribution("trixie", at_hand=(*_AT_HAND, "docker-cli")),
    "debian-12": Distribution("bookworm"),
    # mmdebstrap checks it by /usr/share/keyrings/ubuntu-archive-keyring.gpg, of the package ubuntu-keyring.
    "ubuntu-24.04": Distribution("noble", components=("main", "universe"), without_script=("docker",)),
}
_CHOICE = "VPS_TEST_HOST"


def ensure(report: Report) -> Path:
    """The folder of the one that VPS_TEST_HOST names, made once for a machine (two minutes)."""
    name = os.environ.get(_CHOICE, "debian-13")
    if name not in _DISTRIBUTIONS:
        raise LookupError(f"{_CHOICE} is {name!r}; a VPS can be one of {', '.join(_DISTRIBUTIONS)}")
    distribution = _DISTRIBUTIONS[name]
    recipe = repr((distribution, _INSTALLED, _LEFT_OUT)).encode()
    folder = cache() / "base" / f"host-{hashlib.sha256(recipe).hexdigest()[:12]}"
    if folder.exists():
        return folder
    if not shutil.which("mmdebstrap"):
        debian.install(["mmdebstrap", "debian-archive-keyring"], report)
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    packages = " ".join(distribution.at_hand)
    download = f"chroot $1 apt-get install --yes --no-install-recommends --download-only {packages}"
    report.say(f"bootstrapping {name} for the VPS")
    process.run(
        [
            "mmdebstrap",
            "--variant=minbase",
            "--format=directory",
            "--skip=cleanup/apt",
            f"--components={','.join(distribution.components)}",
            *(f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT),
            # A test's host is thrown away: no file has to survive a power cut.
            "--dpkgopt=force-unsafe-io",
            f"--include={','.join(_INSTALLED)}",
            f"--customize-hook={download}",
            distribution.suite,
            str(partial),
        ],
        report,
    )
    for service in distribution.without_script:
        shutil.copy(Path(__file__).with_name(f"{service}.init"), partial / "etc/init.d" / service)
    partial.rename(folder)
    return folder
