"""An S3 server on this machine, which containers reach."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from offline.programs import S3_SERVER
from tests.waiting import until
from tools.build.images import compiled
from tools.console.steps import Report
from tools.machine.ports import free_port

BUCKET = "backups"


@dataclass(frozen=True)
class S3:
    """A bucket of one's own, with backups below `url`. The server asks nobody for a signature."""

    origin: str

    @property
    def url(self) -> str:
        return f"{self.origin}/{BUCKET}/prod"

    def names(self) -> list[str]:
        """The names of all objects."""
        return re.findall("<Key>(.*?)</Key>", httpx.get(f"{self.origin}/{BUCKET}", trust_env=False).text)

    def get(self, key: str) -> bytes:
        return httpx.get(f"{self.origin}/{BUCKET}/{key}", trust_env=False).raise_for_status().content

    def put(self, key: str, content: bytes) -> None:
        httpx.put(f"{self.origin}/{BUCKET}/{key}", content=content, trust_env=False).raise_for_status()


def program(report: Report) -> str:
    """The server on PATH, or one compiled from Go modules (20 s, once for each machine)."""
    return shutil.which("gofakes3") or str(compiled().ensure(S3_SERVER, report.log, report.say) / "gofakes3")


@contextmanager
def serving(address: str, report: Report) -> Iterator[S3]:
    """A server with an empty bucket, in memory, at an address of this machine."""
    origin = f"http://{address}:{free_port()}"
    argv = [program(report), "-host", origin.removeprefix("http://"), "-backend", "memory", "-quiet"]
    process = subprocess.Popen([*argv, "-initialbucket", BUCKET])
    try:
        until(lambda: _answers(origin), 30, "the S3 server")
        yield S3(origin)
    finally:
        process.terminate()
        process.wait()


def _answers(origin: str) -> bool:
    try:
        return httpx.get(origin, trust_env=False).is_success
    except httpx.TransportError:
        return False
