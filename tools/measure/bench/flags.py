"""The profile's flags, as an operator gives them to Docker who has the profile and nothing else of the platform.

What the platform has of its own to be faster is left out: `NetworkDisabled`, no IPC, no log driver, another runtime, a
seccomp profile for one architecture. The engine's default stands for each.
"""

from collections.abc import Mapping
from typing import Any

import docker

_CPU = 1_000_000_000
_SAME = ("NetworkMode", "ReadonlyRootfs", "CapDrop", "PidsLimit", "NanoCpus", "Memory", "MemorySwap")
_TMP = "/tmp"
CAPTION = (
    "docker run and docker SDK have the profile's flags and the engine's defaults. NetworkDisabled, no IPC, no log "
    "driver and a seccomp profile for one architecture are the platform's own means, and they have none of them."
)
Inspected = Mapping[str, Any]


class OtherFlags(Exception):
    """A container that was to have the profile's flags has not. The message names each property."""


def host_config(sandbox: Inspected) -> dict[str, Any]:
    """The part of a sandbox's HostConfig that the profile asks for."""
    host = sandbox["HostConfig"]
    return {
        **{key: host[key] for key in _SAME},
        "Tmpfs": {_TMP: host["Tmpfs"][_TMP]},
        "SecurityOpt": [option for option in host["SecurityOpt"] if not option.startswith("seccomp=")],
    }


def options(sandbox: Inspected) -> list[str]:
    """The same for the command line, with the user, and the image behind them."""
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
    """Return when the container has what the profile asks for, else raise `OtherFlags`."""
    found = client.api.inspect_container(container)["HostConfig"]
    wanted = host_config(sandbox)
    if other := [f"{key} is {found[key]!r}, not {value!r}" for key, value in wanted.items() if found[key] != value]:
        raise OtherFlags("; ".join(other))
