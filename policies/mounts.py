"""What a container sees of the host's files, and whether it can write its own.

Each path of the host is judged by one rule: a socket by `container-engine-socket`, all else by
`container-host-paths`. A socket is told by its name, `*.sock`, so a folder that holds one is refused too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from policies.exemptions import may_read
from policies.inputs import Inputs
from policies.rules import Scope, rule

_OF_THE_ENGINE = ("volume", "tmpfs")
_PRIVATE = (None, "", "private", "rprivate")


@dataclass(frozen=True)
class _HostMount:
    """Something of the host that appears in a container."""

    source: Any
    target: Any
    read_only: Any = None

    def is_readable_by(self, service: str | None) -> bool:
        """Whether it is one of the paths that this service may read, and it can do no more than that."""
        return self.read_only is True and isinstance(self.source, str) and may_read(service, self.source)

    @property
    def is_socket(self) -> bool:
        return isinstance(self.source, str) and self.source.rstrip("/").endswith(".sock")

    def __str__(self) -> str:
        return f"{self.source!r} of the host at {self.target!r}"


def _host_mounts(inputs: Inputs) -> Iterator[_HostMount]:
    """Whatever isn't known to be kept by the engine, in either of the provider's spellings."""
    for mount in inputs.sequence("mounts"):
        if not isinstance(mount, dict):
            yield _HostMount(mount, mount)
        elif mount.get("type") not in _OF_THE_ENGINE:
            yield _HostMount(mount.get("source"), mount.get("target"), mount.get("readOnly"))
    for volume in inputs.sequence("volumes"):
        if not isinstance(volume, dict):
            yield _HostMount(volume, volume)
        elif source := volume.get("hostPath") or _path(volume.get("volumeName")):
            yield _HostMount(source, volume.get("containerPath"), volume.get("readOnly"))


def _path(volume_name: Any) -> str | None:
    """The engine takes a volume's name that begins with a slash for a path of the host."""
    return volume_name if isinstance(volume_name, str) and volume_name.startswith("/") else None


@rule(
    "container-host-paths",
    cis="5.6",
    description="No container sees a file or folder of the host, but for the named paths that a named service reads.",
    fix="Keep data in a named volume; configuration travels in one as well. A named path is mounted read-only.",
)
def host_paths(inputs: Inputs) -> Iterator[str]:
    for mount in _host_mounts(inputs):
        if not mount.is_socket and not mount.is_readable_by(inputs.service):
            yield str(mount)


@rule(
    "container-engine-socket",
    cis="5.32",
    description="No container holds the engine's socket, or another of the host's: whoever does owns the host.",
    fix="Remove the mount (mounting it read-only protects nothing); a service that must have it is a named exemption.",
)
def engine_socket(inputs: Inputs) -> Iterator[str]:
    for mount in _host_mounts(inputs):
        if mount.is_socket:
            yield str(mount)


@rule(
    "container-volume-driver",
    cis="5.6",
    description="A mounted volume is kept by the engine and is no folder of the host under another name.",
    fix="Leave volumeOptions.driverName and volumeOptions.driverOptions out.",
)
def volume_driver(inputs: Inputs) -> Iterator[str]:
    for mount in inputs.sequence("mounts"):
        options = (mount.get("volumeOptions") or {}) if isinstance(mount, dict) else mount
        if not isinstance(options, dict) or options.get("driverName") or options.get("driverOptions"):
            yield f"volumeOptions is {options!r}"


@rule(
    "container-volumes-from",
    cis="5.6",
    description="No container takes over the mounts of another.",
    fix="Leave volumes.fromContainer out and mount the volume by its name.",
)
def volumes_from(inputs: Inputs) -> Iterator[str]:
    for volume in inputs.sequence("volumes"):
        origin = volume.get("fromContainer") if isinstance(volume, dict) else volume
        if origin:
            yield f"volumes.fromContainer is {origin!r}"


@rule(
    "container-mount-propagation",
    cis="5.20",
    description="What a container mounts stays in it.",
    fix="Leave bindOptions.propagation out, or set it to 'rprivate'.",
)
def propagation(inputs: Inputs) -> Iterator[str]:
    for mount in inputs.sequence("mounts"):
        options = (mount.get("bindOptions") or {}) if isinstance(mount, dict) else mount
        value = options.get("propagation") if isinstance(options, dict) else options
        if value not in _PRIVATE:
            yield f"bindOptions.propagation is {value!r}"


@rule(
    "container-read-only-root",
    cis="5.13",
    scope=Scope.WITH_PROCESS,
    description="A container can't write its root file system.",
    fix="Set readOnly to true and give it a volume or a tmpfs where it must write.",
)
def read_only_root(inputs: Inputs) -> Iterator[str]:
    if inputs.get("readOnly") is not True:
        yield f"readOnly is {inputs.get('readOnly')!r}"
