"""Limits of containers: memory, CPU time, processes, open files and log size."""

import math
from collections.abc import Iterator
from typing import Any

from policies.inputs import Inputs
from policies.rules import rule

_ULIMITS = ("nofile", "nproc")
_BOUNDED_LOG_DRIVERS = ("json-file", "local")


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


@rule("container-memory", cis="5.11", running=True)
def memory(inputs: Inputs) -> Iterator[str]:
    """A container's memory is limited.

    Fix: Set `memory`, in MiB.
    """
    if not _positive(inputs.get("memory")):
        yield f"memory is {inputs.get('memory')!r}"


@rule("container-swap", cis="5.11", running=True)
def swap(inputs: Inputs) -> Iterator[str]:
    """A container has no swap beyond its memory.

    Fix: Set memorySwap (memory and swap together, in MiB) to the same number as `memory`.
    """
    total = inputs.get("memorySwap")
    if not _positive(total) or total != inputs.get("memory"):
        yield f"memorySwap is {total!r} with memory {inputs.get('memory')!r}"


@rule("container-cpus", cis="5.12", running=True)
def cpus(inputs: Inputs) -> Iterator[str]:
    """A container's CPU time is limited.

    Fix: Set `cpus`, in cores, as a string.
    """
    value = inputs.get("cpus")
    try:
        cores = float(value)
    except (TypeError, ValueError):
        cores = 0
    if not _positive(cores):
        yield f"cpus is {value!r}"


@rule("container-ulimits", cis="5.19, 5.29", running=True)
def ulimits(inputs: Inputs) -> Iterator[str]:
    """A container's open files and processes are limited (the provider has no input for a pids limit).

    Fix: Set the ulimits nofile and nproc to positive numbers.
    """
    declared = {limit["name"]: limit for limit in inputs.sequence("ulimits") if isinstance(limit, dict)}
    for name in _ULIMITS:
        limit = declared.get(name, {})
        if not _positive(limit.get("soft")) or not _positive(limit.get("hard")):
            yield f"ulimit {name} is {limit or None!r}"


@rule("container-log-size", running=True)
def log_size(inputs: Inputs) -> Iterator[str]:
    """The size of a container's log is limited.

    Fix: Set logDriver to 'json-file' or 'local', and max-size in logOpts.
    """
    driver, size = inputs.get("logDriver"), inputs.mapping("logOpts").get("max-size")
    if driver not in _BOUNDED_LOG_DRIVERS or not isinstance(size, str) or size.startswith("-"):
        yield f"logDriver is {driver!r} with max-size {size!r}"
