"""Loki and the collector as the program declares them, and containers that write lines."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from docker.models.containers import Container
from docker.types import LogConfig

from tests.declared import DeclaredServices
from tools.machine.preparation import Preparation

NANOSECONDS = 10**9
_HOST_LOGS = "/var/log"
_OF_TEST = "vps.test"
# The port of /metrics; Loki serves all else on it too.
_PORTS = {"loki": 3100, "collector": 8888}


@dataclass(frozen=True)
class Line:
    """A line as Loki returns it. `at` is in nanoseconds since 1970."""

    text: str
    at: int
    labels: dict[str, str]
    metadata: dict[str, str]


def wait_for(what: Callable[[], Any], seconds: float = 10) -> Any:
    """The first truthy answer, else the last one."""
    deadline = time.monotonic() + seconds
    while not (answer := what()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return answer


class LogPlatform:
    """Loki and the collector of one test stack. `host_logs` is mounted in place of the host's /var/log."""

    def __init__(self, prepared: Preparation, folder: Path) -> None:
        self.host_logs = folder
        self.services = DeclaredServices(prepared, host_paths={_HOST_LOGS: str(folder)})
        self.running: dict[str, Container] = {}
        self._writers_image = prepared.images.references["sandbox-bash"]

    def start(self, *services: str) -> "LogPlatform":
        """Start these, and wait until they answer."""
        self.running = {service: self.services.start(service) for service in services}
        self.wait_until_ready()
        return self

    def wait_until_ready(self) -> None:
        """Wait until each service answers. Needed after a restart."""
        for service, container in self.running.items():
            assert wait_for(lambda: self._answers(service), 20), container.logs(tail=20).decode()  # noqa: B023 - at once

    def get(self, path: str, service: str = "loki", **options: Any) -> httpx.Response:
        """The answer of Loki, or of the collector, to a GET."""
        return httpx.get(self._url(service, path), timeout=20, trust_env=False, **options)

    def post(self, path: str, **options: Any) -> None:
        """POST to Loki, which must accept it."""
        httpx.post(self._url("loki", path), timeout=20, trust_env=False, **options).raise_for_status()

    def write(
        self, service: str, *lines: str, stack: str | None = None, script: str = 'printf "%s\\n" "$@"'
    ) -> Container:
        """A container of a service that writes these lines and ends; `script` is Bash with the lines as arguments."""
        return self.services.client.containers.run(
            self._writers_image,
            ["bash", "-c", script, "writer", *lines],
            detach=True,
            network_mode="none",
            labels={"vps.service": service, "vps.stack": stack or self.services.prefix, _OF_TEST: self.services.prefix},
            log_config=LogConfig(type="json-file", config={"labels": self.services.inputs("api")["logOpts"]["labels"]}),
        )

    def lines(self, query: str, at: float | None = None) -> list[Line]:
        """The lines of a query within 15 minutes of `at` (seconds since 1970; now by default), in order of time."""
        around = at or time.time()
        answer = self.get(
            "/loki/api/v1/query_range",
            params={"query": query, "start": around - 900, "end": around + 900, "limit": 5000, "direction": "forward"},
            headers={"X-Loki-Response-Encoding-Flags": "categorize-labels"},
        )
        assert answer.status_code == httpx.codes.OK, answer.text
        found = [
            Line(value[1], int(value[0]), stream["stream"], value[2].get("structuredMetadata", {}))
            for stream in answer.json()["data"]["result"]
            for value in stream["values"]
        ]
        return sorted(found, key=lambda line: line.at)

    def push(self, line: str, at: float, **labels: str) -> None:
        """Push a line to Loki with a time in seconds since 1970."""
        values = [[str(int(at * NANOSECONDS)), line]]
        self.post("/loki/api/v1/push", json={"streams": [{"stream": labels, "values": values}]})

    def metric(self, name: str, service: str = "collector") -> float:
        """The sum of a metric over its labels, as the service reports it; 0 where it has none yet."""
        text = self.get("/metrics", service).text
        samples = (line for line in text.splitlines() if line.startswith((f"{name}{{", f"{name} ")))
        return sum(float(sample.rpartition(" ")[2]) for sample in samples)

    def in_volume(self, service: str, path: str, command: str) -> str:
        """What a shell command prints in the volume that a service has at a path."""
        said: bytes = self.services.client.containers.run(
            self._writers_image,
            ["-c", command],
            entrypoint="sh",
            user="0:0",
            network_mode="none",
            working_dir=path,
            remove=True,
            volumes={self.services.volume(service, path): {"bind": path, "mode": "rw"}},
        )
        return said.decode()

    def stop(self) -> None:
        """Remove every container, volume and network made so far."""
        mine: dict[str, str | list[str] | bool] = {"label": f"{_OF_TEST}={self.services.prefix}"}
        for container in self.services.client.containers.list(all=True, filters=mine):
            container.remove(force=True)
        self.services.remove()

    def _url(self, service: str, path: str) -> str:
        return f"http://{self.services.address(service)}:{_PORTS[service]}{path}"

    def _answers(self, service: str) -> bool:
        try:
            return self.get("/ready" if service == "loki" else "/metrics", service).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False


def json_line(**fields: Any) -> str:
    """A line as the api and the executor write it."""
    return json.dumps(fields)
