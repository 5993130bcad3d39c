"""The engine that makes each sandbox with the Docker Engine, on demand."""

import asyncio
import contextlib
import logging
import math
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import requests
from docker import APIClient
from docker.errors import APIError, DockerException, NotFound
from docker.types import LogConfig

from app.environments import ENVIRONMENTS
from app.executor.attachment import Attachment
from app.executor.engine import EngineError, Outcome
from app.executor.transcript import Recorder
from app.profile import SandboxProfile
from app.protocol import Execution, Status

T = TypeVar("T")

_log = logging.getLogger(__name__)

_LOADER = 'read -r size && head -c "$size" >"$0" && exec "$@"'
"""Run by the sandbox's shell: the code's length in bytes on a line, the code, and the rest is the visitor's stdin.

So the code is in no argument and no variable, which the engine would keep and show.
"""

_ENVIRON = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8"}  # noqa: S108
_MB = 1024 * 1024
_CALL_SECONDS = 30
"""The longest that one call of the engine may take."""
_PING_SECONDS = 3
_CLOSE_SECONDS = 5
_LOST_LIMIT = ("discarded", "without swap")
"""What the engine's warnings say of a limit that the host's kernel can't hold."""


@dataclass(frozen=True)
class DockerSandboxes:
    """What all sandboxes of this executor have in common. `images` is by environment."""

    profile: SandboxProfile
    images: Mapping[str, str]
    stack: str
    runtime: str


class DockerEngine:
    """An `Engine` on the Docker Engine's API. The blocking client works in threads, the streams on the event loop."""

    def __init__(self, client: APIClient, sandboxes: DockerSandboxes) -> None:
        self._client = client
        self._sandboxes = sandboxes
        self._owned: set[str] = set()
        self._idle = asyncio.Event()
        self._closed = False

    @classmethod
    async def connect(cls, url: str, sandboxes: DockerSandboxes) -> "DockerEngine":
        """An engine that answered at `url`, or `EngineError`."""
        client = await _call(lambda: APIClient(base_url=url, version="auto", timeout=_CALL_SECONDS))
        return cls(client, sandboxes)

    @property
    def active(self) -> int:
        """See `Engine`."""
        return len(self._owned)

    async def run(self, execution_id: str, execution: Execution) -> Outcome:
        """See `Engine`."""
        async with self._sandbox(execution_id, execution) as name:
            attachment = await _call(lambda: self._attach(name))
            try:
                self._refuse_if_closed()
                await _call(lambda: self._client.start(name))
                return await self._watch(name, attachment, execution)
            finally:
                attachment.close()

    async def ping(self) -> None:
        """See `Engine`."""
        with anyio.move_on_after(_PING_SECONDS):
            await _call(self._client.ping, abandon=True)
            return
        raise EngineError(f"the engine has not answered for {_PING_SECONDS} s")

    async def sweep(self) -> int:
        """See `Engine`."""
        return await self._remove_all(but=self._owned)

    async def close(self) -> None:
        """See `Engine`."""
        # A sandbox created before this line is found below; a later one is not started.
        self._closed = True
        await self._remove_all(but=set())
        if self._owned:
            with anyio.move_on_after(_CLOSE_SECONDS):
                await self._idle.wait()

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise EngineError("the executor is stopping")

    @contextlib.asynccontextmanager
    async def _sandbox(self, execution_id: str, execution: Execution) -> AsyncIterator[str]:
        """The name of a sandbox that is created, not started, and removed whatever happens."""
        name = f"{self._sandboxes.stack}-sandbox-{execution_id}"
        self._owned.add(execution_id)
        self._idle.clear()
        try:
            await _call(lambda: self._create(name, execution_id, execution))
            yield name
        finally:
            with anyio.CancelScope(shield=True):
                try:
                    await _call(lambda: self._remove(name))
                except EngineError as error:
                    _log.warning("sandbox %s is left for the next sweep: %s", name, error)
            self._owned.discard(execution_id)
            if not self._owned:
                self._idle.set()

    def _create(self, name: str, execution_id: str, execution: Execution) -> None:
        environment = ENVIRONMENTS[execution.environment]
        profile = self._sandboxes.profile
        answer = self._client.create_container(
            image=self._sandboxes.images[environment.name],
            entrypoint=["sh", "-c", _LOADER, environment.code_path],
            command=[*environment.command(profile.memory_mb), *execution.args],
            name=name,
            hostname="sandbox",
            user=profile.user,
            working_dir="/tmp",  # noqa: S108 - a path inside the sandbox
            environment=_ENVIRON,
            stdin_open=True,
            network_disabled=profile.network == "none",
            labels={"vps.stack": self._sandboxes.stack, "vps.sandbox": execution_id},
            use_config_proxy=False,
            host_config=self._host_config(profile),
        )
        lost = [warning for warning in answer.get("Warnings") or () if any(word in warning for word in _LOST_LIMIT)]
        if lost:
            raise EngineError(f"the host can't hold the profile: {' '.join(lost)} Enable it in the host's kernel.")

    def _host_config(self, profile: SandboxProfile) -> dict[str, Any]:
        return self._client.create_host_config(
            runtime=self._sandboxes.runtime,
            network_mode=profile.network,
            # Without it a read-only sandbox would still have a writable /dev/shm of 64 MB.
            ipc_mode="none",
            read_only=profile.read_only_root,
            # No native program can be brought in: what an interpreter reads from /tmp still runs.
            # Message queues are files too, outside of /tmp's size: an empty read-only folder takes their place.
            tmpfs={
                "/tmp": f"rw,noexec,nosuid,nodev,size={profile.tmp_mb}m,mode=1777",  # noqa: S108
                "/dev/mqueue": "ro,noexec,nosuid,nodev,size=4k",
            },
            cap_drop=list(profile.cap_drop),
            security_opt=["no-new-privileges:true"] if profile.no_new_privileges else [],
            pids_limit=profile.pids,
            nano_cpus=int(profile.cpus * 1_000_000_000),
            mem_limit=profile.memory_mb * _MB,
            memswap_limit=(profile.memory_mb + profile.swap_mb) * _MB,
            # The engine's log files are outside every limit. The attached streams are read, up to a limit.
            log_config=LogConfig(type="none"),
        )

    def _attach(self, name: str) -> Attachment:
        stream = self._client.attach_socket(name, {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
        return Attachment(socket.socket(fileno=os.dup(stream.fileno())))

    async def _watch(self, name: str, attachment: Attachment, execution: Execution) -> Outcome:
        """Feed the sandbox that has just been started, and read it until it ends or meets a limit."""
        profile = self._sandboxes.profile
        recorder = Recorder(profile.output_kb * 1024)
        code = execution.code.encode()
        payload = b"%d\n%b%b" % (len(code), code, execution.stdin.encode())
        started = time.monotonic()
        status, exit_code = Status.TIMEOUT, None
        with anyio.move_on_after(execution.timeout or profile.timeout_seconds):
            await _converse(attachment, payload, recorder)
            if recorder.truncated:
                status = Status.OUTPUT_LIMIT
            else:
                # Code can close its streams and go on, so the end of the output is not the end of the run.
                await _call(
                    lambda: self._client.wait(name, timeout=math.ceil(profile.timeout_seconds) + 1), abandon=True
                )
                status, exit_code = await self._ending(name)
        return Outcome(status, exit_code, recorder.transcript(), time.monotonic() - started)

    async def _ending(self, name: str) -> tuple[Status, int]:
        state = (await _call(lambda: self._client.inspect_container(name)))["State"]
        # A sandbox that `close` killed did not end by itself.
        self._refuse_if_closed()
        exit_code = int(state["ExitCode"])
        if exit_code == 0:
            # The kernel may still have killed a child for its memory: the code coped, so it is no failure.
            return Status.SUCCESS, exit_code
        return (Status.MEMORY_LIMIT if state["OOMKilled"] else Status.ERROR), exit_code

    async def _remove_all(self, but: set[str]) -> int:
        labels = [f"vps.stack={self._sandboxes.stack}", "vps.sandbox"]
        found = await _call(lambda: self._client.containers(all=True, filters={"label": labels}))
        doomed = [sandbox["Id"] for sandbox in found if sandbox["Labels"]["vps.sandbox"] not in but]
        for identity in doomed:
            await _call(partial(self._remove, identity))
        return len(doomed)

    def _remove(self, name: str) -> None:
        """Kill and remove. One that is gone, or that another call is removing, is what was asked for."""
        try:
            self._client.remove_container(name, v=True, force=True)
        except NotFound:
            pass
        except APIError as error:
            if error.status_code != 409:
                raise


async def _converse(attachment: Attachment, payload: bytes, recorder: Recorder) -> None:
    """Send all, and record until the output ends or is more than fits."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(attachment.send, payload)
        async with contextlib.aclosing(attachment.receive()) as pieces:
            async for stream, piece in pieces:
                recorder.write(stream, piece)
                if recorder.truncated:
                    break
        tasks.cancel_scope.cancel()


async def _call(function: Callable[[], T], abandon: bool = False) -> T:
    """The result of a blocking call of the engine, made in a thread. Any failure is an `EngineError`."""
    try:
        return await anyio.to_thread.run_sync(function, abandon_on_cancel=abandon)
    except APIError as error:
        raise EngineError(f"the engine refused: {error.explanation or error}") from error
    except (DockerException, requests.RequestException, OSError) as error:
        raise EngineError(f"the engine can't be reached: {error}") from error
