"""A real container registry on the loopback address."""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import yaml

from tests.waiting import until
from tools.machine.ports import free_port


@contextlib.contextmanager
def running(folder: Path) -> Iterator[str]:
    """Run an empty registry that stores its images in `folder`; yield its `host:port`."""
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


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
