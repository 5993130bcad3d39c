"""Images of ours in a real registry, on the loopback address."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from tests.ports import free_port
from tests.waiting import until
from tools import publish
from tools.prepare import Prepared
from tools.steps import Report, StepFailed

NAME = "sandbox-bash"


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """`host:port` of an empty registry."""
    address = f"127.0.0.1:{free_port()}"
    config = tmp_path / "registry.yml"
    storage = {"filesystem": {"rootdirectory": str(tmp_path / "registry")}}
    config.write_text(yaml.safe_dump({"version": 0.1, "storage": storage, "http": {"addr": address}}))
    program = shutil.which("docker-registry")
    assert program, "docker-registry is not on PATH; `make test` installs it"
    with subprocess.Popen([program, "serve", str(config)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as it:
        try:
            until(lambda: _answers(f"http://{address}/v2/"), 20, "the registry")
            yield address
        finally:
            it.terminate()


def test_an_image_is_found_again_by_the_digest_that_was_returned(
    registry: str, prepared: Prepared, report: Report
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


def test_a_registry_that_does_not_answer_is_named(prepared: Prepared, report: Report) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    with pytest.raises(StepFailed, match=nobody):
        publish.push(prepared.engine.client(), {NAME: prepared.images.references[NAME]}, nobody, report)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
