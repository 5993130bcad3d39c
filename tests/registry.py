"""A real registry on the loopback address, and images that are like others and not the same."""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import docker
import httpx
import yaml

from tests.ports import free_port
from tests.waiting import until
from tools import publish
from tools.steps import Report


@contextlib.contextmanager
def running(folder: Path) -> Iterator[str]:
    """`host:port` of an empty registry, which keeps what it has in `folder`."""
    address = f"127.0.0.1:{free_port()}"
    config = folder / "registry.yml"
    storage = {"filesystem": {"rootdirectory": str(folder / "registry")}}
    config.write_text(yaml.safe_dump({"version": 0.1, "storage": storage, "http": {"addr": address}}))
    program = shutil.which("docker-registry")
    assert program, "docker-registry is not on PATH; `make test` installs it"
    with subprocess.Popen([program, "serve", str(config)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as it:
        try:
            until(lambda: _answers(f"http://{address}/v2/"), 20, "the registry")
            yield address
        finally:
            it.terminate()


class Variations:
    """Images made from others, in a registry. `close` removes them from the engine."""

    def __init__(self, client: docker.DockerClient, registry: str, folder: Path, report: Report) -> None:
        self._client = client
        self._registry = registry
        self._folder = folder
        self._report = report
        self._made: list[str] = []

    def push(self, name: str, image: str, *instructions: str, files: dict[str, str] | None = None) -> str:
        """Make an image by these instructions of a Dockerfile from another. Returns it as `<registry>/<name>@...`.

        They may copy `files`, which can be executed.
        """
        folder = self._folder / f"{name}-{len(self._made)}"
        folder.mkdir()
        for file, text in (files or {}).items():
            (folder / file).write_text(text)
            (folder / file).chmod(0o755)
        lines = [f"FROM {image}", f"LABEL variation={folder.name}", *instructions]
        (folder / "Dockerfile").write_text("\n".join(lines) + "\n")
        tag = f"{self._registry}/{folder.name}:1"
        built, _ = self._client.images.build(path=str(folder), tag=tag)
        self._made.append(str(built.id))
        return publish.push(self._client, {name: tag}, self._registry, self._report)[name]

    def close(self) -> None:
        for image in self._made:
            self._client.images.remove(image, force=True)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
