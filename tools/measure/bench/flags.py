"""The sandbox profile as flags of `docker run`.

What makes the platform faster is left out, and Docker's default used instead: `NetworkDisabled`, no IPC, no log driver,
another runtime, a seccomp profile for one architecture.
"""

from collections.abc import Mapping
from typing import Any

import docker

_CPU = 1_000_000_000
_SAME = ("NetworkMode", "ReadonlyRootfs", "CapDrop", "PidsLimit", "NanoCpus", "Memory", "MemorySwap")
_TMP = "/tmp"
CAPTION = (
    "docker run and docker SDK have the profile's flags and else Docker's defaults. Only the platform uses "
    "NetworkDisabled, no IPC, no log driver and a seccomp profile for one architecture."
)
Inspected = Mapping[str, Any]


class OtherFlags(Exception):
    """A container does not have the profile's flags. The message names each property that differs."""


def host_config(sandbox: Inspected) -> dict[str, Any]:
    """The part of a sandbox's HostConfig that the profile requires."""
    host = sandbox["HostConfig"]
    return {
        **{key: host[key] for key in _SAME},
        "Tmpfs": {_TMP: host["Tmpfs"][_TMP]},
        "SecurityOpt": [option for option in host["SecurityOpt"] if not option.startswith("seccomp=")],
    }


def options(sandbox: Inspected) -> list[str]:
    """The same as options of the command line, followed by the user and the image."""
    host = host_config(sandbox)
    return [
        f"--network={host['NetworkMode']}",
        f"--read-only={str(host['ReadonlyRootfs']).lower()}",
        f"--pids-limit={host['PidsLimit']}",
        f"--cpus={host['NanoCpus'] / _CPU}",
        f"--memory={host['Memory']}",
        f"--memory-swap={host['MemorySwap']}",
        f"--tmpfs={_TMP}:{host['Tmpfs'][_TMP]}",
        *(f"--cap-drop={capability}" for capability in host["CapDrop"]),
        *(f"--security-opt={option}" for option in host["SecurityOpt"]),
        f"--user={sandbox['Config']['User']}",
        sandbox["Config"]["Image"],
    ]


def check(client: docker.DockerClient, container: str, sandbox: Inspected) -> None:
    """Compare a container with what the profile requires.

    Raises:
        OtherFlags: a property differs.
    """
    found = client.api.inspect_container(container)["HostConfig"]
    wanted = host_config(sandbox)
    if other := [f"{key} is {found[key]!r}, not {value!r}" for key, value in wanted.items() if found[key] != value]:
        raise OtherFlags("; ".join(other))
