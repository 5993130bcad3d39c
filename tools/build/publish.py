"""Pushes our own images to a registry, where their digests identify them."""

from collections.abc import Mapping
from typing import Any

import docker

from tools.console.steps import Report, StepFailed


def push(client: docker.DockerClient, references: Mapping[str, str], registry: str, report: Report) -> dict[str, str]:
    """Push images. `references` are their names in Docker. Returns `<registry>/<name>@sha256:...` for each name.

    The tag is the recipe's hash, so layers that the registry has are not sent again. Docker's logins are used.

    Raises:
        StepFailed: the registry refused, or does not answer.
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
                    "Log in to it (`docker login`) as a user who may push there, then run this again.",
                    report.log,
                )
            report.say(f"{name}: {event.get('status', '')} {event.get('progress', '')}")
            if digest := event.get("aux", {}).get("Digest"):
                return f"{repository}@{digest}"
    finally:
        client.images.remove(f"{repository}:{tag}", noprune=True)
    raise StepFailed(f"{registry} did not return the digest of {name}.", "Run this again.", report.log)
