"""Waits until a stack works: Docker reports every service healthy, and the API answers through the edge.

Before that, services that were stopped by hand can be started.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import docker
import httpx

from infra.service import ROLE_LABEL, SERVICE_LABEL, STACK_LABEL
from tools.console.steps import Report, StepFailed
from tools.machine.docker_engine import DockerEngine

SECONDS_TO_BE_HEALTHY = 60
_LINES_OF_LOG = 10
_STOPPED = "exited"


@dataclass(frozen=True)
class ServiceState:
    """One service. `health` is the result of its health check, or its container's state if it has none."""

    service: str
    container: str
    health: str
    image: str

    @property
    def is_well(self) -> bool:
        return self.health in ("healthy", "running")


def services(client: docker.DockerClient, prefix: str) -> list[ServiceState]:
    """The states of a stack's services, sorted by name."""
    mine: dict[str, str | list[str] | bool] = {"label": [f"{STACK_LABEL}={prefix}", f"{ROLE_LABEL}=service"]}
    found = client.containers.list(all=True, filters=mine, ignore_removed=True)
    return sorted((_state(container.attrs) for container in found), key=lambda state: state.service)


def start_stopped(engine: DockerEngine, prefix: str) -> str:
    """Start the services that were stopped by hand, which Pulumi does not notice. Returns what was done, or "".

    Raises:
        StepFailed: Docker can't start one of them. The message has the reason.
    """
    client = engine.client()
    stopped = [state for state in services(client, prefix) if state.health == _STOPPED]
    for state in stopped:
        try:
            client.containers.get(state.container).start()
        except docker.errors.APIError as error:
            raise StepFailed(
                f"The service {state.service} was stopped, and Docker can't start it: {error.explanation}",
                "Fix the cause, or remove the container, so that it is made anew: docker rm -f " + state.container,
            ) from error
    return f"started what was stopped: {', '.join(state.service for state in stopped)}" if stopped else ""


def wait(engine: DockerEngine, prefix: str, api_url: str | None, report: Report) -> str:
    """Wait until every service is healthy. Returns a summary line.

    Without `api_url` nothing is requested through the edge: a server may accept requests from a proxy only.

    Raises:
        StepFailed: a service is not healthy after SECONDS_TO_BE_HEALTHY; the message names it, and the log has the end
            of its logs.
    """
    client = engine.client()
    deadline = time.monotonic() + SECONDS_TO_BE_HEALTHY
    while True:
        states = services(client, prefix)
        unwell = [state for state in states if not state.is_well]
        refusal = api_refusal(api_url) if api_url and states and not unwell else None
        if states and not unwell and not refusal:
            return f"{len(states)} services healthy" + (f", the API answers at {api_url}" if api_url else "")
        waits = [f"{state.service} is {state.health}" for state in unwell] or [refusal or "no service is there yet"]
        report.say(f"waiting: {', '.join(waits)}")
        if time.monotonic() > deadline:
            break
        time.sleep(0.5)
    for state in unwell:
        tail = client.containers.get(state.container).logs(tail=_LINES_OF_LOG).decode(errors="replace")
        report.write(f"--- {state.service}, the end of its log\n{tail}")
    raise StepFailed(
        f"Not every service works {SECONDS_TO_BE_HEALTHY} s after it was started: {', '.join(waits)}.",
        "`make logs SERVICE=<name>` (on a server: `docker logs`) shows more. Fix the cause, then run the same "
        "command again: it resumes.",
        report.log,
    )


def api_refusal(api_url: str) -> str | None:
    """Why the API does not answer through the edge; None when it does."""
    try:
        answer = httpx.get(f"{api_url}/health", timeout=5, trust_env=False)
    except httpx.HTTPError as error:
        return f"no answer at {api_url} ({error})"
    return None if answer.status_code == httpx.codes.OK else f"{api_url}/health answers {answer.status_code}"


def _state(attributes: Mapping[str, Any]) -> ServiceState:
    state, config = attributes["State"], attributes["Config"]
    health = state.get("Health", {}).get("Status") if state["Status"] == "running" else None
    return ServiceState(
        service=config["Labels"][SERVICE_LABEL],
        container=attributes["Name"].lstrip("/"),
        health=health or state["Status"],
        image=config["Image"],
    )
