"""The images that are ours, in a registry: pushed once, and known from then on by their digest."""

from collections.abc import Mapping
from typing import Any

import docker

from tools.console.steps import Report, StepFailed


def push(client: docker.DockerClient, references: Mapping[str, str], registry: str, report: Report) -> dict[str, str]:
    """Push images, given by name as their references on the engine. Returns `<registry>/<name>@sha256:...` by name.

    The tag is that of the recipe, so what is there already is not sent again. The engine's own logins are used.

    Raises:
        StepFailed: the registry refused, or can't be reached.
    """
    return {name: _push(client, name, reference, registry, report) for name, reference in references.items()}


def _push(client: docker.DockerClient, name: str, reference: str, registry: str, report: Report) -> str:
    repository = f"{registry.rstrip('/')}/{name}"
    tag = reference.rpartition(":")[2]
    client.images.get(reference).tag(repository, tag)
    try:
        events: Any = client.api.push(repository, tag, stream=True, decode=True)
        for event in events:
            if problem := event.get("error"):
                raise StepFailed(
                    f"{registry} refuses {name}: {problem}",
                    "Log in to it (`docker login`), and see that you may write there; then run this again.",
                    report.log,
                )
            report.say(f"{name}: {event.get('status', '')} {event.get('progress', '')}")
            if digest := event.get("aux", {}).get("Digest"):
                return f"{repository}@{digest}"
    finally:
        client.images.remove(f"{repository}:{tag}", noprune=True)
    raise StepFailed(f"{registry} does not tell the digest of {name}.", "Run this again.", report.log)
