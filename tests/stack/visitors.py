"""Visitors who run code through the edge all the time, and count what fails."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

Post = Callable[..., httpx.Response]
"""Posts to /execute with the arguments of `httpx.post`, from any thread."""
_PERIOD = 0.2
_STREAM_SECONDS = 12
_PROGRAM = f"for second in $(seq {_STREAM_SECONDS}); do echo $second; sleep 1; done"
_OUTPUT = "".join(f"{second}\n" for second in range(1, _STREAM_SECONDS + 1))


@dataclass
class Visits:
    """How many executions and streams have begun, and what was wrong with each that failed."""

    executions: int = 0
    streams: int = 0
    failures: list[str] = field(default_factory=list)

    def check(self, what: str, run: Callable[[], Any], wanted: str) -> None:
        try:
            said = run()
        except (httpx.HTTPError, WebSocketException, OSError) as error:
            said = repr(error)
        if said != wanted:
            self.failures.append(f"{what}: {said}")


@contextlib.contextmanager
def visiting(post: Post, *streams: Callable[[], Any]) -> Iterator[Visits]:
    """Five executions a second, each with a program of its own, and these streams, one after the other of each, while
    the context is open. The last ones are waited for.
    """
    visits = Visits()
    over = threading.Event()

    def execute() -> None:
        due = time.monotonic()
        while not over.wait(max(0.0, due - time.monotonic())):
            due += _PERIOD
            visits.executions += 1
            visits.check("execution", partial(_said, post, f"echo {visits.executions}"), f"{visits.executions}\n")

    def follow(stream: Callable[[], Any]) -> None:
        while not over.is_set():
            visits.streams += 1
            visits.check("stream", stream, _OUTPUT)

    with ThreadPoolExecutor(len(streams) + 1) as pool:
        tasks = [pool.submit(execute), *(pool.submit(follow, stream) for stream in streams)]
        try:
            yield visits
        finally:
            over.set()
        for task in tasks:
            task.result()


def events(post: Post) -> Any:
    """The output in the last of an execution's server-sent events, or what came instead."""
    answer = post(json={"environment": "bash", "code": _PROGRAM}, headers={"Accept": "text/event-stream"})
    *_, last = ["{}", *(line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: "))]
    return json.loads(last).get("output", f"{answer.status_code} {answer.text}")


def websocket(url: str, **connection: Any) -> Any:
    """The output in the last frame of a WebSocket, or that frame. `connection` are arguments of `connect`."""
    last: dict[str, Any] = {}
    with connect(f"{url.replace('http', 'ws', 1)}/execute/stream", proxy=None, **connection) as socket:
        socket.send(json.dumps({"type": "start", "environment": "bash", "code": _PROGRAM}))
        while last.get("type") not in ("result", "problem"):
            last = json.loads(socket.recv())
    return last.get("output", last)


def _said(post: Post, code: str) -> Any:
    answer = post(json={"environment": "bash", "code": code})
    return answer.json().get("output") if answer.is_success else f"{answer.status_code} {answer.text}"
