"""Pushing images to a real registry on the loopback address."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.registry import running
from tools.build import publish
from tools.console.steps import Report, StepFailed
from tools.machine.ports import free_port
from tools.machine.preparation import Preparation

NAME = "sandbox-bash"


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """`host:port` of an empty registry."""
    with running(tmp_path) as address:
        yield address


def test_a_pushed_image_is_found_by_the_digest_that_push_returned(
    registry: str, prepared: Preparation, report: Report
) -> None:
    client = prepared.engine.client()
    reference = prepared.images.references[NAME]
    published = publish.push(client, {NAME: reference}, registry, report)
    repository, _, digest = published[NAME].partition("@")
    assert repository == f"{registry}/{NAME}"
    answer = httpx.get(
        f"http://{registry}/v2/{NAME}/manifests/{digest}",
        headers={"accept": "application/vnd.docker.distribution.manifest.v2+json"},
        trust_env=False,
    )
    assert answer.json()["config"]["digest"] == client.images.get(reference).id
    assert not [tag for tag in client.images.get(reference).tags if registry in tag]
    assert publish.push(client, {NAME: reference}, registry, report) == published


def test_the_error_names_a_registry_that_does_not_answer(prepared: Preparation, report: Report) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    with pytest.raises(StepFailed, match=nobody):
        publish.push(prepared.engine.client(), {NAME: prepared.images.references[NAME]}, nobody, report)
