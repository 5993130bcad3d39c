"""Values as Grafana writes them, for the units that the dashboards use."""

import math
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType


def _scaled(value: float, base: float, names: tuple[str, ...]) -> str:
    power = 0
    while abs(value) >= base and power < len(names) - 1:
        value /= base
        power += 1
    return f"{_plain(value)}{names[power]}"


def _plain(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 or value == round(value) else f"{value:.3g}"


def _bytes(value: float) -> str:
    return _scaled(value, 1024, (" B", " KiB", " MiB", " GiB", " TiB"))


def _count(value: float) -> str:
    return _scaled(value, 1000, ("", " K", " M", " G"))


def _seconds(value: float) -> str:
    if abs(value) >= 5400:
        return f"{_plain(value / 3600)} h"
    if abs(value) >= 90:
        return f"{_plain(value / 60)} min"
    return f"{_plain(value)} s" if abs(value) >= 1 or value == 0 else f"{_plain(value * 1000)} ms"


_UNITS: Mapping[str, Callable[[float], str]] = MappingProxyType(
    {
        "short": _count,
        "bytes": _bytes,
        "Bps": lambda value: f"{_bytes(value)}/s",
        "percentunit": lambda value: f"{_plain(value * 100)}%",
        "reqps": lambda value: f"{_count(value)}/s",
        "cps": lambda value: f"{_count(value)}/s",
        "s": _seconds,
        "d": lambda value: f"{value:.0f} days",
        "dateTimeFromNow": lambda value: f"{_seconds(time.time() - value / 1000)} ago",
    }
)


def written(value: float, unit: str) -> str:
    """A value with its unit.

    Raises:
        KeyError: no dashboard of ours has this unit yet.
    """
    return "-" if not math.isfinite(value) else _UNITS[unit](value)
