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
_CACHED = ("chrony", "docker.io", "fail2ban", "logrotate", "nftables", "python3-systemd", "rsyslog")
_EXCLUDED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")


@dataclass(frozen=True)
class Distribution:
    """A distribution: its suite, the packages in apt's cache, their components, and services without an init script."""

    suite: str
    cached: tuple[str, ...] = _CACHED
    components: tuple[str, ...] = ("main",)
    without_script: tuple[str, ...] = ()


_DISTRIBUTIONS = {
    "debian-13": Distribution("trixie", cached=(*_CACHED, "docker-cli")),
    "debian-12": Distribution("bookworm"),
    # mmdebstrap verifies it with /usr/share/keyrings/ubuntu-archive-keyring.gpg, from the package ubuntu-keyring.
    "ubuntu-24.04": Distribution("noble", components=("main", "universe"), without_script=("docker",)),
}
_CHOICE = "VPS_TEST_HOST"


def ensure(report: Report) -> Path:
    """The folder of the distribution that VPS_TEST_HOST names. Made once for a machine, in about two minutes.

    Raises:
        LookupError: there is no such distribution.
    """
    name = os.environ.get(_CHOICE, "debian-13")
    if name not in _DISTRIBUTIONS:
        raise LookupError(f"{_CHOICE} is {name!r}; a VPS can be one of {', '.join(_DISTRIBUTIONS)}")
    distribution = _DISTRIBUTIONS[name]
    recipe = repr((distribution, _INSTALLED, _EXCLUDED)).encode()
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
