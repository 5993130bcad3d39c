"""The inputs of a resource, as plain data.

The policy SDK passes proxies that raise an error at a value that is unknown at preview, such as the ID of an image that
is not pulled yet. Pulumi turns that error into an advisory, so a single unknown value would switch off a mandatory rule
for its resource. Here such a value is `UNKNOWN` instead. The rules are allow-lists, which it never matches, but
for the few values that may come from another resource: the update checks those by the same rules.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any, Final

from pulumi_policy.proxy import UnknownValueError

STACK_LABEL = "vps.stack"
SERVICE_LABEL = "vps.service"
_UNIT = re.compile(r"(?<=^api)-(\d+|rooms)\Z|(?<=^executor)-(\d+|rooms)\Z")


class Unknown(Enum):
    """The type of `UNKNOWN`."""

    UNKNOWN = "unknown before the update"

    def __repr__(self) -> str:
        return self.value


UNKNOWN: Final = Unknown.UNKNOWN


def plain(value: Any) -> Any:
    """Dicts, lists and scalars from the SDK's proxies. Whole numbers become ints, since gRPC transports floats only."""
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
    """The inputs of one resource, with the provider's defaults, by their names in Pulumi's schema (camelCase)."""

    values: Mapping[str, Any]

    @classmethod
    def read(cls, props: Mapping[str, Any]) -> "Inputs":
        return cls(plain(props))

    def get(self, name: str) -> Any:
        """The value of an input, `UNKNOWN`, or None where it is absent."""
        return self.values.get(name)

    def sequence(self, name: str) -> list[Any]:
        """The elements of a list: `[UNKNOWN]` for an unknown list, empty for an absent one."""
        value = self.get(name)
        if value is UNKNOWN:
            return [UNKNOWN]
        return list(value or [])

    def mapping(self, name: str) -> Mapping[str, Any]:
        """An object; empty where it is absent or unknown."""
        value = self.get(name)
        return value if isinstance(value, dict) else {}

    @cached_property
    def labels(self) -> Mapping[str, Any]:
        """The values of Docker labels by name."""
        return {item["label"]: item["value"] for item in self.sequence("labels") if isinstance(item, dict)}

    @property
    def service(self) -> str | None:
        """The service that the container belongs to, by its label, the same in each unit; None without one."""
        value = self.labels.get(SERVICE_LABEL)
        return _UNIT.sub("", value) if isinstance(value, str) else None

    @property
    def has_process(self) -> bool:
        """Whether a process ever runs in this container.

        False only for containers that neither the provider nor Docker starts (config loaders): `start` and `mustRun`
        are false and there is no restart policy, all three as literals.
        """
        started = self.get("start") is not False or self.get("mustRun") is not False
        return started or self.get("restart") not in (None, "", "no")

    @property
    def environment(self) -> list[tuple[str, str]]:
        """Names and values of the environment variables that are known, in order, with duplicates."""
        known = [entry for entry in self.sequence("envs") if isinstance(entry, str)]
        return [(name, value) for name, _, value in (entry.partition("=") for entry in known)]
