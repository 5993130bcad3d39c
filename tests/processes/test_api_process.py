"""The process `python -m app.api` with its two ports."""

import asyncio
import contextlib
import errno
import json
import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from websockets.sync.client import connect

from app.api import __main__ as module
from app.api.server import build_api
from app.api.settings import ApiSettings
from tests.unit.app.api_process import START_SECONDS, process, wait_for
from tests.unit.app.fake_executor import RESULT, STARTED, FakeExecutor
from tests.waiting import until
from tools.machine.ports import free_port


def held(executor: FakeExecutor) -> tuple[threading.Event, threading.Event]:
    """Have an execution wait: events that say that it has begun, and that it may end."""
    begun, may_end = threading.Event(), threading.Event()

    async def slow(_: Request) -> Response:
        begun.set()
        await asyncio.to_thread(may_end.wait, START_SECONDS)
        return JSONResponse(RESULT)

    executor.answers["/execute"] = slow
    return begun, may_end


def test_it_serves_visitors_and_prometheus_until_sigterm_and_then_ends_what_runs(executor: FakeExecutor) -> None:
    public, private = free_port(), free_port()
    begun, may_end = held(executor)
    variables = {"API_PORT": str(public), "API_METRICS_PORT": str(private), "API_GRACE_SECONDS": "60"}
    with (
        process(API_EXECUTOR_SOCKET=str(executor.socket), **variables) as api,
        ThreadPoolExecutor() as visitors,
        contextlib.ExitStack() as stack,
    ):
        stack.callback(may_end.set)
        assert "api_requests_total" in wait_for(f"http://127.0.0.1:{private}/metrics").text
        assert wait_for(f"http://127.0.0.1:{public}/health").json()["status"] == "ok"
        assert wait_for(f"http://127.0.0.1:{public}/metrics").status_code == 404
        body = {"environment": "python", "code": "1"}
        answer = visitors.submit(httpx.post, f"http://127.0.0.1:{public}/execute", json=body, timeout=START_SECONDS)
        assert begun.wait(START_SECONDS)
        stream = stack.enter_context(connect(f"ws://127.0.0.1:{public}/execute/stream"))
        stream.send(json.dumps({"type": "start", **body}))
        assert STARTED["execution_id"] in str(stream.recv())
        api.send_signal(signal.SIGTERM)
        end = time.monotonic() + START_SECONDS
        while not _refuses(public):
            assert time.monotonic() < end
        stream.send('{"type": "stdin", "data": "late"}')
        assert json.loads(stream.recv()) == {"type": "output", "stream": "stdout", "data": "late"}
        stream.send('{"type": "stdin_end"}')
        assert json.loads(stream.recv())["type"] == "result"
        may_end.set()
        assert answer.result().json()["execution_id"] == RESULT["execution_id"]
        _, errors = api.communicate(timeout=START_SECONDS)
    assert "Traceback" not in errors
    assert [json.loads(line)["message"] for line in errors.splitlines()].count("execution") == 2, "both are logged"
    assert api.returncode in {0, -signal.SIGTERM}


def _refuses(port: int) -> bool:
    with socket.socket() as visitor:
        return visitor.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED


def test_an_api_that_stops_serves_on_until_the_edge_has_left_it(executor: FakeExecutor) -> None:
    port = free_port()
    ports = {"API_PORT": str(port), "API_METRICS_PORT": str(free_port())}
    with (
        process(API_EXECUTOR_SOCKET=str(executor.socket), API_LINGER_SECONDS="6", **ports) as api,
        httpx.Client() as edge,
    ):
        url = f"http://127.0.0.1:{port}/health"
        wait_for(url)
        assert edge.get(url).status_code == 200
        api.send_signal(signal.SIGTERM)
        time.sleep(1)
        # A kept connection and a new one are both answered.
        assert [edge.get(url).status_code, httpx.get(url).status_code] == [200, 200]
        until(lambda: _refuses(port), 60, "the end of new connections")
        api.communicate(timeout=START_SECONDS)


def test_the_answers_of_an_api_that_stops_close_their_connections(executor: FakeExecutor) -> None:
    """Also that of an execution that began before. The edge would send its next request on a connection that is about
    to be closed: a cluster sends it elsewhere with new connections alone."""
    begun, may_end = held(executor)
    port = free_port()
    ports = {"API_PORT": str(port), "API_METRICS_PORT": str(free_port())}
    with (
        process(API_EXECUTOR_SOCKET=str(executor.socket), API_LINGER_SECONDS="6", **ports) as api,
        ThreadPoolExecutor() as visitors,
        contextlib.ExitStack() as stack,
        httpx.Client() as edge,
    ):
        stack.callback(may_end.set)
        url = f"http://127.0.0.1:{port}"
        wait_for(f"{url}/health")
        assert "connection" not in edge.get(f"{url}/health").headers
        body = {"environment": "python", "code": "1"}
        running = visitors.submit(httpx.post, f"{url}/execute", json=body, timeout=START_SECONDS)
        assert begun.wait(START_SECONDS)
        api.send_signal(signal.SIGTERM)
        until(lambda: edge.get(f"{url}/health").headers.get("connection") == "close", 5, "the end of a connection")
        may_end.set()
        assert running.result().headers["connection"] == "close"
        api.communicate(timeout=START_SECONDS)


def test_an_idle_connection_stays_open_for_longer_than_the_edge_keeps_it() -> None:
    settings = ApiSettings.read({"API_PROFILE": "{}"})
    config = module._config(build_api(settings).public, settings, settings.port)
    assert config.timeout_keep_alive > 90  # Traefik's idleConnTimeout, by default


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"API_PORT": "0"}, "API_PORT is wrong"),
        ({"API_UNKNOWN": "1"}, "API_UNKNOWN is not a setting"),
    ],
)
def test_invalid_settings_end_it_with_a_message(
    variables: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", {"API_PROFILE": "{}", **variables})
    with pytest.raises(SystemExit, match=f"^The api can't start: {words}"):
        module.main()


def test_a_port_in_use_ends_it_with_a_message() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with process(API_PORT=str(free_port()), API_METRICS_PORT=str(port)) as api:
            _, errors = api.communicate(timeout=START_SECONDS)
    assert api.returncode not in {0, None}
    assert "Address already in use" in errors
