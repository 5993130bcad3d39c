"""Settings from environment variables: one typed, frozen model for each process, or an error that names each fault."""

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails


class SettingsError(Exception):
    """The settings can't be used. The message has one line for each variable at fault, with the fix."""


class Settings(BaseModel):
    """Base of a process's settings. A field's description says what its variable must be set to."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


S = TypeVar("S", bound=Settings)


def read_settings(model: type[S], prefix: str, environ: Mapping[str, str]) -> S:
    """The model filled from the variables that begin with `prefix`, or `SettingsError`."""
    given = {name.removeprefix(prefix).lower(): value for name, value in environ.items() if name.startswith(prefix)}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        raise SettingsError("\n".join(_sentence(model, prefix, fault) for fault in faults)) from None


def _sentence(model: type[Settings], prefix: str, fault: ErrorDetails) -> str:
    field, *inner = map(str, fault["loc"])
    variable = f"{prefix}{field.upper()}"
    if fault["type"] == "extra_forbidden" and not inner:
        known = ", ".join(f"{prefix}{name.upper()}" for name in model.model_fields)
        return f"{variable} is not a setting. Remove it; the settings are {known}."
    fix = f"Set it to: {model.model_fields[field].description}"
    if fault["type"] == "missing" and not inner:
        return f"{variable} is not set. {fix}"
    where = f" at {'.'.join(inner)}" if inner else ""
    return f"{variable} is wrong{where}: {fault['msg'].removeprefix('Value error, ')}. {fix}"
