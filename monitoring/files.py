"""The configuration files of this package: YAML in each program's own format, with `$name` for what a stack sets."""

from pathlib import Path
from string import Template
from typing import Any

import yaml

_FOLDER = Path(__file__).parent


def load(file: str | Path, **values: object) -> Any:
    """The content of a file, with a value for each of its placeholders. A relative path begins at this package.

    Raises:
        KeyError: a placeholder has no value.
    """
    return yaml.safe_load(Template((_FOLDER / file).read_text()).substitute(values))


def render(file: str, **values: object) -> str:
    """The same as text. It has no comments, so that a change of one replaces no service."""
    return yaml.safe_dump(load(file, **values))
