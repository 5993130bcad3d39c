"""The executor's container without a stack: as the program describes it, for whoever talks to its socket alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.executor import apparmor as profiles
from app.executor import seccomp
from infra.services.sandbox import EXECUTOR_CAPABILITIES, EXECUTOR_ENTRYPOINT

_RUN = "/run/executor"
_STORE = "/var/lib/packages"
_MEMORY = "1g"
SOCKET = "executor.sock"


def options(
    name: str, folder: Path, variables: Mapping[str, str], *, apparmor: bool, packages: Path | None = None
) -> dict[str, Any]:
    """The options of docker-py's `containers.run`. The socket will be `SOCKET` in `folder`, a folder of the host.

    `apparmor`: the host has the profiles of infra/host/apparmor. `packages`: the store of the packages service.
    """
    store = {str(packages): {"bind": _STORE, "mode": "ro"}} if packages else {}
    return {
        "entrypoint": list(EXECUTOR_ENTRYPOINT),
        "name": name,
        "detach": True,
        "user": "0:0",
        "read_only": True,
        "network_mode": "none",
        "mem_limit": _MEMORY,
        "memswap_limit": _MEMORY,
        "cap_drop": ["ALL"],
        "cap_add": list(EXECUTOR_CAPABILITIES),
        "security_opt": [
            "no-new-privileges:true",
            f"seccomp={seccomp.for_executor()}",
            f"apparmor={profiles.EXECUTOR if apparmor else 'unconfined'}",
        ],
        "tmpfs": {"/run": "", "/tmp": ""},  # noqa: S108 - paths inside the container
        "volumes": {str(folder): {"bind": _RUN, "mode": "rw"}, **store},
        "environment": {
            **variables,
            "EXECUTOR_SOCKET": f"{_RUN}/{SOCKET}",
            "EXECUTOR_APPARMOR": str(apparmor).lower(),
            **({"EXECUTOR_PACKAGE_STORE": _STORE} if packages else {}),
        },
    }
