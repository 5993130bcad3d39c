"""The table of the public interface, read from operations.toml: each route with its documentation."""

import tomllib
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from app.api.operation import Operation


def _read(file: Path) -> tuple[Operation, ...]:
    data = tomllib.loads(file.read_text())
    shared: dict[str, list[str]] = data["refusals"]
    tables: dict[str, dict[str, Any]] = data["operations"]
    for path, given in tables.items():
        tables[path] = table = {**tables.get(given.pop("like", ""), {}), **given, "path": path}
        table["refusals"] = [code for name in table.get("refusals", ()) for code in shared.get(name, [name])]
    return TypeAdapter(tuple[Operation, ...]).validate_python(tuple(tables.values()))


OPERATIONS = _read(Path(__file__).with_suffix(".toml"))
"""Every operation of the public interface."""
