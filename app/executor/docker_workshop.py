"""Sandboxes as containers of the Docker Engine, each started and attached ahead."""

import asyncio
import contextlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import anyio

from app.environments import ENVIRONMENTS, Environment
from app.executor import seccomp
from app.executor.attachment import Attachment
from app.executor.docker_api import DockerApi
from app.executor.engine import EngineError, Sandbox
from app.executor.sandbox import DockerSandbox
from app.profile import SandboxProfile
from app.runtimes import RUNTIMES

_ENVIRON = ("PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/tmp", "LANG=C.UTF-8")
_MB = 1024 * 1024
_MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/pressure",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
"""What newer engines hide by default, for all of them, and /proc/pressure: a write there sets a trigger on the host."""
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", "/sys/fs/cgroup")
"""What the engine makes read-only by default, and what crun leaves writable on a host with cgroup v1."""
_LOST_LIMIT = ("discarded", "without swap")
"""What the engine's warnings say of a limit that the host's kernel can't hold."""
_NO_CORE = 1
"""The one size, in bytes, at which the kernel neither writes a core file nor starts the host's core_pattern helper."""


@dataclass(frozen=True)
class UnfitRuntime(Exception):
    """The engine does not start a runtime as it must be. The message names both, and the fix."""

    name: str
    found: Sequence[str] | None

    def __str__(self) -> str:
        wanted = RUNTIMES[self.name].arguments
        found = "does not know it" if self.found is None else f"starts it with {' '.join(self.found) or 'none'}"
        entry = {"runtimes": {self.name: {"path": f"/usr/bin/{self.name}", "runtimeArgs": wanted}}}
        return (
            f"the engine must start {self.name} with {' '.join(wanted)}, and {found}. "
            f"Put {json.dumps(entry)} into its daemon.json and restart it, or correct EXECUTOR_RUNTIME."
        )


@dataclass(frozen=True)
class Pattern:
    """What all sandboxes of this executor have in common. `images` is by environment."""

    profile: SandboxProfile
    images: Mapping[str, str]
    stack: str
    runtime: str


class DockerWorkshop:
    """A `Workshop` on the Docker Engine's API."""

    def __init__(self, api: DockerApi, pattern: Pattern) -> None:
        self._api = api
        self._pattern = pattern
        self._known: dict[str, DockerSandbox | None] = {}

    async def check(self) -> None:
        """Return when the engine starts the runtime with all that holds a sandbox in, else raise `UnfitRuntime`."""
        name = self._pattern.runtime
        if wanted := RUNTIMES[name].arguments:
            found = await self._api.runtime_arguments(name)
            if found is None or not set(wanted) <= set(found):
                raise UnfitRuntime(name, found)

    async def make(self, environment: str) -> DockerSandbox:
        """See `Workshop`."""
        identity = uuid.uuid4().hex
        name = self._name(identity)
        self._known[identity] = None
        creating = asyncio.create_task(self._create(name, identity, ENVIRONMENTS[environment]))
        try:
            await asyncio.shield(creating)
            attachment = Attachment(await self._api.attach(name))
            sandbox = DockerSandbox(
                identity,
                ENVIRONMENTS[environment],
                self._pattern.profile,
                attachment,
                lambda: self._killed_for_memory(identity),
            )
            self._known[identity] = sandbox
            await self._api.start(name)
            await sandbox.ready()
        except BaseException:
            with anyio.CancelScope(shield=True), contextlib.suppress(EngineError):
                # Docker goes on making a container whose client has hung up: there is something to remove only then.
                await asyncio.wait([creating])
                await self._forget(identity)
            raise
        return sandbox

    async def destroy(self, sandbox: Sandbox) -> None:
        """See `Workshop`."""
        with anyio.CancelScope(shield=True):
            await self._forget(sandbox.id)

    async def ping(self) -> None:
        """See `Workshop`."""
        await self._api.ping()

    async def sweep(self) -> int:
        """See `Workshop`."""
        labels = [f"vps.stack={self._pattern.stack}", "vps.sandbox"]
        orphans = [found for found in await self._api.find(labels) if found.labels["vps.sandbox"] not in self._known]
        for orphan in orphans:
            await self._api.remove(orphan.id)
        return len(orphans)

    async def remove_all(self) -> None:
        """See `Workshop`."""
        ours = [sandbox for sandbox in self._known.values() if sandbox]
        self._known.clear()
        for sandbox in ours:
            sandbox.close()
        await self.sweep()

    def _name(self, identity: str) -> str:
        return f"{self._pattern.stack}-sandbox-{identity}"

    async def _killed_for_memory(self, identity: str) -> bool:
        if identity not in self._known:
            raise EngineError("the executor is stopping")
        return await self._api.killed_for_memory(self._name(identity))

    async def _forget(self, identity: str) -> None:
        try:
            if sandbox := self._known.get(identity):
                await sandbox.leave()
            await self._api.remove(self._name(identity))
        finally:
            self._known.pop(identity, None)

    async def _create(self, name: str, identity: str, environment: Environment) -> None:
        pattern = self._pattern
        entrypoint, *command = environment.command(pattern.profile.memory_mb)
        warnings = await self._api.create(
            name,
            {
                "Image": pattern.images[environment.name],
                "Entrypoint": [entrypoint],
                "Cmd": command,
                "Hostname": "sandbox",
                "User": pattern.profile.user,
                "WorkingDir": "/tmp",  # noqa: S108 - a path inside the sandbox
                "Env": _ENVIRON,
                "AttachStdin": True,
                "AttachStdout": True,
                "AttachStderr": True,
                "OpenStdin": True,
                # The end of this process is the end of its idle sandboxes.
                "StdinOnce": True,
                "NetworkDisabled": pattern.profile.network == "none",
                "Labels": {"vps.stack": pattern.stack, "vps.sandbox": identity},
                "HostConfig": self._host_config(),
            },
        )
        if lost := [warning for warning in warnings if any(word in warning for word in _LOST_LIMIT)]:
            raise EngineError(f"the host can't hold the profile: {' '.join(lost)} Enable it in the host's kernel.")

    def _host_config(self) -> dict[str, Any]:
        profile, runtime = self._pattern.profile, RUNTIMES[self._pattern.runtime]
        # The host's control group doesn't see the processes inside; all of them are of one user.
        pids = [_ulimit("nproc", profile.pids)] if runtime.own_kernel else []
        filter_of_calls = seccomp.load_for_gvisor() if runtime.own_kernel else seccomp.load()
        no_new_privileges = ["no-new-privileges:true"] if profile.no_new_privileges else []
        return {
            "Runtime": self._pattern.runtime,
            "NetworkMode": profile.network,
            # Without it a read-only sandbox would still have a writable /dev/shm of 64 MB.
            "IpcMode": "none",
            "ReadonlyRootfs": profile.read_only_root,
            # No native program can be brought in: what an interpreter reads from /tmp still runs.
            # Message queues are files too, outside of /tmp's size: an empty read-only folder takes their place.
            "Tmpfs": {
                "/tmp": f"rw,noexec,nosuid,nodev,size={profile.tmp_mb}m,mode=1777",  # noqa: S108
                "/dev/mqueue": "ro,noexec,nosuid,nodev,size=4k",
            },
            "MaskedPaths": _MASKED,
            "ReadonlyPaths": _READ_ONLY,
            "Ulimits": [_ulimit("core", _NO_CORE), *pids],
            "CapDrop": profile.cap_drop,
            "SecurityOpt": [*no_new_privileges, f"seccomp={filter_of_calls}"],
            "PidsLimit": runtime.host_pids(profile.pids),
            "NanoCpus": int(profile.cpus * 1_000_000_000),
            "Memory": profile.memory_mb * _MB,
            "MemorySwap": (profile.memory_mb + profile.swap_mb) * _MB,
            # The engine's log files are outside every limit. The attached streams are read, up to a limit.
            "LogConfig": {"Type": "none"},
        }


def _ulimit(name: str, value: int) -> dict[str, Any]:
    return {"Name": name, "Soft": value, "Hard": value}
