"""The options of `docker run` that make a container like one that exists."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import docker

_SECCOMP = "seccomp="
_CPU = 1_000_000_000
_UNSAYABLE = ("MaskedPaths",)
Inspected = Mapping[str, Any]


class OtherFlags(Exception):
    """A container that was to be like a sandbox is not. The message names each property."""


def options(sandbox: Inspected, folder: Path) -> list[str]:
    """The options, and the image behind them. The seccomp profile is written to `folder`, for the client reads it.

    What the command line can't say is `NetworkDisabled`, so its containers cost the engine a hook for the network more,
    and `MaskedPaths`.
    """
    config, host = sandbox["Config"], sandbox["HostConfig"]
    return [
        f"--runtime={host['Runtime']}",
        f"--network={host['NetworkMode']}",
        f"--ipc={host['IpcMode']}",
        f"--log-driver={host['LogConfig']['Type']}",
        f"--read-only={str(host['ReadonlyRootfs']).lower()}",
        f"--pids-limit={host['PidsLimit']}",
        f"--cpus={host['NanoCpus'] / _CPU}",
        f"--memory={host['Memory']}",
        f"--memory-swap={host['MemorySwap']}",
        f"--user={config['User']}",
        f"--hostname={config['Hostname']}",
        f"--workdir={config['WorkingDir']}",
        *(f"--tmpfs={path}:{how}" for path, how in host["Tmpfs"].items()),
        *(f"--ulimit={limit['Name']}={limit['Soft']}:{limit['Hard']}" for limit in host["Ulimits"] or ()),
        *(f"--cap-drop={capability}" for capability in host["CapDrop"]),
        *(f"--security-opt={_readable(option, folder)}" for option in host["SecurityOpt"]),
        *(f"--env={variable}" for variable in config["Env"]),
        config["Image"],
    ]


def check(client: docker.DockerClient, container: str, sandbox: Inspected) -> None:
    """Return when the container has all that the sandbox has, else raise `OtherFlags`."""
    found = client.api.inspect_container(container)["HostConfig"]
    wanted = {key: value for key, value in sandbox["HostConfig"].items() if key not in _UNSAYABLE and _is_set(value)}
    if other := [f"{key} is {found[key]!r}, not {value!r}" for key, value in wanted.items() if found[key] != value]:
        raise OtherFlags("; ".join(other))


def _is_set(value: Any) -> bool:
    """Whether a property says anything: the client writes empty ones where the API's body had none."""
    return any(map(_is_set, value.values())) if isinstance(value, Mapping) else bool(value)


def _readable(option: str, folder: Path) -> str:
    if not option.startswith(_SECCOMP):
        return option
    file = folder / "seccomp.json"
    file.write_text(option.removeprefix(_SECCOMP))
    return f"{_SECCOMP}{file}"
