"""What happens when the api, the executor, the client or Docker goes away, and when the platform is overloaded."""

import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.sandbox.conftest import MakePlatform
from tests.sandbox.processes import Platform
from tests.waiting import until

FOREVER = "while True: pass"
HELLO = "print('hello')"


@contextmanager
def running(platform: Platform, seconds: float = 20) -> Iterator[list[httpx.Response | httpx.TransportError]]:
    """An execution with a timeout of `seconds` runs during the block; the list has its answer or error afterwards."""
    ends: list[httpx.Response | httpx.TransportError] = []

    def post() -> None:
        try:
            ends.append(platform.post("python", FOREVER, timeout=seconds))
        except httpx.TransportError as error:
            ends.append(error)

    poster = threading.Thread(target=post)
    poster.start()
    try:
        platform.wait_for_run()
        yield ends
    finally:
        poster.join()


def test_concurrent_executions_do_not_mix_their_output(platform: Platform) -> None:
    def run(number: int) -> bool:
        return bool(platform.run("python", f"print({number})")["stdout"] == f"{number}\n")

    with ThreadPoolExecutor(12) as pool:
        assert all(pool.map(run, range(12)))
    assert httpx.get(f"{platform.url}/stats").json()["executor"] == {"running": 0, "waiting": 0, "concurrency": 4}


def test_a_full_platform_refuses_with_busy_until_it_has_room(make_platform: MakePlatform) -> None:
    platform = make_platform(EXECUTOR_CONCURRENCY="1", EXECUTOR_QUEUE="0", EXECUTOR_QUEUE_SECONDS="3").start()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(platform.run, "python", FOREVER, timeout=3)
        platform.wait_for_run()
        refused = platform.post("python", HELLO)
        assert (refused.status_code, refused.json()["code"]) == (503, "busy")
        assert refused.headers["retry-after"] == "3"
        assert platform.health().json() == {"status": "ok", "engine": "reachable", "active_sandboxes": 1}
        assert first.result()["status"] == "timeout"
    assert platform.run("python", HELLO)["status"] == "success"


def test_a_client_that_disconnects_ends_its_execution(platform: Platform) -> None:
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{platform.url}/execute", json={"environment": "python", "code": FOREVER}, timeout=1)
    platform.wait_until_idle()
    assert httpx.get(f"{platform.url}/stats").json()["executor"]["running"] == 0


def test_clients_that_disconnect_at_any_moment_leave_no_sandbox(platform: Platform) -> None:
    """The sweep is too rare here to hide a sandbox that was left over."""

    def leave(number: int) -> None:
        with pytest.raises(httpx.ReadTimeout):
            body = {"environment": "python", "code": FOREVER}
            httpx.post(f"{platform.url}/execute", json=body, timeout=0.02 + number * 0.01)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(leave, range(40)))
    platform.wait_until_idle()
    assert platform.health().json()["active_sandboxes"] == 0
    assert platform.run("python", HELLO)["status"] == "success"


def test_executions_end_when_the_api_is_killed(make_platform: MakePlatform) -> None:
    platform = make_platform().start()
    with running(platform) as ends:
        assert platform.api is not None
        platform.api.signal(signal.SIGKILL)
        platform.wait_until_idle()
    assert isinstance(ends[0], httpx.TransportError)
    platform.start_api()
    platform.wait_until_well()
    assert platform.run("python", HELLO)["status"] == "success"


def test_an_executor_sweeps_at_its_start_what_a_killed_one_left(make_platform: MakePlatform) -> None:
    platform = make_platform().start()
    with running(platform) as ends:
        assert platform.executor is not None
        platform.executor.signal(signal.SIGKILL)
    assert isinstance(ends[0], httpx.Response)
    assert (ends[0].status_code, ends[0].json()["code"]) == (503, "executor_unavailable")
    assert platform.health().status_code == 503
    left = set(platform.sandboxes())
    assert left
    platform.start_executor()
    platform.wait_until_well()
    assert not left & set(platform.sandboxes())
    assert platform.run("python", HELLO)["status"] == "success"


def test_an_executor_that_is_stopped_leaves_no_sandbox(make_platform: MakePlatform) -> None:
    platform = make_platform().start()
    with running(platform) as ends:
        assert platform.executor is not None
        assert platform.executor.signal(signal.SIGTERM) < 10
        assert platform.sandboxes() == []
    assert isinstance(ends[0], httpx.Response)
    assert (ends[0].status_code, ends[0].json()["code"]) == (503, "engine_unavailable")


def test_the_sweep_removes_orphans_and_no_containers_of_others(make_platform: MakePlatform, images: str) -> None:
    platform = make_platform(EXECUTOR_SWEEP_SECONDS="0.5").start()
    image = json.loads(images)["python"]

    def leave(stack: str) -> str:
        labels = {"vps.stack": stack, "vps.sandbox": "forgotten"}
        answer = platform.engine.create_container(image, ["true"], name=f"{stack}-forgotten", labels=labels)
        return str(answer["Id"])

    stranger = leave(f"{platform.stack}-other")
    try:
        leave(platform.stack)
        forgotten = f"{platform.stack}-forgotten"
        with running(platform, seconds=5) as ends:
            until(lambda: forgotten not in platform.sandboxes(), 5, "the orphan to be swept")
            time.sleep(1)
            assert platform.running() == 1
            assert platform.engine.inspect_container(stranger)["State"]["Status"] == "created"
        assert isinstance(ends[0], httpx.Response)
        assert ends[0].json()["status"] == "timeout"
    finally:
        platform.engine.remove_container(stranger, force=True)


class DockerProxy:
    """A proxy of Docker's socket that can be shut."""

    def __init__(self, engine: str, path: Path) -> None:
        self._engine = Path(engine.removeprefix("unix://"))
        self._path = path
        self._open_connections: list[socket.socket] = []

    def open(self) -> None:
        """Accept connections, and relay them to Docker."""
        self._path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._path))
        self._listener.listen(64)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def shut(self) -> None:
        """Close every connection, and refuse new ones."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open_connections:
            with connection:
                _hang_up(connection)
        self._open_connections.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(str(self._engine))
            self._open_connections += [near, far]
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=_copy, args=(source, target), daemon=True).start()


def _hang_up(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


def test_docker_goes_away_and_comes_back(make_platform: MakePlatform, engine: str, tmp_path: Path) -> None:
    proxy = DockerProxy(engine, tmp_path / "engine.sock")
    proxy.open()
    platform = make_platform(EXECUTOR_ENGINE=f"unix://{tmp_path}/engine.sock", EXECUTOR_SWEEP_SECONDS="0.5").start()
    with running(platform) as ends:
        proxy.shut()
    assert isinstance(ends[0], httpx.Response)
    assert (ends[0].status_code, ends[0].json()["code"]) == (503, "engine_unavailable")
    health = platform.health()
    assert (health.status_code, health.json()["engine"]) == (503, "unreachable")
    refused = platform.post("python", HELLO)
    assert (refused.status_code, refused.json()["code"]) == (503, "engine_unavailable")
    assert int(refused.headers["retry-after"]) > 0
    proxy.open()
    platform.wait_until_well()
    assert platform.run("python", HELLO)["status"] == "success"
    platform.wait_until_idle()  # the sweep removes the sandbox of the interrupted execution
    platform.stop_processes()
    assert platform.sandboxes() == []
    proxy.shut()


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"EXECUTOR_PROFILE": '{"network": "host"}'}, ["EXECUTOR_PROFILE", "network is 'host'"]),
        (
            {"EXECUTOR_PROFILE": '{"pids": 51, "user": "0:0"}'},
            ["pids is 51, and must be at most 50", "user is '0:0', and must be exactly '65534:65534'"],
        ),
        ({"EXECUTOR_CONCURRENCY": "none"}, ["EXECUTOR_CONCURRENCY", "from 1 to 256"]),
        ({"EXECUTOR_ENVIRONMENTS": '{"bash": "no-such-image"}'}, ["'bash'", "no-such-image", "images/sandbox-bash"]),
        ({"EXECUTOR_RUNTIME": "no-such-runtime"}, ["no-such-runtime", "EXECUTOR_RUNTIME"]),
        ({"EXECUTOR_ENGINE": "unix:///nonexistent.sock"}, ["EXECUTOR_ENGINE", "unix:///nonexistent.sock"]),
    ],
)
def test_the_executor_refuses_to_start_on_settings_that_cannot_work(
    make_platform: MakePlatform, variables: dict[str, str], words: list[str]
) -> None:
    code, log = make_platform(**variables).start_executor().wait()
    assert code == 1
    assert "Traceback" not in log
    for word in words:
        assert word in log


def test_an_image_without_its_interpreter_is_refused(make_platform: MakePlatform, images: str) -> None:
    crossed = json.dumps({"node": json.loads(images)["bash"]})
    code, log = make_platform(EXECUTOR_ENVIRONMENTS=crossed).start_executor().wait()
    assert code == 1
    assert "environment 'node' does not work" in log
    assert "node" in log.split("does not work", 1)[1]
