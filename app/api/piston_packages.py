"""What Piston calls our environments: the names and versions of its packages.

The data were taken from the `metadata.json` of Piston's packages as its repository had them on 26 March 2026 (commit
0a844d0). `versions` are all that Piston has released of a package, its public service's among them. Left out are
`python2`, which Python 3 can't run, and Deno's `javascript` 1.x, which is another runtime.
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
    """A package of Piston. `language` is what it runs, which may differ from the package's own `name`."""

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
        "bash": Package(name="bash", language="bash", aliases=("sh",), versions=("5.1.0", "5.2.0")),
        "ruby": Package(name="ruby", language="ruby", aliases=("ruby3", "rb"), versions=("2.5.1", "3.0.1")),
        "sqlite": Package(name="sqlite3", language="sqlite3", aliases=("sqlite", "sql"), versions=("3.36.0",)),
    }
)
"""By the name of the environment."""


@dataclass(frozen=True)
class Runtime:
    """An environment as Piston would list it."""

    environment: EnvironmentInfo

    @property
    def package(self) -> Package:
        """The package; one with the environment's own name when Piston has none."""
        name = self.environment.name
        return PACKAGES.get(name, Package(name=name, language=name))

    @property
    def aliases(self) -> tuple[str, ...]:
        """All other names of the language, Piston's and ours."""
        names = (*self.package.aliases, self.environment.name, *self.environment.aliases)
        return tuple(name for name in dict.fromkeys(names) if name != self.package.language)

    def answers(self, language: str, versions: nodesemver.Range) -> bool:
        """Whether it runs this language in one of these versions, or in place of one that Piston had."""
        return language in {self.package.language, *self.aliases} and any(
            map(versions.test, (self.environment.version, *self.package.versions))
        )


def find_runtime(environments: Iterable[EnvironmentInfo], language: str, version: str) -> Runtime:
    """The runtime that answers, or `Refused`. `version` is a version or a range as npm writes it."""
    with contextlib.suppress(ValueError):
        versions = nodesemver.make_range(version, loose=True)
        for runtime in map(Runtime, environments):
            if runtime.answers(language, versions):
                return runtime
    raise Refused(Code.UNKNOWN_ENVIRONMENT, f"{language}-{version} runtime is unknown")
