"""Loki and the collector in containers of their own, run as the stack runs them, and containers that write lines."""

import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import httpx
import yaml
from docker.models.containers import Container
from docker.types import LogConfig, Mount

from monitoring.collector import config as collector
from monitoring.loki import config as loki
from tools.machine.ports import free_port

MB = 1024**2
NANOSECONDS = 10**9
_PRINT = 'printf "%s\\n" "$@"'


@dataclass(frozen=True)
class Line:
    """A line as Loki has it. `at` is in nanoseconds since 1970."""

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


@dataclass
class LogPlatform:
    """One Loki, one collector, and a stack label that nothing else has. `folder` holds what they read of the host."""

    client: docker.DockerClient
    images: Mapping[str, str]
    folder: Path
    stack: str = field(default_factory=lambda: f"vps-test-logs-{secrets.token_hex(4)}")

    def __post_init__(self) -> None:
        self.host_logs = self.folder / "log"
        self.host_logs.mkdir()
        self.loki_port, self.collector_port = free_port(), free_port()
        self.api = httpx.Client(base_url=f"http://127.0.0.1:{self.loki_port}", timeout=20, trust_env=False)

    def start(self) -> "LogPlatform":
        self.client.networks.create(self.stack, labels={"vps.stack": self.stack})
        self.loki = self._service(
            "loki",
            ["/usr/bin/loki", f"-config.file={loki.CONFIG}/loki.yml"],
            {loki.CONFIG: ("loki.yml", loki.loki_config(360, compaction_seconds=1, deletion_seconds=1))},
            data=loki.DATA,
            user="10001:10001",
            mem_limit=256 * MB,
            environment={"GOMEMLIMIT": "200MiB"},
            tmpfs={"/tmp": "size=16m"},
            ports={f"{loki.PORT}/tcp": ("127.0.0.1", self.loki_port)},
        )
        self.collector = self.new_collector("collector", "http://loki:3100", self.collector_port)
        self.wait_until_ready()
        return self

    def new_collector(self, name: str, loki_url: str, metrics_port: int, **settings: int) -> Container:
        """A collector of this stack's lines."""
        root = self.client.info()["DockerRootDir"]
        return self._service(
            name,
            ["/otelcol-contrib", f"--config={collector.CONFIG}/collector.yml"],
            {collector.CONFIG: ("collector.yml", collector.collector_config(self.stack, loki_url, **settings))},
            data=collector.STORAGE,
            user="0:4",
            mem_limit=128 * MB,
            environment={"GOMEMLIMIT": "100MiB"},
            binds={f"{root}/containers": collector.CONTAINERS, str(self.host_logs): collector.HOST_LOGS},
            ports={f"{collector.METRICS_PORT}/tcp": ("127.0.0.1", metrics_port)},
        )

    def wait_until_ready(self) -> None:
        assert wait_for(lambda: self._answers(f"{self.api.base_url}/ready"), 20), self.loki.logs(tail=20).decode()
        metrics = f"http://127.0.0.1:{self.collector_port}/metrics"
        assert wait_for(lambda: self._answers(metrics), 20), self.collector.logs(tail=20).decode()

    def write(
        self, service: str, *lines: str, stack: str | None = None, script: str = 'printf "%s\\n" "$@"'
    ) -> Container:
        """A container of a service that writes these lines and ends; `script` is Bash with the lines as arguments."""
        return self.client.containers.run(
            self.images["sandbox-bash"],
            ["bash", "-c", script, "writer", *lines],
            detach=True,
            network_mode="none",
            labels={"vps.service": service, "vps.stack": stack or self.stack, "vps.test": self.stack},
            log_config=LogConfig(type="json-file", config={"labels": "vps.service,vps.stack"}),
        )

    def lines(self, query: str, at: float | None = None) -> list[Line]:
        """What Loki has of a query in the 30 minutes around a moment (seconds since 1970), in the order of time."""
        around = at or time.time()
        answer = self.api.get(
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
        """Give Loki a line of any age, in seconds since 1970."""
        values = [[str(int(at * NANOSECONDS)), line]]
        self.api.post("/loki/api/v1/push", json={"streams": [{"stream": labels, "values": values}]}).raise_for_status()

    def metric(self, name: str, port: int) -> float:
        """The sum of a metric over its labels, as the program at this port reports it; 0 where it has none yet."""
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=5, trust_env=False).text
        samples = (line for line in text.splitlines() if line.startswith((f"{name}{{", f"{name} ")))
        return sum(float(sample.rpartition(" ")[2]) for sample in samples)

    def stop(self) -> None:
        """Remove every container, volume and network of it, whatever has been made so far."""
        for label in ("vps.stack", "vps.test"):
            for container in self.client.containers.list(all=True, filters={"label": f"{label}={self.stack}"}):
                container.remove(force=True)
        for volume in self.client.volumes.list(filters={"label": f"vps.stack={self.stack}"}):
            volume.remove()
        for network in self.client.networks.list(filters={"label": f"vps.stack={self.stack}"}):
            network.remove()
        self.api.close()

    def _service(
        self,
        name: str,
        command: Sequence[str],
        config: dict[str, tuple[str, dict[str, Any]]],
        data: str,
        binds: dict[str, str] | None = None,
        **options: Any,
    ) -> Container:
        volume = self.client.volumes.create(f"{self.stack}-{name}", labels={"vps.stack": self.stack})
        mounts = [Mount(data, volume.name)]
        binds = dict(binds or {})
        for directory, (file, content) in config.items():
            folder = self.folder / name
            folder.mkdir()
            (folder / file).write_text(yaml.safe_dump(content))
            binds[str(folder)] = directory
        mounts += [Mount(target, source, type="bind", read_only=True) for source, target in binds.items()]
        return self.client.containers.run(
            self.images[name.partition("-")[0]],
            entrypoint=list(command),
            name=f"{self.stack}-{name}",
            hostname=name,
            detach=True,
            network=self.stack,
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges:true"],
            memswap_limit=options["mem_limit"],
            mounts=mounts,
            labels={"vps.stack": self.stack, "vps.service": name},
            **options,
        )

    def _answers(self, url: str) -> bool:
        try:
            return httpx.get(url, timeout=2, trust_env=False).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False


def json_line(**fields: Any) -> str:
    """A line as the api and the executor write it."""
    return json.dumps(fields)
