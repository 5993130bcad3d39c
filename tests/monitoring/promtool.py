"""promtool and amtool from the images that the platform runs."""

import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass

import docker


@dataclass(frozen=True)
class Promtool:
    """One of the programs in its image."""

    client: docker.DockerClient
    image: str
    program: str = "promtool"

    def run(self, files: Mapping[str, str], command: str) -> tuple[int, str]:
        """The exit code and output of `<program> <command>`, run in a folder with these files by name."""
        container = self.client.containers.create(
            self.image, entrypoint=[self.program], command=command.split(), working_dir="/checked", network_mode="none"
        )
        try:
            container.put_archive("/", _archive({f"checked/{name}": content for name, content in files.items()}))
            container.start()
            code: int = container.wait(timeout=120)["StatusCode"]
            return code, container.logs().decode()
        finally:
            container.remove(force=True)


def _archive(files: Mapping[str, str]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, content in files.items():
            data = content.encode()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            archive.addfile(entry, io.BytesIO(data))
    return target.getvalue()
