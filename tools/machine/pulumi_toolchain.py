"""Pulumi and its plugins: the one on PATH if it is new enough, else the official release, else built from Go modules.

It always runs with a PULUMI_HOME in the cache, so that the user's logins and workspaces are not changed.
"""

import hashlib
import json
import platform
import shutil
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from packaging.version import InvalidVersion, Version

from offline.gomodules import BuildError
from offline.pulumi import build
from tools.console.steps import Report, StepFailed
from tools.machine import process
from tools.paths import cache, made_once

# The oldest Pulumi that this program has been tested with, with the SDK that requirements.txt locks.
MINIMUM = Version("3.228.0")
RELEASES = "https://github.com/pulumi/pulumi/releases/download"
PLUGINS = ("docker", "command", "cloudflare")
"""The plugins that the program's resources need, each in the version of its SDK in requirements.txt."""
CLUSTERS_PLUGIN = "kubernetes"
"""The one that stacks on a cluster need too."""
_SECONDS_TO_ANSWER = 5
_PLATFORMS = {
    ("Linux", "x86_64"): "linux-x64",
    ("Linux", "aarch64"): "linux-arm64",
    ("Darwin", "x86_64"): "darwin-x64",
    ("Darwin", "arm64"): "darwin-arm64",
}


@dataclass(frozen=True)
class Toolchain:
    """A Pulumi CLI with the plugins of the program, ready to run."""

    pulumi: Path
    environment: Mapping[str, str]
    version: str
    origin: str


class _Unavailable(Exception):
    """One source of Pulumi is not available on this machine; the message says why."""


def ensure(report: Report, *, clusters: bool = False) -> Toolchain:
    """Pulumi from the first source that this machine has. With `clusters`, for stacks on a cluster too.

    Raises:
        StepFailed: none of the sources is available, not even the build from Go modules.
    """
    plugins = (*PLUGINS, CLUSTERS_PLUGIN) if clusters else PLUGINS
    closed: list[str] = []
    for attempt in (_on_path, _released):
        try:
            return _with_plugins(attempt(report), plugins, report)
        except _Unavailable as reason:
            report.write(f"{reason}\n")
            closed.append(str(reason))
    try:
        built = build.ensure(cache(), report.log, report.say, clusters=clusters)
    except BuildError as error:
        raise StepFailed(
            f"There is no usable Pulumi: {'; '.join(closed)}; and building it from Go modules failed: {error}",
            f"Install Pulumi {MINIMUM} or newer, or install what the build needs, then run this again.",
            report.log,
        ) from error
    environment = {**_environment(), **built.environment}
    found = _version(built.executable, report)
    return Toolchain(built.executable, environment, str(found), "built from Go modules")


def _on_path(report: Report) -> Toolchain:
    found = shutil.which("pulumi")
    # The one in the cache is on PATH in a shell that `make pulumi` has prepared.
    if not found or Path(found).is_relative_to(cache()):
        raise _Unavailable("no pulumi on PATH")
    number = _version(Path(found), report)
    if number < MINIMUM:
        raise _Unavailable(f"pulumi {number} on PATH is too old (needs {MINIMUM})")
    return Toolchain(Path(found), _environment(), str(number), "on PATH")


def _released(report: Report) -> Toolchain:
    number = version("pulumi")  # the release of the SDK that requirements.txt locks
    folder = made_once(cache() / "pulumi" / number, lambda folder: _download(number, folder, report))
    return Toolchain(folder / "pulumi", _environment(), number, "official release")


def _download(number: str, folder: Path, report: Report) -> None:
    """Download an official release into `folder`.

    Its checksum comes from the checksum file of the same release, over HTTPS. That detects a broken download, and
    trusts the release page, as the installer of `get.pulumi.com` does.
    """
    target = _PLATFORMS.get((platform.system(), platform.machine()))
    if target is None:
        raise _Unavailable(f"no official release for {platform.system()} {platform.machine()}")
    name = f"pulumi-v{number}-{target}.tar.gz"
    archive = folder / name
    try:
        sums = _fetch(f"{RELEASES}/v{number}/pulumi-{number}-checksums.txt").decode()
        report.say(f"downloading {name}")
        archive.write_bytes(_fetch(f"{RELEASES}/v{number}/{name}"))
    except OSError as error:
        raise _Unavailable(f"the official release can't be downloaded ({error})") from error
    if f"{hashlib.sha256(archive.read_bytes()).hexdigest()}  {name}" not in sums.splitlines():
        raise StepFailed(
            f"{name} does not have the checksum of its release.",
            "It was deleted. Run this again; if it happens again, something in this network changes downloads: "
            "use another network.",
        )
    process.run(["tar", "-xzf", str(archive), "-C", str(folder), "--strip-components=1"], report)
    archive.unlink()


def _fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=_SECONDS_TO_ANSWER) as answer:  # noqa: S310 - https, a constant
        return bytes(answer.read())


def _with_plugins(toolchain: Toolchain, plugins: Iterable[str], report: Report) -> Toolchain:
    environment = dict(toolchain.environment)
    pulumi = str(toolchain.pulumi)
    try:
        listed = json.loads(process.capture([pulumi, "plugin", "ls", "--json"], report, environment=environment))
        present = {(plugin["name"], plugin["version"]) for plugin in listed}
        for name in plugins:
            number = version(f"pulumi-{name}")
            if (name, number) not in present:
                report.say(f"installing the {name} plugin {number}")
                process.run([pulumi, "plugin", "install", "resource", name, number], report, environment=environment)
    except process.CommandFailed as error:
        raise _Unavailable(f"pulumi {toolchain.origin} could not get its plugins ({error.last_line})") from error
    return toolchain


def _environment() -> dict[str, str]:
    return {"PULUMI_HOME": str(cache() / "pulumi-home"), "PULUMI_SKIP_UPDATE_CHECK": "true"}


def _version(pulumi: Path, report: Report) -> Version:
    try:
        return Version(process.capture([str(pulumi), "version"], report, environment=_environment()))
    except (process.CommandFailed, OSError) as error:
        raise _Unavailable(f"{pulumi} does not run ({error})") from error
    except InvalidVersion as error:
        raise _Unavailable(f"{pulumi} does not print its version") from error
