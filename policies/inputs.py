"""What a resource declares, as plain data.

The policy SDK hands out proxies that raise at an unknown value (one that only the update knows, such as the id of an
image that is yet to be pulled). The engine turns that into an advisory, so one unknown neighbour would switch a
mandatory rule off. Here it is the value `UNKNOWN` instead: the rules are allow-lists, which it never matches, and the
few values that may come from another resource are left to the update, where the same rules read them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any, Final

from pulumi_policy.proxy import UnknownValueError

STACK_LABEL = "vps.stack"
SERVICE_LABEL = "vps.service"


class Unknown(Enum):
    """The type of `UNKNOWN`."""

    UNKNOWN = "unknown before the update"

    def __repr__(self) -> str:
        return self.value


UNKNOWN: Final = Unknown.UNKNOWN


def plain(value: Any) -> Any:
    """Dicts, lists and scalars from the SDK's proxies; a whole number is an int (the wire only has floats)."""
    if isinstance(value, Mapping):
        return {key: _element(value, key) for key in value}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_element(value, index) for index in range(len(value))]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _element(collection: Any, key: Any) -> Any:
    try:
        return plain(collection[key])
    except UnknownValueError:
        return UNKNOWN


@dataclass(frozen=True)
class Inputs:
    """The inputs of one resource, after the provider's defaults, with the names of Pulumi's schema (camelCase)."""

    values: Mapping[str, Any]

    @classmethod
    def read(cls, props: Mapping[str, Any]) -> "Inputs":
        return cls(plain(props))

    def get(self, name: str) -> Any:
        """A value, `UNKNOWN`, or None where it is absent."""
        return self.values.get(name)

    def sequence(self, name: str) -> list[Any]:
        """The elements of a list; one `UNKNOWN` stands for a list that can't be read, and an absent one is empty."""
        value = self.get(name)
        if value is UNKNOWN:
            return [UNKNOWN]
        return list(value or [])

    def mapping(self, name: str) -> Mapping[str, Any]:
        """An object; empty where it is absent or can't be read."""
        value = self.get(name)
        return value if isinstance(value, dict) else {}

    @cached_property
    def labels(self) -> Mapping[str, Any]:
        """Docker labels, name to value."""
        return {item["label"]: item["value"] for item in self.sequence("labels") if isinstance(item, dict)}

    @property
    def service(self) -> str | None:
        """The service that a container of ours belongs to."""
        value = self.labels.get(SERVICE_LABEL)
        return value if isinstance(value, str) else None

    @property
    def has_process(self) -> bool:
        """Whether anything ever runs in this container.

        False only where neither the provider nor the engine would start it (config loaders): no start, no obligation
        to run, no restart policy. All three must be literal.
        """
        started = self.get("start") is not False or self.get("mustRun") is not False
        return started or self.get("restart") not in (None, "", "no")

    @property
    def environment(self) -> list[tuple[str, str]]:
        """The environment variables that can be read, in order; duplicates stay."""
        known = [entry for entry in self.sequence("envs") if isinstance(entry, str)]
        return [(name, value) for name, _, value in (entry.partition("=") for entry in known)]
