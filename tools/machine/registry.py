"""Container registries, as Docker reaches them. If none answers, that is found out once in a run."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import docker
import requests

from tools.console.steps import Report
from tools.machine.docker_engine import DockerEngine

_SECONDS_TO_ANSWER = 8


@dataclass
class Registry:
    """Pulls images. `probe` is the image that is looked up to find out whether a registry answers."""

    engine: DockerEngine
    probe: str
    report: Report

    @cached_property
    def refusal(self) -> str | None:
        """Why nothing can be pulled (the log has the details); None if a registry answers."""
        self.report.say("asking for a container registry")
        try:
            api: Any = self.engine.client(_SECONDS_TO_ANSWER).api
            api.inspect_distribution(self.probe)
        except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
            self.report.write(f"{error}\n")
            return "no container registry answers"
        return None

    def pull(self, reference: str) -> str | None:
        """Pull an image. Returns None, or why that failed, as the second half of a sentence."""
        if self.refusal:
            return self.refusal
        self.report.say(f"pulling {reference}")
        repository, _, tag = reference.rpartition(":")
        try:
            events: Any = self.engine.client().api.pull(repository, tag, stream=True, decode=True)
            for event in events:
                if "error" in event:
                    return f"{reference} can't be pulled: {event['error']}"
                self.report.say(f"pulling {reference}: {event.get('status', '')} {event.get('progress', '')}")
        except docker.errors.APIError as error:
            return f"{reference} can't be pulled: {error.explanation}"
        return None
