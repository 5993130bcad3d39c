"""Settings in environment variables: one typed, frozen model for each process, written and read here.

The text of a variable is the value itself for a field that is text, and the value's
JSON for any other; a field that is None has no variable.
"""

import json
from collections.abc import Mapping
from typing import ClassVar, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails


class SettingsError(Exception):
    """The settings can't be used. The message has one line for each fault, with its key and the fix."""


class Settings(BaseModel):
    """Base of all settings. A field's docstring is its description: what the operator, or its variable, sets."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True)


def _from_json(value: object) -> object:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ValueError(f"Invalid JSON: {error}") from error


FROM_JSON = BeforeValidator(_from_json)
"""Marks the type of a field that is a list or an object: its variable is read as JSON."""


def path(fault: ErrorDetails) -> tuple[str, ...]:
    """Where in the settings a fault is, from the outermost key to the innermost."""
    # Pydantic adds "[key]" for a key of a mapping, and the type (a class, or "literal[...]") for a case of a union.
    return tuple(part for part in map(str, fault["loc"]) if "[" not in part and not part[:1].isupper())


def meaning(field: FieldInfo) -> str:
    """The description of a field, as one line."""
    return " ".join((field.description or "").split())


class ProcessSettings(Settings):
    """What one process reads: each field is the environment variable with this prefix and the field's name."""

    prefix: ClassVar[str]

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self:
        """The settings in the variables of `environ` that begin with the prefix.

        Raises:
            SettingsError: a variable is missing, unknown or wrong. The message names each of them.
        """
        names = [name for name in environ if name.startswith(cls.prefix)]
        try:
            return cls.model_validate({name.removeprefix(cls.prefix).lower(): environ[name] for name in names})
        except ValidationError as error:
            faults = error.errors(include_url=False, include_input=False)
            raise SettingsError("\n".join(map(cls._sentence, faults))) from None

    def variables(self) -> dict[str, str]:
        """The variables from which `read` reads equal settings: its exact inverse."""
        return {
            self.variable(field): value if isinstance(value, str) else json.dumps(value)
            for field, value in self.model_dump(mode="json").items()
            if value is not None
        }

    @classmethod
    def variable(cls, field: str) -> str:
        """The name of a field's variable."""
        return f"{cls.prefix}{field.upper()}"

    @classmethod
    def _sentence(cls, fault: ErrorDetails) -> str:
        field, *inner = path(fault)
        name = cls.variable(field)
        if fault["type"] == "extra_forbidden" and not inner:
            known = ", ".join(map(cls.variable, cls.model_fields))
            return f"{name} is not a setting. Remove it; the settings are {known}."
        fix = f"Set it to: {meaning(cls.model_fields[field])}"
        if fault["type"] == "missing" and not inner:
            return f"{name} is not set. {fix}"
        where = f" at {'.'.join(inner)}" if inner else ""
        return f"{name} is wrong{where}: {fault['msg'].removeprefix('Value error, ')}. {fix}"
