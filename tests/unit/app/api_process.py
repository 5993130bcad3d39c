"""`python -m app.api` as a process of its own, with its log, its figures and its memory."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.app.fake_executor import FakeExecutor
from tools.machine.ports import free_port

START_SECONDS = 30
# All requests share one client: loading the TLS certificates takes 30 ms of CPU. It keeps no connection open, since
# the process at the other end may be a new one.
_CLIENT = httpx.Client(limits=httpx.Limits(max_keepalive_connections=0))


@dataclass(frozen=True)
class ApiProcess:
    """A running api. `process.stderr` is in the file `log`, since a pipe that nobody reads would stop it.

    `lines` and `figures` leave out the first `skipped` lines of the log and what the counters showed `before`.
    """

    process: "subprocess.Popen[bytes]"
    port: int
    metrics_port: int
    log: Path
    skipped: int = 0
    before: Mapping[tuple[str, ...], float] = field(default_factory=dict)

    def from_now(self) -> "ApiProcess":
        """The same process, with the log and the counters from now on."""
        all_of_it = replace(self, skipped=0, before={})
        return replace(self, skipped=len(all_of_it.lines), before=all_of_it.figures(""))

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The log so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines()[self.skipped :]]

    def forget_peak(self) -> None:
        """Reset the kernel's record of the peak memory."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    @property
    def peak_mb(self) -> float:
        """The most memory that it has held, in MB, since it was started or its peak was forgotten."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024

    def figures(self, prefix: str) -> dict[tuple[str, ...], float]:
        """The counters whose names begin with `prefix` and that aren't zero, by name and labels' values."""
        all_of_them = {key: value for key, value in self.gauges(prefix).items() if key[0].endswith("_total")}
        since = {key: value - self.before.get(key, 0) for key, value in all_of_them.items()}
        return {key: value for key, value in since.items() if value}

    def gauges(self, prefix: str) -> dict[tuple[str, ...], float]:
        """All figures whose names begin with `prefix`, as they are now, by name and labels' values."""
        exposition = _CLIENT.get(f"http://127.0.0.1:{self.metrics_port}/metrics").text
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(exposition)
            for sample in family.samples
            if sample.name.startswith(prefix)
        }


@contextlib.contextmanager
def process(**variables: str) -> Iterator["subprocess.Popen[str]"]:
    """The process with these variables; it may fail. Its stderr is a pipe."""
    with subprocess.Popen(_COMMAND, env=_environ(variables), stderr=subprocess.PIPE, text=True) as found:
        try:
            yield found
        finally:
            found.kill()


@contextlib.contextmanager
def running(executor: FakeExecutor, **variables: str) -> Iterator[ApiProcess]:
    """The api process in front of this executor. It answers when the block begins, and has ended after the block."""
    port, metrics_port = free_port(), free_port()
    given = {
        "API_EXECUTOR_SOCKET": str(executor.socket),
        "API_REQUESTS_PER_MINUTE": "100000",
        "API_PORT": str(port),
        "API_METRICS_PORT": str(metrics_port),
        **variables,
    }
    with tempfile.NamedTemporaryFile() as log, subprocess.Popen(_COMMAND, env=_environ(given), stderr=log) as found:
        try:
            wait_for(f"http://127.0.0.1:{port}/health")
            yield ApiProcess(found, port, metrics_port, Path(log.name))
        finally:
            found.kill()


def wait_for(url: str) -> httpx.Response:
    """The answer of a server that may still be starting."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return _CLIENT.get(url)
        except httpx.ConnectError:
            assert time.monotonic() < deadline, f"nothing answers at {url}"
            time.sleep(0.05)


_COMMAND = [sys.executable, "-m", "app.api"]


def _environ(variables: dict[str, str]) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "API_PROFILE": "{}", "API_HOST": "127.0.0.1", **variables}
