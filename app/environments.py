"""The environments that visitors' code can run in. Each is one entry in environments.toml and one folder in `images/`.

CONTRIBUTING.md describes how to add one.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter

TMP = "/tmp"  # noqa: S108 - each sandbox's own
"""The folder of a program's files inside a sandbox."""


@dataclass(frozen=True)
class Release:
    """A release of an interpreter: the first numbers of its version, and who makes the build that the image has.

    `end_of_life` is the last day of security fixes, by the interpreter's project or by the source, whichever is first.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    version: str
    source: str
    end_of_life: date


@dataclass(frozen=True)
class Environment:
    """An interpreter in an image of its own, and how to start it there."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: str
    """What requests, settings and metrics call it; its image is `sandbox-<name>`."""
    language: str
    """The programming language, in lower case. Several environments may share one."""
    main: str
    """File name of code that comes without one."""
    start: tuple[str, ...]
    """Command that runs a script, without the script's path. `{memory_mb}` stands for the profile's memory."""
    survey: str
    """Code in the environment's language that prints a JSON object: `version`, and `packages`, versions by name.
    `{packages}` stands for the environment's own, as Python writes a tuple."""
    hello: str
    """Code that prints `Hello, World!`: the page's first example, and what tests and measurements run."""
    ready: tuple[int, int]
    """Sandboxes kept ready while the operator sets no others: at rest, and at most under demand."""
    release: Release
    aliases: tuple[str, ...] = ()
    """Other names that requests may use. No two environments share one."""
    packages: tuple[str, ...] = ()
    """Packages whose versions its survey prints. Surveys that find the packages themselves need no names."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Environment variables of its programs, besides those that every sandbox has."""
    notices: tuple[re.Pattern[bytes], ...] = ()
    """Match code that could tell whether its interpreter was started before the code came."""
    reads_first: re.Pattern[str] | None = None
    """Matches names of files that the interpreter, or a package imported ahead, looks for before it runs the code."""
    pictures: str | None = None
    """Pattern of files in the results folder that are given back whether or not the request asks for them."""
    index: Literal["pypi", "npm"] | None = None
    """The kind of index of its packages. None: its programs can't ask for packages."""
    site: str | None = None
    """Folder below its root, empty in its image, where its interpreter looks for packages after its own library."""
    within: str | None = None
    """The environment whose image and sandboxes it uses, when it has none of its own."""
    default: bool = True
    """Whether visitors may use it while the operator names no environments."""

    @property
    def image(self) -> str:
        """Name of its image, and of the folder in `images/`."""
        return f"sandbox-{self.within or self.name}"

    def can_wait_for(self, sources: Mapping[str, bytes]) -> bool:
        """Whether an interpreter that was started before runs these files, by name, as one that is started for them.

        HOME is the files' folder, so an interpreter looks for its own settings among hidden ones. A main file with a
        NUL may be an archive or compiled code, which an interpreter recognises in a plain file alone.
        """
        others = [name for name in sources if name != self.main]
        if b"\0" in sources[self.main] or any(name.startswith(".") for name in others):
            return False
        if self.reads_first and any(map(self.reads_first.fullmatch, others)):
            return False
        return not any(notice.search(content) for notice in self.notices for content in sources.values())

    def command(self, main: str, args: Sequence[str], memory_mb: int) -> list[str]:
        """The command line that runs the file `main` with these arguments, for a sandbox with this memory in MB."""
        return [*(part.format(memory_mb=memory_mb) for part in self.start), f"{TMP}/{main}", *args]


def _read(file: Path) -> Mapping[str, Environment]:
    data = tomllib.loads(file.read_text())
    tables: dict[str, dict[str, Any]] = data["environments"]
    for name, given in tables.items():
        home = given.pop("like", given.get("within"))
        tables[name] = table = {**(tables[home] if home else {}), **given, "name": name}
        table["release"] = {"end_of_life": data["sources"].get(table["release"]["source"])} | table["release"]
    for table in tables.values():
        table["notices"] = [data["notices"][notice].encode() for notice in table.get("notices", ())]
        table["survey"] = table["survey"].replace("{packages}", str(tuple(table.get("packages", ()))))
    return TypeAdapter(dict[str, Environment]).validate_python(tables)


_ALL = _read(Path(__file__).with_suffix(".toml"))
ENVIRONMENTS = MappingProxyType({name: it for name, it in _ALL.items() if not it.within})
"""Those with an image of their own, by name."""
DEFAULT_ENVIRONMENTS = tuple(name for name, environment in ENVIRONMENTS.items() if environment.default)
VARIANTS = MappingProxyType({name: it for name, it in _ALL.items() if it.within})
"""Environments that use another's image, by name. They are served when the other one is."""
_NAMES = {alias: name for name, environment in _ALL.items() for alias in environment.aliases}


def canonical(name: str) -> str:
    """Return the name of the environment that has this alias; return any other text unchanged."""
    return _NAMES.get(name, name)


def described(name: str) -> Environment | None:
    """The environment or variant with this name."""
    return _ALL.get(name)
