"""The rules that allow certain values of inputs, as allowed.toml has them."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from policies.inputs import Inputs
from policies.rules import Rule


def other_than(allowed: Mapping[str, Sequence[Any]], inputs: Inputs) -> Iterator[str]:
    """A fault for each input that is present and has a value other than the allowed ones."""
    for name, values in allowed.items():
        if (value := inputs.get(name)) not in (None, *values):
            yield f"{name} is {value!r}"


ALLOWED_RULES = tuple(
    Rule(name, check=partial(other_than, entry.pop("allowed")), **entry)
    for name, entry in tomllib.loads(Path(__file__).with_suffix(".toml").read_text()).items()
)
