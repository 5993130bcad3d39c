"""The settings of the packages service. The only place in this process that reads the environment."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from app.process.settings import FROM_JSON, ProcessSettings, Settings


def normalized(name: str) -> str:
    """A package's name as PyPA's specification compares names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _index(url: str) -> str:
    # No user and no password: whoever may inspect the container reads its variables.
    if not re.fullmatch(r"https?://[^/@?#\s]+(/[^@?#\s]*)?", url):
        raise ValueError("it is not a URL like https://pypi.org/simple/, without a password")
    return url


def _name(name: str) -> str:
    if re.fullmatch(r"npm:(@[^/:@\s]+/)?[^/:@\s]+", name):
        return name
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", name):
        raise ValueError(f"{name!r} is not the name of a package, as in requests or npm:lodash")
    return normalized(name)


AT_ONCE = 2
"""Sets that are made at the same time."""
_BESIDE_MB = 256
"""MB that the files of a set that is being made take beyond their bytes: each has whole blocks, and a tar's header."""

Names = Annotated[tuple[Annotated[str, AfterValidator(_name)], ...], FROM_JSON]


class PackagesOptions(Settings):
    """What the operator chooses: the keys of `sandbox.packages` in the stack's config."""

    index: Annotated[str, AfterValidator(_index)] = "https://pypi.org/simple/"
    """URL of the index of Python's packages, by PyPA's simple repository API."""
    registry: Annotated[str, AfterValidator(_index)] = "https://registry.npmjs.org/"
    """URL of npm's registry, for packages of Node."""
    allow: Names = ()
    """Packages that may be asked for, npm's as in npm:lodash; what they depend on comes with them. Empty: all."""
    deny: Names = ()
    """Packages that no set may hold, not even as a dependency."""
    most: int = Field(10, ge=1, le=32)
    """Packages that one request may name, from 1 to 32."""
    set_mb: int = Field(200, ge=1, le=4096)
    """Size of a set when unpacked, in MB; its wheels may have as much again."""
    store_mb: int = Field(2000, ge=1, le=1_000_000)
    """Disk for all sets, in MB; on a cluster, of each unit too. Beyond it the least recently used ones are removed."""
    seconds: int = Field(20, ge=1, le=45)
    """Seconds to resolve and fetch a set, up to 45: the edge answers 504 after 60."""
    sets_per_hour: int = Field(20, ge=1)
    """Sets an hour that one client may have prepared. Sets that are in the store are not counted."""

    @property
    def disk_mb(self) -> int:
        """Disk of a store at most, in MB: for its sets, and for those that are being made, with their archives."""
        return self.store_mb + AT_ONCE * (2 * self.set_mb + _BESIDE_MB)


class PackagesSettings(PackagesOptions, ProcessSettings):
    """Each field is the variable PACKAGES_<FIELD>."""

    prefix = "PACKAGES_"

    store: Path = Path("/var/lib/packages")
    """the folder of the sets, which the executor mounts read-only."""
    socket: Path = Path("/run/packages/packages.sock")
    """the path of the Unix socket on which to serve."""
    port: int | None = Field(None, ge=1, le=65535)
    """the TCP port on which to serve the copy services of a cluster's units, in place of the socket."""
    source: Annotated[str, AfterValidator(_index)] | None = None
    """URL of the packages service whose sets are copied, in place of making them from the indexes."""
