"""A packages service and the copy service of a unit as whole processes, with the executor's way to the sets."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from app.environments import ENVIRONMENTS
from app.executor.package_sets import hold
from app.packages.settings import PackagesSettings
from app.wire.protocol import Execution
from tests.waiting import until
from tools.measure.package_index import Index, serving, wheel

PACKAGES = ("first",)
BODY = {"environment": "python", "packages": PACKAGES, "client": "1.2.3.4", "installed": ()}


@contextlib.contextmanager
def running(settings: PackagesSettings) -> Iterator[tuple[subprocess.Popen[bytes], httpx.Client]]:
    """A process with these settings, and a client of it."""
    settings.store.mkdir(exist_ok=True)
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path.cwd()), **settings.variables()}
    transport = None if settings.port else httpx.HTTPTransport(uds=str(settings.socket))
    url = f"http://127.0.0.1:{settings.port}" if settings.port else "http://localhost"
    with (
        subprocess.Popen([sys.executable, "-m", "app.packages"], env=environ) as process,
        httpx.Client(base_url=url, transport=transport, timeout=60, trust_env=False) as client,
    ):
        try:
            until(lambda: answers(client), 30, "a service that answers")
            yield process, client
        finally:
            process.send_signal(signal.SIGTERM)


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/health").is_success
    except httpx.TransportError:
        return False


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@dataclass
class Pair:
    """The settings of both processes."""

    one: PackagesSettings
    copy: PackagesSettings


@pytest.fixture
def index() -> Iterator[Index]:
    with serving() as found:
        found.package("first", needs=["second"])
        found.package("second")
        yield found


@pytest.fixture
def pair(index: Index) -> Iterator[Pair]:
    # A Unix socket's path has at most 107 bytes: pytest's own folders may be deeper.
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        yield Pair(
            PackagesSettings(index=index.url, store=folder / "one", port=port),
            PackagesSettings(
                source=f"http://127.0.0.1:{port}", store=folder / "copy", socket=folder / "packages.sock", seconds=45
            ),
        )


def prepared(client: httpx.Client, *packages: str) -> str:
    """The id of a set, once it is there."""
    seen = None
    while True:
        body = {**BODY, "packages": packages or PACKAGES, "seen": seen}
        news = client.post("/prepare", json=body).json()
        if news["type"] != "preparing":
            assert news["type"] == "prepared", news
            found: str = news["set"]["id"]
            return found
        seen = news["step"]


def test_a_set_goes_from_the_index_into_a_units_sandboxes_and_stays_without_the_service(pair: Pair) -> None:
    execution = Execution(environment="python", code="1", packages=PACKAGES)
    with running(pair.one), running(pair.copy) as (_, client):
        identity = prepared(client)
        held = hold(pair.copy.store, execution)
        site = held.layer / str(ENVIRONMENTS["python"].site)
        assert {it.name for it in site.glob("*.py")} == {"first.py", "second.py"}
        held.close()
    # Neither runs: the copy starts again with the files of the earlier one.
    with running(pair.copy) as (_, client):
        assert prepared(client) == identity
        assert "packages_store_sets 1.0" in client.get("/metrics").text
        with contextlib.closing(hold(pair.copy.store, execution)):
            pass


def test_a_copy_of_the_most_files_takes_less_memory_than_its_container_has(pair: Pair, index: Index) -> None:
    index.add("many", wheel("many", {f"many/folder_{number % 500}/file_{number}.py": "" for number in range(19_900)}))
    with running(pair.one), running(pair.copy) as (process, client):
        prepared(client, "many")
        status = Path(f"/proc/{process.pid}/status").read_text()
    (peak,) = (int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    assert peak < 128 * 1024
