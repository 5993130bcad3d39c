"""What the kinds of package indexes have in common: a lock, the operator's lists, and how their tools are run."""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from app.environments import Environment
from app.packages.settings import PackagesOptions
from app.packages.unpacking import Away, Locked, Room
from app.wire.problems import Code, Refused
from app.wire.protocol import Package

_MB = 1024 * 1024
_MOST_LOCKED = 200
_LONGEST_LOCK = 1 * _MB


@dataclass(frozen=True)
class Said:
    """How a tool ended, and what it wrote."""

    code: int
    out: str
    err: str


class Index(ABC):
    """Makes locks from an index. It runs no code of a package: what would have to be built is refused."""

    listed = ""
    """Before the names of this index in the operator's lists."""

    def __init__(self, options: PackagesOptions, url: str) -> None:
        self._options = options
        self._url = url

    @abstractmethod
    def _name(self, package: str) -> tuple[str, str]:
        """The name of a package that is asked for, and the package as the tool reads it; or `Refused`."""

    @abstractmethod
    async def _lock(
        self, asked: Sequence[str], environment: Environment, installed: Sequence[Package]
    ) -> Sequence[Locked]:
        """See `resolve`."""

    @abstractmethod
    def unpack(self, locked: Locked, archive: Path, site: Path, room: Room) -> None:
        """Unpack a package into the folder `site`; `Refused` when it has a file that may not be there. Blocks."""

    def asked(self, packages: Sequence[str]) -> tuple[str, ...]:
        """The packages as the tool reads them, or `Refused`."""
        if len(packages) > self._options.most:
            raise Refused(
                Code.PACKAGES_TOO_LARGE, f"{len(packages)} packages are asked for; at most {self._options.most} may be."
            )
        found = []
        for package in packages:
            name, read = self._name(package)
            if self._options.allow and f"{self.listed}{name}" not in self._options.allow:
                allowed = ", ".join(self._options.allow)
                raise Refused(Code.PACKAGE_NOT_ALLOWED, f"{name} can't be had here; these can: {allowed}.")
            self._check_denied(name)
            found.append(read)
        return tuple(found)

    async def resolve(
        self, asked: Sequence[str], environment: Environment, installed: Sequence[Package]
    ) -> tuple[Locked, ...]:
        """The lock of what `asked` gave, by name, without what is `installed`; or `Refused`."""
        lock = await self._lock(asked, environment, installed)
        if len(lock) > _MOST_LOCKED:
            raise Refused(
                Code.PACKAGES_TOO_LARGE, f"The set would have {len(lock)} packages, more than {_MOST_LOCKED}."
            )
        for locked in lock:
            name = locked.package.name
            self._check_denied(name)
            if urlsplit(locked.url).scheme not in ("https", urlsplit(self._url).scheme):
                raise Refused(Code.PACKAGE_NOT_ALLOWED, f"The index gives no safe address for {name}.")
        return tuple(sorted(lock, key=lambda locked: (locked.package.name, locked.place)))

    def _check_denied(self, name: str) -> None:
        if f"{self.listed}{name}" in self._options.deny:
            raise Refused(Code.PACKAGE_NOT_ALLOWED, f"No set may hold {name} here.")

    async def _run(self, command: Sequence[str | Path], text: str, **variables: str) -> Said:
        """Run a tool with this text as its input and no variables but these. A run that is cancelled is killed."""
        # When memory or disk run out, the tool ends and not the service.
        bounds = ("choom", "-n", "1000", "--", "prlimit", f"--fsize={self._options.set_mb * _MB}", "--core=0")
        pipe = asyncio.subprocess.PIPE
        environment = {"PATH": "/usr/bin:/bin", **variables}
        process = await asyncio.create_subprocess_exec(
            *bounds, *command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment
        )
        assert process.stdin and process.stdout and process.stderr  # noqa: S101 - they are pipes
        try:
            process.stdin.write(text.encode())
            process.stdin.close()
            out, err = await asyncio.gather(_read(process.stdout), _read(process.stderr))
            return Said(await process.wait(), out, err)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def _away(self, cause: str) -> Away:
        return Away("The index of packages can't be reached, or has answered wrongly.", cause)


async def _read(stream: asyncio.StreamReader) -> str:
    text = bytearray()
    while chunk := await stream.read(65536):
        text += chunk
        if len(text) > _LONGEST_LOCK:
            raise Refused(Code.PACKAGES_TOO_LARGE, "The lock of this set is too long.")
    return text.decode(errors="replace")
