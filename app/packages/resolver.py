"""Resolves packages to a lock, with uv. It runs no code of a package: what would have to be built is refused."""

import asyncio
import contextlib
import hashlib
import platform
import re
import shutil
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement

from app.packages.settings import PackagesOptions, normalized
from app.wire.packages import LockedPackage
from app.wire.problems import Code, Refused
from app.wire.protocol import Package

_MB = 1024 * 1024
_PLATFORM = f"{platform.machine()}-manylinux_2_40"
"""The newest of uv's platforms that Debian 13, with glibc 2.41, can run."""
_MOST_LOCKED = 200
_LONGEST_LOCK = 1 * _MB
_CACHE_FULL = 0.5
"""Share of the cache's file system above which the cache is emptied before the next run."""
_RETRY_SECONDS = 10


@dataclass(frozen=True)
class Locked:
    """A package of a lock, and where its wheel is. `size` is in bytes, None when the index does not tell it."""

    package: LockedPackage
    url: str
    size: int | None


class Resolver:
    """Runs uv, whose cache is the folder `cache`."""

    def __init__(self, options: PackagesOptions, cache: Path) -> None:
        self._options = options
        self._cache = cache

    def requirements(self, packages: Sequence[str]) -> list[Requirement]:
        """The packages as PyPA's specification reads them, or `Refused`."""
        found = []
        if len(packages) > self._options.most:
            raise Refused(
                Code.PACKAGES_TOO_LARGE, f"{len(packages)} packages are asked for; at most {self._options.most} may be."
            )
        for text in packages:
            try:
                requirement = Requirement(text)
            except InvalidRequirement:
                raise Refused(
                    Code.INVALID_REQUEST, f"packages: {text!r} is not a package's name, or one with versions."
                ) from None
            if requirement.url or requirement.marker:
                raise Refused(Code.INVALID_REQUEST, f"packages: {text!r} may not have a URL or a marker.")
            if self._options.allow and normalized(requirement.name) not in self._options.allow:
                raise Refused(
                    Code.PACKAGE_NOT_ALLOWED,
                    f"{requirement.name} can't be had here; these can: {', '.join(self._options.allow)}.",
                )
            self._check_denied(requirement.name)
            found.append(requirement)
        return found

    async def resolve(
        self, requirements: Sequence[Requirement], python: str, installed: Sequence[Package]
    ) -> tuple[Locked, ...]:
        """The lock for this version of Python, by name, without what is `installed`; or `Refused`."""
        usage = shutil.disk_usage(self._cache.parent)
        if usage.used > _CACHE_FULL * usage.total:
            await asyncio.to_thread(shutil.rmtree, self._cache, ignore_errors=True)
        self._cache.mkdir(exist_ok=True)
        versions = "".join(f"{package.name}=={package.version}\n" for package in installed)
        held = self._cache / f"{hashlib.sha256(versions.encode()).hexdigest()}.txt"
        held.write_text(versions)
        asked = "".join(f"{requirement}\n" for requirement in requirements)
        code, out, err = await _run(self._command(python, held, installed), asked, self._environment())
        if code:
            raise _refusal(err)
        lock = [self._locked(table) for table in tomllib.loads(out).get("packages", [])]
        if len(lock) > _MOST_LOCKED:
            raise Refused(
                Code.PACKAGES_TOO_LARGE, f"The set would have {len(lock)} packages, more than {_MOST_LOCKED}."
            )
        return tuple(sorted(lock, key=lambda locked: locked.package.name))

    def _command(self, python: str, held: Path, installed: Sequence[Package]) -> list[str]:
        uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:/usr/local/bin") or "uv"
        return [
            # When memory or disk run out, uv ends and not the service.
            *("choom", "-n", "1000", "--", "prlimit", f"--fsize={self._options.set_mb * _MB}", "--core=0", uv),
            *("pip", "compile", "-", "--format=pylock.toml", "--only-binary=:all:", "--no-header", "--quiet"),
            *("--no-config", "--no-python-downloads", f"--python={sys.executable}", f"--cache-dir={self._cache}"),
            *(f"--python-version={python}", f"--python-platform={_PLATFORM}", f"--constraint={held}"),
            *(f"--default-index={self._options.index}", "--color=never", "--no-progress"),
            *(f"--no-emit-package={package.name}" for package in installed),
        ]

    def _environment(self) -> dict[str, str]:
        """Nothing of this process's own: uv takes settings from variables and from files below HOME."""
        timeout = str(self._options.seconds)
        return {"PATH": "/usr/bin:/bin", "HOME": str(self._cache), "UV_HTTP_TIMEOUT": timeout, "UV_HTTP_RETRIES": "1"}

    def _locked(self, table: dict[str, Any]) -> Locked:
        name = table["name"]
        self._check_denied(name)
        wheels = table.get("wheels", [])
        if len(wheels) != 1:
            raise Refused(Code.PACKAGE_NEEDS_BUILD, f"{name} has no wheel for this environment; nothing is built here.")
        (wheel,) = wheels
        scheme = urlsplit(wheel["url"]).scheme
        if scheme not in ("https", urlsplit(self._options.index).scheme) or "sha256" not in wheel["hashes"]:
            raise Refused(Code.PACKAGE_NOT_ALLOWED, f"The index gives no safe address and SHA-256 for {name}.")
        package = LockedPackage(name=name, version=table["version"], sha256=wheel["hashes"]["sha256"])
        return Locked(package, wheel["url"], wheel.get("size"))

    def _check_denied(self, name: str) -> None:
        if normalized(name) in self._options.deny:
            raise Refused(Code.PACKAGE_NOT_ALLOWED, f"No set may hold {name} here.")


async def _run(command: Sequence[str], asked: str, environment: dict[str, str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr. A run that is cancelled is killed."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment)
    assert process.stdin and process.stdout and process.stderr  # noqa: S101 - they are pipes
    try:
        process.stdin.write(asked.encode())
        process.stdin.close()
        out, err = await asyncio.gather(_read(process.stdout), _read(process.stderr))
        return await process.wait(), out, err
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _read(stream: asyncio.StreamReader) -> str:
    text = bytearray()
    while chunk := await stream.read(65536):
        text += chunk
        if len(text) > _LONGEST_LOCK:
            raise Refused(Code.PACKAGES_TOO_LARGE, "The lock of this set is too long.")
    return text.decode(errors="replace")


def _refusal(said: str) -> Refused:
    """What uv said, as a refusal."""
    if "No solution found" not in said:
        return Away("The index of packages can't be reached, or has answered wrongly.", said)
    reason = " ".join(said.partition("cause:")[2].partition("\nhint:")[0].split())
    if "usable wheels" in reason or "no wheels" in reason:
        return Refused(Code.PACKAGE_NEEDS_BUILD, f"Only wheels are taken, and nothing is built here. {reason}")
    if "invalid package format" in reason:
        return Refused(Code.PACKAGE_NOT_ALLOWED, reason)
    if "not found in the package registry" in reason or "depend" not in reason:
        return Refused(Code.PACKAGE_NOT_FOUND, reason)
    return Refused(Code.PACKAGES_CONFLICT, reason)


class Away(Refused):
    """The index or the service is at fault; `cause` is for the log."""

    def __init__(self, detail: str, cause: str) -> None:
        super().__init__(Code.PACKAGES_UNAVAILABLE, f"{detail} Code without packages runs as ever.", _RETRY_SECONDS)
        self.cause = re.sub(r"\s+", " ", cause)[:1000]
