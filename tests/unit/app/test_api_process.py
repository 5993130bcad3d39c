"""The process `python -m app.api` with its two ports."""

import contextlib
import signal
import socket

import httpx
import pytest
from websockets.sync.client import connect

from tests.unit.app import valkey_server
from tests.unit.app.api_process import START_SECONDS, process, wait_for
from tests.unit.app.fake_executor import STARTED, FakeExecutor
from tools.machine.ports import free_port


def test_it_serves_visitors_and_prometheus_until_sigterm(executor: FakeExecutor) -> None:
    public, private = free_port(), free_port()
    ports = {"API_PORT": str(public), "API_METRICS_PORT": str(private)}
    with process(API_EXECUTOR_SOCKET=str(executor.socket), **ports) as api:
        assert "api_requests_total" in wait_for(f"http://127.0.0.1:{private}/metrics").text
        assert wait_for(f"http://127.0.0.1:{public}/health").json()["status"] == "ok"
        assert wait_for(f"http://127.0.0.1:{public}/metrics").status_code == 404
        with connect(f"ws://127.0.0.1:{public}/execute/stream") as visitor:
            visitor.send('{"type": "start", "environment": "python", "code": "1"}')
            assert STARTED["execution_id"] in str(visitor.recv())
        api.send_signal(signal.SIGTERM)
        _, errors = api.communicate(timeout=10)
    assert "Traceback" not in errors
    assert api.returncode in {0, -signal.SIGTERM}


def test_an_idle_connection_of_the_edge_stays_open(executor: FakeExecutor) -> None:
    port = free_port()
    ports = {"API_PORT": str(port), "API_METRICS_PORT": str(free_port())}
    with process(API_EXECUTOR_SOCKET=str(executor.socket), **ports):
        wait_for(f"http://127.0.0.1:{port}/health")
        with socket.create_connection(("127.0.0.1", port)) as edge:
            edge.sendall(b"GET /health HTTP/1.1\r\nHost: api\r\n\r\n")
            assert edge.recv(4096).startswith(b"HTTP/1.1 200")
            edge.settimeout(6)  # uvicorn's default closes it after 5
            with pytest.raises(TimeoutError):
                while edge.recv(4096):
                    pass
                pytest.fail("the api closed a connection that the edge would use again")


def test_two_replicas_share_the_rate_limit_of_a_client(executor: FakeExecutor) -> None:
    statuses = []
    with valkey_server.serving() as store, contextlib.ExitStack() as stack:
        variables = {
            "API_RATE_STORE": store,
            "API_REQUESTS_PER_MINUTE": "3",
            "API_EXECUTOR_SOCKET": str(executor.socket),
        }
        ports = [free_port(), free_port()]
        for port in ports:
            stack.enter_context(process(API_PORT=str(port), API_METRICS_PORT=str(free_port()), **variables))
            wait_for(f"http://127.0.0.1:{port}/health")
        for port in ports * 2:
            body = {"environment": "python", "code": "1"}
            statuses.append(httpx.post(f"http://127.0.0.1:{port}/execute", json=body).status_code)
    assert statuses == [200, 200, 200, 429]


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"API_PORT": "0"}, "API_PORT is wrong"),
        ({"API_UNKNOWN": "1"}, "API_UNKNOWN is not a setting"),
    ],
)
def test_invalid_settings_end_it_with_a_message(variables: dict[str, str], words: str) -> None:
    with process(**variables) as api:
        _, errors = api.communicate(timeout=START_SECONDS)
    assert api.returncode == 1
    assert words in errors


def test_a_port_in_use_ends_it_with_a_message() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with process(API_PORT=str(free_port()), API_METRICS_PORT=str(port)) as api:
            _, errors = api.communicate(timeout=START_SECONDS)
    assert api.returncode not in {0, None}
    assert "Address already in use" in errors
