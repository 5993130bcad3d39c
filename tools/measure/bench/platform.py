"""The platform that is measured: a stack of the real program, and the addresses at which it answers."""

import secrets
import tempfile
import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import docker

from infra.service import SERVICE_LABEL
from infra.services.prometheus import PORT as PROMETHEUS_PORT
from infra.services.sandbox import API_PORT
from tools.console.steps import Report, StepFailed
from tools.machine.ports import free_port
from tools.machine.preparation import Preparation
from tools.measure.bench import machine, pool
from tools.measure.bench.client import Client, Lost, tcp, unix
from tools.measure.bench.ways import HELLO, Requested
from tools.stack import docker_objects, health
from tools.stack.config import ONLY_CORE
from tools.stack.docker_objects import SANDBOX_LABEL
from tools.stack.local_stack import Stack

_SECONDS_TO_SETTLE = 60
_CALM = 0.05
"""Seconds to wait after the pool is idle, because Docker still works then."""
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

    @cached_property
    def _engine(self) -> docker.DockerClient:
        return self._preparation.engine.client()

    @cached_property
    def _stack(self) -> Stack:
        name = f"bench-{secrets.token_hex(3)}"
        overrides = {
            "edge": {"http_port": self._port},
            "sandbox": {"requests_per_minute": _NO_LIMIT},
            "services": self._services,
        }
        home = Path(self._home.name) / name
        return Stack(self._preparation.toolchain, self._preparation.engine, name, home, overrides=overrides)

    @property
    def label(self) -> str:
        """The value of the stack's label on its containers, networks and volumes."""
        return self._stack.prefix

    def up(self, report: Report) -> str:
        """Bring it up, until a hello is answered through the edge."""
        self._stack.configure(self._preparation.images, report)
        self._stack.up(report)
        health.wait(self._preparation.engine, self.label, f"http://localhost:{self._port}", report)
        self.edge.hello("python")
        return f"{self.label} on port {self._port}"

    @cached_property
    def edge(self) -> Requested:
        """The address that visitors use."""
        return Requested("edge", Client(tcp("127.0.0.1", self._port)))

    @cached_property
    def api(self) -> Requested:
        """The api's own address, on its network."""
        return Requested("api", self._client("api", API_PORT))

    @cached_property
    def executor(self) -> Requested:
        """The executor's socket, in its volume."""
        mounts = self._service("executor")["Mounts"]
        volume = next(Path(it["Source"]) for it in mounts if it["Type"] == "volume")
        client = Client(unix(volume / "executor.sock"))
        try:
            client.get("/health")
        except Lost as error:
            raise StepFailed(
                f"The executor's socket {volume} can't be used from here: {error}.",
                "Run this as root, on the machine of the engine.",
            ) from error
        return Requested("executor", client)

    @cached_property
    def environments(self) -> tuple[str, ...]:
        """The environments that it serves and that have a hello."""
        served = {it["name"] for it in self.edge.client.get("/environments").content["environments"]}
        return tuple(name for name in HELLO if name in served)

    def sandboxes(self) -> Mapping[str, Mapping[str, Any]]:
        """A ready sandbox of each environment, as Docker inspects it."""
        references = self._preparation.images.sandboxes()
        images = {self._engine.images.get(references[name]).id: name for name in self.environments}
        return {images[it["Image"]]: it for it in self._ready() if it["Image"] in images}

    def settle(self) -> None:
        """Wait until the pool is full and no sandbox is created or removed."""
        pool.settle(self.executor.client, _SECONDS_TO_SETTLE, f"`docker logs {self.label}-executor` tells why.")
        time.sleep(_CALM)

    def memory_peak(self, environment: str) -> int | None:
        """The peak memory of a hello's sandbox in bytes; None if the kernel does not tell."""
        answer = self.executor.client.execute({"environment": environment, "code": HELLO[environment][-1]})
        peak: int | None = answer.content["memory_peak"]
        return peak

    def services(self) -> Mapping[str, Any]:
        """The containers of its services, by name."""
        label = [f"vps.stack={self.label}", "vps.role=service"]
        found = self._engine.containers.list(filters={"label": label})
        return {str(it.labels[SERVICE_LABEL]): it for it in found}

    def series(self) -> int:
        """The number of series of which Prometheus has a recent sample."""
        answer = (
            self._client("prometheus", PROMETHEUS_PORT)
            .get("/api/v1/query?query=" + quote('count({__name__=~".+"})'))
            .content
        )
        return int(answer["data"]["result"][0]["value"][1])

    def service_pids(self, service: str) -> tuple[int, ...]:
        """The process ids of a service."""
        return self._pids(self._service(service)["Id"])

    def pool_pids(self) -> Mapping[str, tuple[int, ...]]:
        """The process ids of each ready sandbox, with that of its containerd shim first, by container id."""
        return {it["Id"]: (machine.parent(it["State"]["Pid"]), *self._pids(it["Id"])) for it in self._ready()}

    def close(self) -> None:
        """Remove everything of it. The services go first, because the executor would replace sandboxes."""
        client = self._engine
        for container in self.services().values():
            container.remove(v=True, force=True)
        docker_objects.remove_volumes(client, docker_objects.remove_all(client, self.label))
        self._home.cleanup()

    def _ready(self) -> list[Mapping[str, Any]]:
        label = [f"vps.stack={self.label}", SANDBOX_LABEL]
        return [it.attrs for it in self._engine.containers.list(filters={"label": label})]

    def _client(self, service: str, port: int) -> Client:
        networks = self._service(service)["NetworkSettings"]["Networks"].values()
        return Client(tcp(next(it["IPAddress"] for it in networks), port))

    def _service(self, name: str) -> dict[str, Any]:
        attributes: dict[str, Any] = self._engine.containers.get(f"{self.label}-{name}").attrs
        return attributes

    def _pids(self, container: str) -> tuple[int, ...]:
        return tuple(int(process[1]) for process in self._engine.api.top(container, "-ef")["Processes"])
