"""The platform that is measured: a stack of the real program, and the addresses at which it answers."""

import contextlib
import secrets
import subprocess
import tempfile
import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import docker

from infra.service import ROLE_LABEL, SERVICE_LABEL, STACK_LABEL
from infra.services.prometheus import PORT as PROMETHEUS_PORT
from tools.build.images import ROOTS
from tools.console.steps import Report, StepFailed
from tools.machine import docker_bridge
from tools.machine.ports import free_port
from tools.machine.preparation import Preparation
from tools.measure.bench import pool
from tools.measure.bench.client import Client, Lost
from tools.measure.bench.ways import BY_AGENT, COMPARED, PACKAGED, TO_ORDER, WAITING, ByAgent, Requested
from tools.measure.package_index import Index, serving
from tools.stack import docker_objects, health
from tools.stack.config import ONLY_CORE
from tools.stack.local_stack import Stack

_SECONDS_TO_SETTLE = 60
_CALM = 0.05
"""Seconds to wait after the pool is idle, because the kernel still cleans up then."""
_NO_LIMIT = 1_000_000


class BenchStack:
    """A stack with another name and port, and without a rate limit. A stack that runs beside it is not touched."""

    SCRAPE_SECONDS = 5

    def __init__(self, preparation: Preparation, *, whole: bool = False) -> None:
        """With `whole`, it has all services, else only those that the API needs."""
        self._preparation = preparation
        self._services = {"prometheus": {"scrape_seconds": self.SCRAPE_SECONDS}} if whole else ONLY_CORE
        self._home = tempfile.TemporaryDirectory(prefix="vps-bench-")
        self._port = free_port()
        # Like a server's own: requests to the loopback address would pass through Docker's proxy, which servers don't
        # run (infra/host/host.py), and take half a millisecond there.
        self._host = docker_bridge.address(self._engine)
        client = Client((self._host, self._port))
        self.edge = Requested(WAITING, client)
        self.made_to_order = Requested(TO_ORDER, client, args=("1",))
        self.by_agent = ByAgent(BY_AGENT, client)
        self._client = client
        self._running = contextlib.ExitStack()

    @cached_property
    def _engine(self) -> docker.DockerClient:
        return self._preparation.engine.client()

    @cached_property
    def _stack(self) -> Stack:
        name = f"bench-{secrets.token_hex(3)}"
        overrides = {
            "edge": {"http_port": self._port, "ipv4": self._host, "api_hosts": ["localhost", self._host]},
            "sandbox": {
                "requests_per_minute": _NO_LIMIT,
                "mcp": True,
                "packages": {"index": self.index.url, "sets_per_hour": _NO_LIMIT},
            },
            "services": self._services,
        }
        home = Path(self._home.name) / name
        return Stack(self._preparation.toolchain, name, self._preparation.engine, home=home, overrides=overrides)

    @cached_property
    def index(self) -> Index:
        """A package index that its containers reach."""
        return self._running.enter_context(serving(self._host))

    def with_package(self, name: str) -> Requested:
        """Executions with a package of the index, which is added to it."""
        self.index.package(name)
        return Requested(PACKAGED, self._client, packages=(name,))

    @property
    def label(self) -> str:
        """The value of the stack's label on its containers, networks and volumes."""
        return self._stack.prefix

    def up(self, report: Report) -> str:
        """Bring it up, until a hello is answered through the edge."""
        self._stack.configure(self._preparation.images, report)
        self._stack.up(report)
        health.wait(self._preparation.engine, self.label, f"http://{self._host}:{self._port}", report)
        self.edge.hello(COMPARED)
        return f"{self.label} on port {self._port}"

    @cached_property
    def _executor(self) -> Client:
        """At the executor's socket, in its volume."""
        mounts = self.services()["executor"].attrs["Mounts"]
        volume = next(Path(it["Source"]) for it in mounts if it["Destination"] == "/run/executor")
        client = Client(volume / "executor.sock")
        try:
            client.get("/health")
        except Lost as error:
            raise StepFailed(
                f"The executor's socket {volume} can't be used from here: {error}.",
                "Run this as root, on the machine of the engine.",
            ) from error
        return client

    def copy_root(self, environment: str) -> Path:
        """A copy of an environment's root file system, from the executor's container."""
        folder = Path(self._home.name, "roots")
        folder.mkdir()
        archive, _ = self.services()["executor"].get_archive(f"{ROOTS}/{environment}")
        with subprocess.Popen(["tar", "-x", "-C", str(folder)], stdin=subprocess.PIPE) as tar:
            for chunk in archive:
                tar.stdin.write(chunk)  # type: ignore[union-attr] # a pipe, by the arguments above
        return folder / environment

    def settle(self) -> int:
        """Wait until the pool is full and no sandbox is created or removed. Returns the number of ready sandboxes."""
        ready = pool.settle(self._executor, _SECONDS_TO_SETTLE, "the log of its container tells why.")
        time.sleep(_CALM)
        return ready

    def services(self) -> Mapping[str, Any]:
        """The containers of its services, by name."""
        label = [f"{STACK_LABEL}={self.label}", f"{ROLE_LABEL}=service"]
        found = self._engine.containers.list(filters={"label": label})
        return {str(it.labels[SERVICE_LABEL]): it for it in found}

    def series(self) -> int:
        """The number of series of which Prometheus has a recent sample."""
        networks = self.services()["prometheus"].attrs["NetworkSettings"]["Networks"].values()
        prometheus = Client((next(it["IPAddress"] for it in networks), PROMETHEUS_PORT))
        answer = prometheus.get("/api/v1/query?query=" + quote('count({__name__=~".+"})')).content
        return int(answer["data"]["result"][0]["value"][1])

    def close(self) -> None:
        """Remove everything of it."""
        docker_objects.remove_volumes(self._engine, docker_objects.remove_all(self._engine, self.label))
        self._running.close()
        self._home.cleanup()


def processes(container: Any) -> Mapping[int, str]:
    """The processes of a container, those of all sandboxes too: the commands by process id."""
    return {int(pid): command for pid, command in container.top(ps_args="-eo pid,args")["Processes"]}


def used(container: Any) -> tuple[float, int]:
    """A container's CPU seconds so far and bytes of memory now. An executor's are those of all its sandboxes too."""
    counted = container.stats(stream=False, one_shot=True)
    memory = counted["memory_stats"]
    # The kernel can drop unused file cache at once. It is named so by cgroup v2, and `total_...` by v1.
    cache = memory["stats"].get("total_inactive_file", memory["stats"].get("inactive_file", 0))
    return counted["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9, memory["usage"] - cache
