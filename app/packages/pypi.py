"""Locks of Python's packages, with uv."""

import asyncio
import hashlib
import platform
import shutil
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from app.environments import Environment
from app.packages import wheels
from app.packages.index import Index
from app.packages.settings import PackagesOptions, normalized
from app.packages.unpacking import Locked, Room
from app.wire.packages import LockedPackage
from app.wire.problems import Code, Refused
from app.wire.protocol import Package

_PLATFORM = f"{platform.machine()}-manylinux_2_40"
"""The newest of uv's platforms that Debian 13, with glibc 2.41, can run."""
_CACHE_FULL = 0.5
"""Share of the cache's file system above which the cache is emptied before the next run."""


class PyPi(Index):
    """An index by PyPA's simple repository API. uv's cache is the folder `cache`."""

    def __init__(self, options: PackagesOptions, cache: Path) -> None:
        super().__init__(options, options.index)
        self._cache = cache

    def _name(self, package: str) -> tuple[str, str]:
        try:
            requirement = Requirement(package)
        except InvalidRequirement:
            raise Refused(
                Code.INVALID_REQUEST, f"packages: {package!r} is not a package's name, or one with versions."
            ) from None
        if requirement.url or requirement.marker:
            raise Refused(Code.INVALID_REQUEST, f"packages: {package!r} may not have a URL or a marker.")
        return normalized(requirement.name), str(requirement)

    async def _lock(
        self, asked: Sequence[str], environment: Environment, installed: Sequence[Package]
    ) -> Sequence[Locked]:
        usage = shutil.disk_usage(self._cache.parent)
        if usage.used > _CACHE_FULL * usage.total:
            await asyncio.to_thread(shutil.rmtree, self._cache, ignore_errors=True)
        self._cache.mkdir(exist_ok=True)
        versions = "".join(f"{package.name}=={package.version}\n" for package in installed)
        held = self._cache / f"{hashlib.sha256(versions.encode()).hexdigest()}.txt"
        held.write_text(versions)
        said = await self._run(
            self._command(environment.release.version, held, installed),
            "".join(f"{requirement}\n" for requirement in asked),
            # uv takes settings from files below HOME too.
            HOME=str(self._cache),
            UV_HTTP_TIMEOUT=str(self._options.seconds),
            UV_HTTP_RETRIES="1",
        )
        if said.code:
            raise self._refusal(said.err)
        return [_locked(table) for table in tomllib.loads(said.out).get("packages", [])]

    def unpack(self, locked: Locked, archive: Path, site: Path, room: Room) -> None:
        """See `Index`."""
        wheels.unpack(locked, archive, site, room)

    def _command(self, python: str, held: Path, installed: Sequence[Package]) -> list[str | Path]:
        return [
            Path(sys.executable).with_name("uv"),
            *("pip", "compile", "-", "--format=pylock.toml", "--only-binary=:all:", "--no-header", "--quiet"),
            *("--no-config", "--no-python-downloads", f"--python={sys.executable}", f"--cache-dir={self._cache}"),
            *(f"--python-version={python}", f"--python-platform={_PLATFORM}", f"--constraint={held}"),
            *(f"--default-index={self._url}", "--color=never", "--no-progress"),
            *(f"--no-emit-package={package.name}" for package in installed),
        ]

    def _refusal(self, said: str) -> Refused:
        """What uv said, as a refusal."""
        if "No solution found" not in said:
            return self._away(said)
        reason = " ".join(said.partition("cause:")[2].partition("\nhint:")[0].split())
        if "usable wheels" in reason or "no wheels" in reason:
            return Refused(Code.PACKAGE_NEEDS_BUILD, f"Only wheels are taken, and nothing is built here. {reason}")
        if "invalid package format" in reason:
            return Refused(Code.PACKAGE_NOT_ALLOWED, reason)
        if "not found in the package registry" in reason or "depend" not in reason:
            return Refused(Code.PACKAGE_NOT_FOUND, reason)
        return Refused(Code.PACKAGES_CONFLICT, reason)


def _locked(table: dict[str, Any]) -> Locked:
    name = table["name"]
    found = table.get("wheels", [])
    if len(found) != 1:
        raise Refused(Code.PACKAGE_NEEDS_BUILD, f"{name} has no wheel for this environment; nothing is built here.")
    (wheel,) = found
    if "sha256" not in wheel["hashes"]:
        raise Refused(Code.PACKAGE_NOT_ALLOWED, f"The index gives no SHA-256 for {name}.")
    package = LockedPackage(name=name, version=table["version"], hash=f"sha256:{wheel['hashes']['sha256']}")
    return Locked(package, wheel["url"], wheel.get("size"))
