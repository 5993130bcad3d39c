"""Settings in environment variables: one typed, frozen model for each process, written and read here.

A field's variable is its prefix and its name. The text is the value itself for a field that is text, and the value's
JSON for any other; a field that is None has no variable.
"""

import json
from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails


class SettingsError(Exception):
    """The settings can't be used. The message has one line for each fault, with its key and the fix."""


class Settings(BaseModel):
    """Base of all settings. A field's docstring is its description: what the operator, or its variable, sets."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True)


S = TypeVar("S", bound=Settings)


def _from_json(value: object) -> object:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ValueError(f"Invalid JSON: {error}") from error


FROM_JSON = BeforeValidator(_from_json)
"""Marks the type of a field that is a list or an object: its variable is read as JSON."""


def read_settings(model: type[S], prefix: str, environ: Mapping[str, str]) -> S:
    """The model filled from the variables that begin with `prefix`.

    Raises:
        SettingsError: a variable is missing, unknown or wrong. The message names each of them.
    """
    given = {name.removeprefix(prefix).lower(): value for name, value in environ.items() if name.startswith(prefix)}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        raise SettingsError("\n".join(_sentence(model, prefix, fault) for fault in faults)) from None


def write_settings(settings: Settings, prefix: str) -> dict[str, str]:
    """The variables from which `read_settings` reads an equal model: its exact inverse."""
    return {
        variable(prefix, field): value if isinstance(value, str) else json.dumps(value)
        for field, value in settings.model_dump(mode="json").items()
        if value is not None
    }


def variable(prefix: str, field: str) -> str:
    """The name of a field's variable."""
    return f"{prefix}{field.upper()}"


def path(fault: ErrorDetails) -> tuple[str, ...]:
    """Where in the settings a fault is, from the outermost key to the innermost."""
    # Pydantic adds "[key]" for a key of a mapping, and the type (a class, or "literal[...]") for a case of a union.
    return tuple(part for part in map(str, fault["loc"]) if "[" not in part and not part[:1].isupper())


def meaning(field: FieldInfo) -> str:
    """The description of a field, as one line."""
    return " ".join((field.description or "").split())


def _sentence(model: type[Settings], prefix: str, fault: ErrorDetails) -> str:
    field, *inner = path(fault)
    name = variable(prefix, field)
    if fault["type"] == "extra_forbidden" and not inner:
        known = ", ".join(variable(prefix, known) for known in model.model_fields)
        return f"{name} is not a setting. Remove it; the settings are {known}."
    fix = f"Set it to: {meaning(model.model_fields[field])}"
    if fault["type"] == "missing" and not inner:
        return f"{name} is not set. {fix}"
    where = f" at {'.'.join(inner)}" if inner else ""
    return f"{name} is wrong{where}: {fault['msg'].removeprefix('Value error, ')}. {fix}"
