"""The api as a process and the executor in its container, joined by a Unix socket, with real sandboxes."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from websockets.exceptions import ConnectionClosedOK
from websockets.sync.client import ClientConnection, unix_connect

from app.profile import FLOOR
from app.runtimes import DEFAULT_RUNTIME
from tests.sandbox.executor import Executor, Host
from tests.waiting import SLOWNESS, until
from tools.machine.ports import free_port

ROOT = Path(__file__).parents[2]
RUNTIME = os.environ.get("VPS_SANDBOX_RUNTIME", DEFAULT_RUNTIME)
"""The OCI runtime that holds the sandboxes under test."""
START_SECONDS = 60
ANSWER_SECONDS = 10 * SLOWNESS
"""Within which a request that runs no code is answered, and a frame of a stream comes that code sends at once."""

Answer = dict[str, Any]


class Process:
    """A process of the app, which logs to a file."""

    def __init__(self, module: str, variables: Mapping[str, str], log: Path) -> None:
        self._log = log
        with log.open("ab") as stream:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module],
                cwd=ROOT,
                env={"PATH": os.environ["PATH"], **variables},
                stdout=stream,
                stderr=stream,
            )

    def signal(self, number: signal.Signals) -> float:
        """Send a signal, wait for the process to end (SIGKILL after 20 s), and return the seconds that it took."""
        started = time.monotonic()
        if self._process.poll() is None:
            self._process.send_signal(number)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        return time.monotonic() - started

    def log(self) -> str:
        """What it has logged."""
        return self._log.read_text()

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process.poll() is None


class Platform:
    """An api and an executor, and a packages service if a variable of it is given.

    `name` is the container's; `variables` are environment variables of these processes. `environments` are the
    names of the environments that the executor serves, `image` is the executor's if not the usual one.
    """

    def __init__(
        self,
        host: Host,
        name: str,
        environments: Sequence[str],
        folder: Path,
        *,
        image: str = "",
        **variables: str,
    ) -> None:
        folder.mkdir()
        self._folder = folder
        executor_variables = {
            "EXECUTOR_PROFILE": "{}",
            "EXECUTOR_ENVIRONMENTS": json.dumps(environments),
            "EXECUTOR_RUNTIME": RUNTIME,
            "EXECUTOR_QUEUE_SECONDS": "60",
            "EXECUTOR_POOLS": json.dumps({name: {"min": 1, "max": 3} for name in environments}),
            **{name: value for name, value in variables.items() if name.startswith("EXECUTOR_")},
        }
        self.executor = Executor(host, name, folder / "run", executor_variables, image)
        self._profile = executor_variables["EXECUTOR_PROFILE"]
        self._api_variables = {name: value for name, value in variables.items() if name.startswith("API_")}
        self._packages_variables = {name: it for name, it in variables.items() if name.startswith("PACKAGES_")}
        self._port = free_port()
        self.api: Process | None = None
        self.packages: Process | None = None
        self.store = folder / "store"
        if self._packages_variables:
            self.store.mkdir()
            self.executor.packages = self.store

    @property
    def url(self) -> str:
        """The base URL of the api."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> "Platform":
        """Start both processes, and wait until they are healthy."""
        self.executor.start()
        if self._packages_variables:
            self.start_packages()
        self.start_api()
        self.wait_until_well()
        return self

    def start_packages(self) -> Process:
        """Start the packages service, and wait until its socket is there."""
        self._packages_socket.unlink(missing_ok=True)
        variables = {
            "PACKAGES_STORE": str(self.store),
            "PACKAGES_SOCKET": str(self._packages_socket),
            **self._packages_variables,
        }
        self.packages = started = Process("app.packages", variables, self._folder / "packages.log")
        until(self._packages_socket.exists, START_SECONDS, f"a packages service; see {self._folder}")
        return started

    @property
    def _packages_socket(self) -> Path:
        return self._folder / "packages.sock"

    def start_api(self) -> Process:
        """Start the api; don't wait until it is healthy."""
        variables = {
            "API_PROFILE": self._profile,
            "API_EXECUTOR_SOCKET": str(self.executor.socket),
            "API_HOST": "127.0.0.1",
            "API_PORT": str(self._port),
            "API_METRICS_PORT": str(free_port()),
            "API_REQUESTS_PER_MINUTE": "100000",
            **self._api_variables,
        }
        if self._packages_variables:
            variables |= {"API_PACKAGES": "{}", "API_PACKAGES_SOCKET": str(self._packages_socket)}
        self.api = Process("app.api", variables, self._folder / "api.log")
        return self.api

    def wait_until_well(self) -> None:
        """Wait until GET /health answers 200."""
        until(self._well, START_SECONDS, f"a healthy platform; see {self._folder}")

    def stop(self) -> None:
        """Stop both, and remove the executor's container."""
        self.stop_processes()
        self.executor.remove()

    def stop_processes(self) -> None:
        """Stop all."""
        for process in (self.api, self.packages):
            if process is not None:
                process.signal(signal.SIGTERM)
        self.executor.signal(signal.SIGTERM)

    @contextlib.contextmanager
    def stream(self, environment: str, code: str, **more: object) -> Iterator["Stream"]:
        """A stream of the executor, after its `Start` frame was sent."""
        with self.connect() as stream:
            stream.send("start", environment=environment, code=code, **_with_time(more))
            yield stream

    @contextlib.contextmanager
    def connect(self) -> Iterator["Stream"]:
        """A stream of the executor, before its `Start` frame."""
        socket = str(self.executor.socket)
        with unix_connect(socket, uri="ws://executor/stream", open_timeout=ANSWER_SECONDS) as connection:
            yield Stream(connection)

    def environment(self, name: str) -> Answer:
        """The item of GET /environments with this name."""
        found: list[Answer] = httpx.get(f"{self.url}/environments", timeout=ANSWER_SECONDS).json()["environments"]
        return next(known for known in found if known["name"] == name)

    def version(self, name: str) -> str:
        """The version of an environment, as GET /environments gives it."""
        return str(self.environment(name)["version"])

    def health(self) -> httpx.Response:
        """The answer of GET /health."""
        return httpx.get(f"{self.url}/health", timeout=ANSWER_SECONDS)

    def post(self, environment: str, code: str | None = None, **more: object) -> httpx.Response:
        """The answer of POST /execute."""
        body = {"environment": environment, **({} if code is None else {"code": code}), **_with_time(more)}
        return httpx.post(f"{self.url}/execute", json=body, timeout=100)

    def run(self, environment: str, code: str | None = None, **more: object) -> Answer:
        """The result of an execution; a refusal fails the test."""
        response = self.post(environment, code, **more)
        assert response.status_code == 200, response.text
        answer: Answer = response.json()
        return answer

    def sandboxes(self) -> list[str]:
        """The ids of the executor's sandboxes, by their control groups."""
        return self.executor.sandboxes()

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the executor's samples with this name and these labels."""
        return _sum(self.samples(), name, **labels)

    def samples(self) -> list[Sample]:
        """All samples of the executor's metrics."""
        transport = httpx.HTTPTransport(uds=str(self.executor.socket))
        with httpx.Client(transport=transport, timeout=ANSWER_SECONDS) as client:
            text = client.get("http://executor/metrics").text
        return [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def running(self) -> int:
        """The number of sandboxes that run an execution."""
        return int(self.metric("sandbox_pool", state="running"))

    def wait_for_run(self) -> None:
        """Wait until exactly one sandbox runs an execution."""
        until(lambda: self.running() == 1, 10, "one running execution")

    def wait_until_idle(self, seconds: float = 15) -> None:
        """Wait until nothing runs, and the only sandboxes are the pool's: none is being made or removed."""

        def idle() -> bool:
            samples = self.samples()
            ready, alive = _sum(samples, "sandbox_pool", state="ready"), _sum(samples, "sandbox_alive")
            # The control groups are asked for last: Docker starts a process for that.
            return _sum(samples, "sandbox_pool", state="running") == 0 and ready == alive == len(self.sandboxes())

        until(idle, seconds, "all runs to end and their sandboxes to be removed")

    def wait_until_full(self, environment: str, ready: int) -> None:
        """Wait until the pool holds at least `ready` sandboxes of an environment."""
        until(lambda: self.metric("sandbox_pool", environment=environment, state="ready") >= ready, 20, "a full pool")

    def _well(self) -> bool:
        for process in (self.executor, self.api):
            assert process is None or process.running, process.log()
        try:
            return self.health().status_code == 200
        except httpx.TransportError:
            return False


class Stream:
    """The client's side of a stream."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    def send(self, kind: str, **fields: object) -> None:
        """Send a frame."""
        self.connection.send(json.dumps({"type": kind, **fields}))

    def receive(self) -> Answer:
        """The next frame."""
        found: Answer = json.loads(self.connection.recv(timeout=3 * ANSWER_SECONDS))
        return found

    def until_output(self, text: str) -> None:
        """Receive output frames until their text contains `text`."""
        seen = ""
        while text not in seen:
            frame = self.receive()
            assert frame["type"] in {"started", "output"}, frame
            seen += frame.get("data", "")

    def end(self) -> Answer:
        """The last frame. Frames of output before it are skipped."""
        while (frame := self.receive())["type"] in {"started", "output"}:
            pass
        with pytest.raises(ConnectionClosedOK):
            self.connection.recv(timeout=ANSWER_SECONDS)
        return frame


def _sum(samples: Sequence[Sample], name: str, **labels: str) -> float:
    return sum(it.value for it in samples if it.name == name and labels.items() <= it.labels.items())


def _with_time(options: dict[str, object]) -> dict[str, object]:
    """The options of an execution. The default timeout suits a usual machine, so a slow one gets the longest."""
    return {"timeout": FLOOR.timeout_seconds, **options} if SLOWNESS > 1 else options


def output_json(answer: Answer) -> Any:
    """The JSON that the code printed; the execution must have succeeded."""
    assert answer["status"] == "success", answer
    return json.loads(answer["stdout"])
