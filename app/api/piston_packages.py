"""What Piston calls our environments: the names and versions of its packages.

The data are from the `metadata.json` files of Piston's repository on 26 March 2026 (commit 0a844d0). `versions` are all
versions of a package there, which include those of Piston's public service. Left out are `python2`, whose code Python 3
can't run, and the languages of Deno, which is another runtime.
"""

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import nodesemver  # type: ignore[import-untyped]

from app.wire.problems import Code, Refused
from app.wire.protocol import EnvironmentInfo


@dataclass(frozen=True)
class Package:
    """A package of Piston. Its `language` may have another name than the package."""

    name: str
    language: str
    aliases: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()


PACKAGES: Mapping[str, Package] = MappingProxyType(
    {
        "python": Package(
            name="python",
            language="python",
            aliases=("py", "py3", "python3", "python3.10", "python3.11", "python3.12"),
            versions=("3.5.10", "3.9.1", "3.9.4", "3.10.0-alpha.7", "3.10.0", "3.11.0", "3.12.0"),
        ),
        "node": Package(
            name="node",
            language="javascript",
            aliases=("node-javascript", "node-js", "javascript", "js"),
            versions=("15.10.0", "16.3.0", "18.15.0", "20.11.1"),
        ),
        "typescript": Package(
            name="typescript",
            language="typescript",
            aliases=("ts", "node-ts", "tsc", "typescript5", "ts5"),
            versions=("4.2.3", "5.0.3"),
        ),
        "bash": Package(name="bash", language="bash", aliases=("sh",), versions=("5.1.0", "5.2.0")),
        "ruby": Package(name="ruby", language="ruby", aliases=("ruby3", "rb"), versions=("2.5.1", "3.0.1")),
        "sqlite": Package(name="sqlite3", language="sqlite3", aliases=("sqlite", "sql"), versions=("3.36.0",)),
    }
)
"""The package for each environment, by the environment's name."""


@dataclass(frozen=True)
class Runtime:
    """An environment as a runtime of Piston."""

    environment: EnvironmentInfo

    @property
    def package(self) -> Package:
        """Piston's package for the environment, or one with the environment's name if Piston has none."""
        name = self.environment.name
        return PACKAGES.get(name, Package(name=name, language=name))

    @property
    def aliases(self) -> tuple[str, ...]:
        """All other names of the language: Piston's, and the environment's name and aliases."""
        names = (*self.package.aliases, self.environment.name, *self.environment.aliases)
        return tuple(name for name in dict.fromkeys(names) if name != self.package.language)

    def answers(self, language: str, versions: nodesemver.Range) -> bool:
        """Whether it runs this language, and its own version or one that Piston had is in the range."""
        return language in {self.package.language, *self.aliases} and any(
            map(versions.test, (self.environment.version, *self.package.versions))
        )


def find_runtime(environments: Iterable[EnvironmentInfo], language: str, version: str) -> Runtime:
    """The first runtime that answers; `Refused` if none does. `version` is a version or a range in npm's syntax."""
    with contextlib.suppress(ValueError):
        versions = nodesemver.make_range(version, loose=True)
        for runtime in map(Runtime, environments):
            if runtime.answers(language, versions):
                return runtime
    raise Refused(Code.UNKNOWN_ENVIRONMENT, f"{language}-{version} runtime is unknown")
