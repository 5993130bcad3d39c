"""Finds patterns in visitors' code that look dangerous, and warns of them in the answer and in the log.

Isolation never depends on this: code can do the same in another way, and legitimate code may match. With the setting
API_REFUSE_PATTERNS the operator has such code refused.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter


@dataclass(frozen=True)
class Pattern:
    """An entry of patterns.toml. `expressions` are by language, the first word of an environment's name, or `any`."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: str
    warning: str
    expressions: Mapping[str, re.Pattern[str]]

    def matches(self, language: str, text: str) -> bool:
        """Whether code in this language has the pattern."""
        return any(found.search(text) for key, found in self.expressions.items() if key in (language, "any"))


_TABLES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())
PATTERNS = TypeAdapter(tuple[Pattern, ...]).validate_python([{"name": name, **it} for name, it in _TABLES.items()])


def dangerous(environment: str, texts: Iterable[str]) -> tuple[Pattern, ...]:
    """The patterns that match a text of an execution, in the order of `PATTERNS`."""
    language = environment.partition("-")[0]
    code = tuple(texts)
    return tuple(pattern for pattern in PATTERNS if any(pattern.matches(language, text) for text in code))
