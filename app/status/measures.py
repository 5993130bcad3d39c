"""What Prometheus knows of the routes by their probes. Days are kept for longer than Prometheus keeps them."""

import http.client
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

from pydantic import BaseModel

DAYS = 90
_TIMEOUT_SECONDS = 10
_MOST_BYTES = 4 * 1024**2
_DAY = timedelta(days=1)
_STEP = timedelta(minutes=15)
_PROBE = "max by (route) (probe_success)"
_ANSWERED = "avg by (route) (avg_over_time(probe_success[{window}s]))"
_SECONDS = f"avg by (route) (avg_over_time(probe_duration_seconds[{int(_STEP.total_seconds())}s]))"


class Measured(BaseModel):
    """One route. `up` is None where nobody knows; `seconds` has the response times of the last 24 hours, a point each
    quarter of an hour, None where there was no probe; `days` the share of probes that succeeded, by the day in UTC."""

    up: bool | None = None
    seconds: list[float | None] = []
    days: dict[date, float] = {}


class Unreachable(Exception):
    """Prometheus does not answer, or not as it should."""


class Prometheus:
    """The HTTP API of Prometheus at a URL."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url).netloc

    def now(self, query: str, at: datetime) -> dict[str, float]:
        """The value by route at a moment."""
        return {route: float(it["value"][1]) for route, it in self._ask("query", query, time=at.timestamp()).items()}

    def between(self, query: str, first: datetime, last: datetime, step: timedelta) -> dict[str, dict[datetime, float]]:
        """The values by route and moment."""
        span = {"start": first.timestamp(), "end": last.timestamp(), "step": step.total_seconds()}
        return {
            route: {datetime.fromtimestamp(at, UTC): float(value) for at, value in it["values"]}
            for route, it in self._ask("query_range", query, **span).items()
        }

    def _ask(self, call: str, query: str, **parameters: float) -> dict[str, Any]:
        connection = http.client.HTTPConnection(self._address, timeout=_TIMEOUT_SECONDS)
        try:
            connection.request("GET", f"/api/v1/{call}?{urlencode({'query': query, **parameters})}")
            answer = connection.getresponse()
            content = json.loads(answer.read(_MOST_BYTES))
            return {it["metric"]["route"]: it for it in content["data"]["result"]}
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
            raise Unreachable(f"Prometheus at {self._address}: {error!r}") from error
        finally:
            connection.close()


def measure(
    prometheus: Prometheus, routes: Sequence[str], kept: Mapping[str, Measured], now: datetime
) -> dict[str, Measured]:
    """Each route as it is now. Days that are over and kept are not asked for again.

    Raises:
        Unreachable: Prometheus does not answer.
    """
    now = now.replace(microsecond=0)
    midnight = datetime.combine(now.date(), time(), UTC)
    up = prometheus.now(_PROBE, now)
    today = prometheus.now(_ANSWERED.format(window=max(1, int((now - midnight).total_seconds()))), now)
    points = [now - _STEP * back for back in reversed(range(_DAY // _STEP))]
    seconds = prometheus.between(_SECONDS, points[0], points[-1], _STEP)
    former = unknown(routes, kept, now)
    over = _days_over(prometheus, former, midnight)
    return {
        route: Measured(
            up=bool(up[route]) if route in up else None,
            seconds=[seconds.get(route, {}).get(point) for point in points],
            days={
                **former[route].days,
                **over.get(route, {}),
                **({now.date(): today[route]} if route in today else {}),
            },
        )
        for route in routes
    }


def unknown(routes: Sequence[str], kept: Mapping[str, Measured], now: datetime) -> dict[str, Measured]:
    """Each route while Prometheus does not answer."""
    return {route: Measured(days=recent(kept[route].days if route in kept else {}, now)) for route in routes}


def recent(days: Mapping[date, float], now: datetime) -> dict[date, float]:
    """The days that the page shows, the oldest first."""
    return {day: days[day] for day in sorted(days) if now.date() - day < timedelta(days=DAYS)}


def _days_over(
    prometheus: Prometheus, former: Mapping[str, Measured], midnight: datetime
) -> dict[str, dict[date, float]]:
    """The days since the last one that is kept for each route; today's is not over, and so is not final."""
    yesterday = midnight.date() - _DAY
    last = [max(it.days, default=date.min) for it in former.values()]
    first = max(min(last, default=yesterday), yesterday - timedelta(days=DAYS - 2))
    if first > yesterday:
        return {}
    # A value tells of the day that ends with it.
    ends = datetime.combine(first, time(), UTC) + _DAY
    found = prometheus.between(_ANSWERED.format(window=86400), ends, midnight, _DAY)
    return {route: {(at - _DAY).date(): value for at, value in values.items()} for route, values in found.items()}
