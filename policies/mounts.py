"""Which files of the host a container can access, and whether it can write to its own root file system.

One rule checks each path of the host: `container-docker-socket` for sockets, `container-host-paths` for all others. A
path that ends in .sock is a socket; a folder that contains one is refused as any other path.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from policies.exemptions import may_read
from policies.inputs import Inputs
from policies.rules import rule

_MANAGED_BY_DOCKER = ("volume", "tmpfs")
_PRIVATE = (None, "", "private", "rprivate")


@dataclass(frozen=True)
class _HostMount:
    """A path of the host that is mounted into a container."""

    source: Any
    target: Any
    read_only: Any = None

    def is_readable_by(self, service: str | None) -> bool:
        """Whether the mount is read-only and its path is one that this service may read."""
        return self.read_only is True and isinstance(self.source, str) and may_read(service, self.source)

    @property
    def is_socket(self) -> bool:
        return isinstance(self.source, str) and self.source.rstrip("/").endswith(".sock")

    def __str__(self) -> str:
        return f"{self.source!r} of the host at {self.target!r}"


def _host_mounts(inputs: Inputs) -> Iterator[_HostMount]:
    """All mounts that are not known to be managed by Docker, from both inputs: `mounts` and `volumes`."""
    for mount in inputs.sequence("mounts"):
        if not isinstance(mount, dict):
            yield _HostMount(mount, mount)
        elif mount.get("type") not in _MANAGED_BY_DOCKER:
            yield _HostMount(mount.get("source"), mount.get("target"), mount.get("readOnly"))
    for volume in inputs.sequence("volumes"):
        if not isinstance(volume, dict):
            yield _HostMount(volume, volume)
        elif source := volume.get("hostPath") or _path(volume.get("volumeName")):
            yield _HostMount(source, volume.get("containerPath"), volume.get("readOnly"))


def _path(volume_name: Any) -> str | None:
    """The path of the host that Docker mounts for a volume's name which begins with a slash."""
    return volume_name if isinstance(volume_name, str) and volume_name.startswith("/") else None


@rule("container-host-paths", cis="5.6")
def host_paths(inputs: Inputs) -> Iterator[str]:
    """No container mounts a path of the host, but for the paths that policies/exemptions.toml names.

    Fix: Keep data and configuration in named volumes. Mount a path that is named there read-only.
    """
    for mount in _host_mounts(inputs):
        if not mount.is_socket and not mount.is_readable_by(inputs.service):
            yield str(mount)


@rule("container-docker-socket", cis="5.32")
def docker_socket(inputs: Inputs) -> Iterator[str]:
    """No container mounts Docker's socket or another one of the host: its holder can become root there.

    Fix: Remove the mount (read-only is no protection). Portainer alone has an exemption.
    """
    for mount in _host_mounts(inputs):
        if mount.is_socket:
            yield str(mount)


@rule("container-volume-driver", cis="5.6")
def volume_driver(inputs: Inputs) -> Iterator[str]:
    """A mounted volume is managed by Docker and is not a bind mount of a folder of the host.

    Fix: Leave volumeOptions.driverName and volumeOptions.driverOptions out.
    """
    for mount in inputs.sequence("mounts"):
        options = (mount.get("volumeOptions") or {}) if isinstance(mount, dict) else mount
        if not isinstance(options, dict) or options.get("driverName") or options.get("driverOptions"):
            yield f"volumeOptions is {options!r}"


@rule("container-volumes-from", cis="5.6")
def volumes_from(inputs: Inputs) -> Iterator[str]:
    """No container uses the mounts of another one.

    Fix: Leave volumes.fromContainer out and mount the volume by its name.
    """
    for volume in inputs.sequence("volumes"):
        origin = volume.get("fromContainer") if isinstance(volume, dict) else volume
        if origin:
            yield f"volumes.fromContainer is {origin!r}"


@rule("container-mount-propagation", cis="5.20")
def propagation(inputs: Inputs) -> Iterator[str]:
    """Mounts in a container do not propagate to the host.

    Fix: Leave bindOptions.propagation out, or set it to 'rprivate'.
    """
    for mount in inputs.sequence("mounts"):
        options = (mount.get("bindOptions") or {}) if isinstance(mount, dict) else mount
        value = options.get("propagation") if isinstance(options, dict) else options
        if value not in _PRIVATE:
            yield f"bindOptions.propagation is {value!r}"


@rule("container-read-only-root", cis="5.13", running=True)
def read_only_root(inputs: Inputs) -> Iterator[str]:
    """A container's root file system is read-only.

    Fix: Set readOnly to true, and mount a volume or a tmpfs where the service has to write.
    """
    if inputs.get("readOnly") is not True:
        yield f"readOnly is {inputs.get('readOnly')!r}"
