"""What Piston calls our environments: the names and versions of its packages, from piston_packages.toml."""

import contextlib
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import nodesemver  # type: ignore[import-untyped]
from pydantic import ConfigDict, TypeAdapter

from app.wire.problems import Code, Refused
from app.wire.protocol import EnvironmentInfo


@dataclass(frozen=True)
class Package:
    """A package of Piston. Its `language` may have another name than the package."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: str
    language: str
    aliases: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()


_TABLES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())
PACKAGES = TypeAdapter(dict[str, Package]).validate_python(_TABLES)
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
