"""Clients for the services of a running stack, and a webhook that receives its alerts."""

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import docker
import httpx

from tools.machine import docker_bridge


@dataclass(frozen=True)
class Servers:
    """`edge` is a client of the edge, `clients` are clients of the services themselves, by name.

    They bypass the edge: Loki has no route, and the edge would check a slow password hash with each request.
    """

    edge: httpx.Client
    clients: Mapping[str, httpx.Client]

    def get(self, service: str, path: str, **parameters: str | float) -> Any:
        """The JSON that a service answers to a GET."""
        answer = self.clients[service].get(path, params=parameters)
        assert answer.is_success, f"{service} answers {answer.status_code} to {path} {parameters}: {answer.text[:500]}"
        return answer.json()

    def targets(self) -> dict[tuple[str, str], str]:
        """The health of each target by job and route. Only the job `probe` has routes; else the route is empty."""
        found = self.get("prometheus", "/api/v1/targets")["data"]["activeTargets"]
        return {(target["labels"]["job"], target["labels"].get("route", "")): target["health"] for target in found}

    def series(self, expression: str, begin: float) -> Sequence[Mapping[str, Any]]:
        """The series that a PromQL expression has returned since `begin` (seconds since 1970)."""
        found = self.get("prometheus", "/api/v1/query_range", query=expression, start=begin, end=time.time(), step="2s")
        return list(found["data"]["result"])

    def value(self, expression: str) -> float:
        """The value of a PromQL expression now, which must return one series."""
        ((_, value),) = [
            it["value"] for it in self.get("prometheus", "/api/v1/query", query=expression)["data"]["result"]
        ]
        return float(value)

    def logs(self, query: str, begin: float) -> list[Mapping[str, Any]]:
        """The streams of a LogQL query since `begin` (seconds since 1970). `stream` holds the indexed labels only."""
        answer = self.clients["loki"].get(
            "/loki/api/v1/query_range",
            params={"query": query, "start": f"{begin:.0f}", "limit": "100"},
            headers={"X-Loki-Response-Encoding-Flags": "categorize-labels"},
        )
        assert answer.is_success, f"Loki answers {answer.status_code} to {query}: {answer.text[:500]}"
        return list(answer.json()["data"]["result"])

    def spans(self, trace: str) -> set[tuple[str, str]]:
        """Service and name of each span of a trace; empty where Jaeger does not have it."""
        answer = self.clients["jaeger"].get(f"/api/traces/{trace}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return set()
        (found,) = answer.json()["data"]
        services = {name: process["serviceName"] for name, process in found["processes"].items()}
        return {(services[span["processID"]], span["operationName"]) for span in found["spans"]}


def address(client: docker.DockerClient, container: str, network: str) -> str:
    """The IP address of a container in one of its networks."""
    networks = client.containers.get(container).attrs["NetworkSettings"]["Networks"]
    found: str = networks[network]["IPAddress"]
    return found


@dataclass(frozen=True)
class Webhook:
    """A server at `url`, with the bodies posted to it in order."""

    url: str
    posted: list[Mapping[str, Any]]

    def alerts(self) -> list[Mapping[str, Any]]:
        """Every alert received, with its `status`: firing or resolved."""
        return [alert for notification in self.posted for alert in notification["alerts"]]


@contextmanager
def webhook(client: docker.DockerClient) -> Iterator[Webhook]:
    """A server for Alertmanager on Docker's bridge, which containers reach and other machines do not."""
    bridge = docker_bridge.address(client)
    posted: list[Mapping[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Requests are not logged."""

    with ThreadingHTTPServer((bridge, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Webhook(f"http://{bridge}:{server.server_port}/", posted)
        finally:
            server.shutdown()
            thread.join()
