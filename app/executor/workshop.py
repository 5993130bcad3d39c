"""Makes and removes sandboxes with an OCI runtime's command line. The runtime ends once a sandbox has started."""

import asyncio
import contextlib
import logging
import os
import shutil
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import anyio

from app.environments import ENVIRONMENTS
from app.executor import bundle, cgroups, devices, package_sets, syscalls
from app.executor.cgroups import CgroupError
from app.executor.engine import EngineError, Sandbox
from app.executor.processes import STDERR, STDOUT, Child, Pipes, reap_orphans, spawn
from app.executor.sandbox import OciSandbox
from app.profile import SandboxProfile
from app.runtimes import RUNTIMES
from app.wire.protocol import Execution

FOLDER = Path("/run/sandboxes")
PROGRAMS = Path("/usr/local/lib/sandbox")
"""The folder with the programs of images/executor."""
_HOSTS = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"
_START_SECONDS = 30
"""After this time the start of a sandbox has failed."""
_REMOVALS, _REMOVAL_SECONDS = 100, 0.02
"""Attempts to remove a control group, and the pause between two: gVisor's own processes end a moment after PID 1."""
_COMPLAINT = 2048
"""Bytes kept of the error message of a runtime."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pattern:
    """What all sandboxes of this executor share.

    `roots` are the environments' root file systems, `apparmor` says whether the host has AppArmor's profiles, and
    `packages` is the store of the packages service, if there is one.
    """

    profile: SandboxProfile
    roots: Mapping[str, Path]
    runtime: str
    apparmor: bool
    packages: Path | None = None


@dataclass(frozen=True)
class Trial:
    """The stdout of the probe, the resources that it used, and its seconds of wall time."""

    said: str
    usage: cgroups.Usage
    seconds: float


class OciWorkshop:
    """A `Workshop`. Each sandbox has a slot of its own while it exists: a user id and device files."""

    def __init__(self, pattern: Pattern) -> None:
        self._pattern = pattern
        self._runtime = RUNTIMES[pattern.runtime]
        self._limits = cgroups.limits(pattern.profile, self._runtime.host_pids(pattern.profile.pids))
        self._free = list(range(devices.SLOTS))
        self._made: dict[str, OciSandbox] = {}
        self._state = FOLDER / "state"
        self._skeleton = FOLDER / "skeleton"

    def prepare(self) -> int:
        """Mount the folder of all sandboxes, and remove the control groups that an earlier executor has left.

        To be called once. Returns how many control groups were left; raises OSError.
        """
        left = cgroups.left_over()
        for name in left:
            cgroups.Group(name).remove()
        syscalls.mount("sandboxes", str(FOLDER), "tmpfs", syscalls.NOSUID | syscalls.NODEV, "mode=711,size=64m")
        self._state.mkdir()
        (self._skeleton / "etc").mkdir(parents=True)
        (self._skeleton / "etc/hosts").write_text(_HOSTS)
        (self._skeleton / "etc/resolv.conf").touch()
        for program in (bundle.INIT, bundle.PROBE):
            shutil.copy(PROGRAMS / program.lstrip("/"), self._skeleton)
        return len(left)

    def fits(self, execution: Execution) -> bool:
        """See `Workshop`."""
        environment = ENVIRONMENTS[execution.home]
        fixed = not (execution.args or execution.merge or execution.terminal or execution.packages)
        return fixed and execution.main_file == environment.main and environment.can_wait_for(execution.sources)

    async def make(self, environment: str, execution: Execution | None = None) -> OciSandbox:
        """See `Workshop`."""
        found = ENVIRONMENTS[environment]
        sandbox = self._reserve(environment)
        try:
            if execution and execution.packages:
                sandbox.packages = package_sets.hold(self._pattern.packages, execution)
            self._furnish(sandbox, environment)
            if execution is None:
                sandbox.await_code(found.main)
                main, args = found.main, tuple[str, ...]()
            else:
                sandbox.place(execution)
                main, args = execution.main_file, execution.args
            command = found.command(main, args, self._pattern.profile.memory_mb)
            await self._start(sandbox, command, found.variables, execution)
            await sandbox.ready()
            reap_orphans()  # crun leaves a process behind, which counts as one of the sandbox's until then
        except BaseException as error:
            await self.destroy(sandbox)
            if isinstance(error, OSError | CgroupError):
                raise EngineError(f"a sandbox could not be made: {error}") from error
            raise
        return sandbox

    async def probe(self, arguments: Sequence[str]) -> Trial:
        """Run images/executor/probe.c, which tries the limits of a sandbox from inside.

        Raises:
            EngineError: the sandbox could not be made.
            CgroupError: the host's control groups lack a limit.
        """
        environment = next(iter(self._pattern.roots))
        sandbox = self._reserve(environment)
        try:
            self._furnish(sandbox, environment)
            started = time.monotonic()
            await self._start(sandbox, [bundle.PROBE, *arguments])
            said = await sandbox.finish(_START_SECONDS)
            return Trial(said, sandbox.group.usage(), time.monotonic() - started)
        except OSError as error:
            raise EngineError(f"a sandbox could not be made: {error}") from error
        finally:
            await self.destroy(sandbox)

    async def destroy(self, sandbox: Sandbox) -> None:
        """See `Workshop`."""
        if found := self._made.pop(sandbox.id, None):
            with anyio.CancelScope(shield=True):
                await self._discard(found)

    async def remove_all(self) -> None:
        """See `Workshop`."""
        for sandbox in list(self._made.values()):
            await self.destroy(sandbox)

    def _reserve(self, environment: str) -> OciSandbox:
        if not self._free:
            raise EngineError(f"all {devices.SLOTS} slots for sandboxes are in use")
        identity = uuid.uuid4().hex
        group = cgroups.Group(identity)
        slot, own_kernel = self._free.pop(0), self._runtime.own_kernel
        sandbox = OciSandbox(identity, self._pattern.profile, slot, FOLDER / identity, group, own_kernel=own_kernel)
        self._made[identity] = sandbox
        return sandbox

    def _furnish(self, sandbox: OciSandbox, environment: str) -> None:
        """Make the file systems and the control group of a sandbox."""
        # One file system holds all files of the sandbox, and its root is mounted in it: one unmount removes everything.
        sandbox.folder.mkdir()
        closed = syscalls.NOSUID | syscalls.NODEV | syscalls.NOEXEC
        size = f"size={self._pattern.profile.tmp_mb}m"
        syscalls.mount("sandbox", str(sandbox.folder), "tmpfs", closed, f"mode=711,{size}")
        sandbox.root.mkdir()
        sandbox.tmp.mkdir()
        sandbox.tmp.chmod(0o1777)
        # Each root is an overlay of its own: sandboxes that share an inode could signal each other by its locks.
        # Packages come last: no file of theirs can take the place of one of the image's.
        layers = [self._skeleton, self._pattern.roots[environment]]
        if sandbox.packages:
            layers.append(sandbox.packages.layer)
        lower = f"lowerdir={':'.join(map(str, layers))}"
        syscalls.mount("root", str(sandbox.root), "overlay", syscalls.RDONLY | syscalls.NODEV, lower)
        sandbox.group.make(self._limits)

    async def _start(
        self,
        sandbox: OciSandbox,
        command: Sequence[str],
        variables: Mapping[str, str] = MappingProxyType({}),
        execution: Execution | None = None,
    ) -> None:
        terminal = execution.terminal if execution else None
        config = bundle.configuration(
            self._pattern.profile,
            command,
            variables,
            root=sandbox.root,
            tmp=sandbox.tmp,
            user=sandbox.user,
            own_kernel=self._runtime.own_kernel,
            terminal=terminal,
            apparmor=self._pattern.apparmor,
        )
        (sandbox.folder / "config.json").write_text(config)
        pipes = Pipes.merged() if terminal or (execution and execution.merge) else Pipes()
        try:
            await self._run(sandbox, pipes)
            # PID 1 of the sandbox was the runtime's child. The runtime has ended, so this process has inherited it: the
            # executor is PID 1 of its own namespace.
            sandbox.attach(Child(int((sandbox.folder / "pid").read_text())), pipes)
        except BaseException:
            pipes.close()
            raise

    async def _run(self, sandbox: OciSandbox, pipes: Pipes) -> None:
        """Run the runtime until it has started the sandbox, or raise EngineError with its message."""
        name, folder = self._pattern.runtime, sandbox.folder
        log = folder / "log"
        child = spawn(
            (
                *(str(PROGRAMS / "enter"), devices.folder_of(sandbox.slot)),
                *("" if self._runtime.own_kernel else bundle.SYSFS, *sandbox.group.entrances, "--"),
                *(name, *self._runtime.options, f"--root={self._state}", f"--log={log}", "run", "--detach"),
                *(*self._runtime.run_options, f"--pid-file={folder / 'pid'}", f"--bundle={folder}", sandbox.id),
            ),
            pipes,
        )
        try:
            with anyio.fail_after(_START_SECONDS):
                code = await child.wait()
        except TimeoutError as error:
            raise EngineError(f"{name} did not start a sandbox within {_START_SECONDS} s") from error
        finally:
            child.kill()
            with anyio.CancelScope(shield=True):
                await child.wait()
        if code:
            said = log.read_text() if log.exists() else ""
            written = pipes.take(STDERR, _COMPLAINT) or pipes.take(STDOUT, _COMPLAINT)
            said = (said or written.decode(errors="replace"))[-_COMPLAINT:].strip()
            raise EngineError(f"{name} could not start a sandbox: {said or f'exit code {code}'}")

    async def _discard(self, sandbox: OciSandbox) -> None:
        await sandbox.end()
        with contextlib.suppress(OSError):  # it was not mounted
            syscalls.unmount(str(sandbox.folder))
        with contextlib.suppress(FileNotFoundError):
            sandbox.folder.rmdir()
        if sandbox.packages:
            sandbox.packages.close()
        self._forget(sandbox)
        for _ in range(_REMOVALS):
            if sandbox.group.remove():
                reap_orphans()
                self._free.append(sandbox.slot)
                return
            await asyncio.sleep(_REMOVAL_SECONDS)
        _log.error("the control group of sandbox %s can't be removed: its slot is not used again", sandbox.id)

    def _forget(self, sandbox: OciSandbox) -> None:
        """Remove what the runtime has stored about the sandbox: a folder of crun's, or several files of gVisor's."""
        with os.scandir(self._state) as entries:
            kept = [entry for entry in entries if sandbox.id in entry.name]
        for entry in kept:
            if entry.is_dir():
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                Path(entry.path).unlink(missing_ok=True)
