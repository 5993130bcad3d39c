"""Draws the pictures of the dashboards that lie beside this file, by the dashboards' own queries.

`python -m docs.dashboards.draw --prometheus URL --loki URL` asks the servers of a running stack. A URL may hold a user
and a password, as in http://admin:PASSWORD@prometheus.localhost:8000.
"""

import argparse
import io
import math
import re
import textwrap
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator, MultipleLocator, PercentFormatter
from matplotlib.transforms import Bbox
from PIL import Image

from monitoring.grafana.files import dashboards, queries

FOLDER = Path(__file__).parent
_COLUMNS = 24
_CELL = 0.62, 0.44
"""Inches of a cell of the dashboard's grid: width, height."""
_TITLE_CELLS = 2
_LEVELS = {"green": "#2b8a3e", "yellow": "#c78500", "red": "#c92a2a"}
_TEXT, _DIM, _LINE, _PAPER = "#24292e", "#6a737d", "#dee2e6", "#f1f3f5"
_SMALL = 7.5
_MOST_NAMES = 12
_BETWEEN_MARKS = (60, 300, 600, 1800, 3600, 10_800, 21_600, 86_400, math.inf)
"""Seconds between two marks of a time axis: the first of these that leaves room for their text."""
_UNITS = {"short": "", "bytes": " B", "Bps": " B/s", "reqps": "/s", "cps": "/s", "s": " s", "d": " days"}


@dataclass(frozen=True)
class Servers:
    """Prometheus and Loki, by the uid of their data source, and the time that is asked for, in seconds since 1970.

    Queries of a server that is not given have no answer.
    """

    clients: Mapping[str, httpx.Client]
    begin: float
    end: float

    def answers(self, panel: Mapping[str, Any]) -> list[tuple[str, dict[str, str], list[list[Any]]]]:
        """The legend, the labels, and the pairs of a time and a value, for each series of a panel."""
        found = []
        for query in queries({"uid": ""}, dict(panel)):
            if (client := self.clients.get(query.source)) is None:
                continue
            path = "/loki/api/v1/query" if query.source == "loki" else "/api/v1/query"
            asked = {"query": query.expr}
            if query.instant:
                asked["time"] = f"{self.end:.3f}"
            else:
                path += "_range"
                asked |= {"start": f"{self.begin:.3f}", "end": f"{self.end:.3f}"}
                asked |= {"step": f"{max(1, (self.end - self.begin) / 240):.0f}"}
            answer = client.get(path, params=asked)
            answer.raise_for_status()
            for series in answer.json()["data"]["result"]:
                labels = series.get("metric", series.get("stream"))
                values = series["values"] if "values" in series else [series["value"]]
                found.append((re.sub(r"\{\{(\w+)\}\}", _label(labels), query.legend), labels, values))
        return found


def client(url: str) -> httpx.Client:
    """A client for a server's URL. A name below localhost is this machine: not every resolver knows that."""
    target = httpx.URL(url)
    headers = {}
    if target.host.endswith(".localhost"):
        headers["host"] = target.netloc.decode()
        target = target.copy_with(host="127.0.0.1")
    return httpx.Client(base_url=target, headers=headers, timeout=20, trust_env=False)


def draw(dashboard: Mapping[str, Any], servers: Servers) -> bytes:
    """The picture of a dashboard, as a PNG."""
    cells = max(it["gridPos"]["y"] + it["gridPos"]["h"] for it in dashboard["panels"]) + _TITLE_CELLS
    figure = Figure((_COLUMNS * _CELL[0], cells * _CELL[1]), dpi=85, facecolor=_PAPER)
    period = f"{_time(servers.begin):%Y-%m-%d %H:%M} to {_time(servers.end):%H:%M} UTC"
    figure.text(0.008, 1 - 1 / cells, dashboard["title"], size=17, weight="bold", color=_TEXT, va="center")
    figure.text(0.992, 1 - 1 / cells, period, size=10, color=_DIM, va="center", ha="right")
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        left, bottom = at["x"] / _COLUMNS, 1 - (at["y"] + at["h"] + _TITLE_CELLS) / cells
        if panel["type"] == "row":
            figure.text(0.008, bottom + 0.4 / cells, panel["title"], size=12, color=_TEXT, va="center")
            continue
        size = at["w"] / _COLUMNS - 0.006, (at["h"] - 0.2) / cells
        frame = figure.add_axes((left + 0.003, bottom + 0.1 / cells, *size))
        frame.set(xticks=[], yticks=[])
        frame.spines[:].set_color(_LINE)
        frame.set_title(panel["title"], loc="left", x=0.01, y=1, pad=-12, size=9.5, weight="bold", color=_TEXT)
        if answers := servers.answers(panel):
            _DRAWN[panel["type"]](frame, panel, answers, servers)
        else:
            frame.text(0.5, 0.45, "no data", size=10, color=_DIM, ha="center", va="center")
    picture, lean = io.BytesIO(), io.BytesIO()
    figure.savefig(picture, format="png", facecolor=_PAPER)
    Image.open(picture).convert("RGB").quantize(160).save(lean, format="png", optimize=True)
    return lean.getvalue()


Answered = Sequence[tuple[str, Mapping[str, str], Sequence[Sequence[Any]]]]


def _graph(frame: Axes, panel: Mapping[str, Any], answers: Answered, servers: Servers) -> None:
    width, height = _inches(panel)
    columns = max(1, panel["gridPos"]["w"] // 3)
    below = (0.34 + 0.19 * math.ceil(min(len(answers), _MOST_NAMES) / columns)) / height
    axes = frame.inset_axes((0.78 / width, below, 1 - 0.88 / width, 1 - below - 0.42 / height))
    defaults = panel["fieldConfig"]["defaults"]
    names = [name for name, *_ in answers]
    lines = [{float(at): float(value) for at, value in values} for *_, values in answers]
    if defaults["custom"].get("stacking", {}).get("mode") == "normal":
        times = sorted({at for line in lines for at in line})
        axes.stackplot(times, *([line.get(at, 0.0) for at in times] for line in lines), labels=names, alpha=0.75)
    else:
        for name, line in zip(names, lines, strict=True):
            axes.plot([*line], [*line.values()], label=name, lw=1.2)
    highest = max(0.0, axes.get_ylim()[1]) or 1.0
    for step in defaults["thresholds"]["steps"]:
        if step["value"] is not None and step["value"] <= 3 * highest:  # a higher one would flatten the lines
            axes.axhline(step["value"], color=_LEVELS[step["color"]], ls="--", lw=0.9)
            highest = max(highest, step["value"] * 1.1)
    axes.set(ylim=(0, defaults.get("max", highest) * 1.02), xlim=(servers.begin, servers.end))
    marks = max(3, panel["gridPos"]["w"] // 2)
    apart = next(it for it in _BETWEEN_MARKS if (servers.end - servers.begin) / it <= marks)
    axes.xaxis.set_major_locator(MultipleLocator(apart))
    axes.xaxis.set_major_formatter(lambda at, _: f"{_time(at):%H:%M}")
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter(lambda value, _: _written(value, defaults["unit"]))
    axes.tick_params(labelsize=_SMALL, colors=_DIM, length=2)
    axes.grid(color=_LINE, lw=0.6)
    axes.set_facecolor("none")
    axes.spines[:].set_visible(False)
    handles, names = axes.get_legend_handles_labels()
    style = {"fontsize": _SMALL, "frameon": False, "labelcolor": _TEXT, "handlelength": 1.0, "labelspacing": 0.2}
    frame.legend(handles[:_MOST_NAMES], names[:_MOST_NAMES], loc="lower left", ncols=columns, **style)


def _number(frame: Axes, panel: Mapping[str, Any], answers: Answered, servers: Servers) -> None:
    values = [float(value) for _, value in answers[0][2] if math.isfinite(float(value))] or [math.nan]
    defaults = panel["fieldConfig"]["defaults"]
    reached = [it for it in defaults["thresholds"]["steps"] if it["value"] is None or it["value"] <= values[-1]]
    colour = _LEVELS[reached[-1]["color"]]
    trend = frame.inset_axes((0, 0, 1, 0.35))
    trend.fill_between(range(len(values)), values, min(0.0, *values), color=colour, alpha=0.15, lw=0)
    trend.set_axis_off()
    trend.margins(x=0)
    if (unit := defaults["unit"]) == "dateTimeFromNow":
        text = f"{_written(servers.end - values[-1] / 1000, 's')} ago"
    else:
        text = _written(values[-1], unit)
    frame.text(0.5, 0.48, text, size=19, color=colour, ha="center", va="center")


def _table(frame: Axes, panel: Mapping[str, Any], answers: Answered, servers: Servers) -> None:
    hidden = panel["transformations"][0]["options"]["excludeByName"]
    columns = sorted({label for _, labels, _ in answers for label in labels if label not in hidden})
    rows = sorted([labels.get(column, "") for column in columns] for _, labels, _ in answers)
    _, height = _inches(panel)
    rows = rows[: int((height - 0.8) / 0.2)]
    tall = 0.2 * (len(rows) + 1) / height
    place = Bbox.from_bounds(0.01, 1 - 0.4 / height - tall, 0.98, tall)
    shown = frame.table(rows, colLabels=columns, cellLoc="left", colLoc="left", edges="open", bbox=place)
    shown.auto_set_font_size(False)
    shown.set_fontsize(_SMALL)
    for (row, _), cell in shown.get_celld().items():
        cell.get_text().set_color(_TEXT if row else _DIM)


def _lines(frame: Axes, panel: Mapping[str, Any], answers: Answered, servers: Servers) -> None:
    width, height = _inches(panel)
    lines = sorted(((int(at), labels, text) for _, labels, values in answers for at, text in values), reverse=True)
    written = [
        f"{_time(at / 1e9):%H:%M:%S} {labels.get('service', labels.get('source', '')):<18} "
        + "".join(sign if sign.isprintable() else " " for sign in text)
        for at, labels, text in lines[: int((height - 0.6) / 0.19)]
    ]
    text = "\n".join(line[: int(width * 16.4)] for line in written)
    style: dict[str, Any] = {"size": 6.8, "family": "monospace", "parse_math": False, "linespacing": 1.75}
    frame.text(0.1 / width, 1 - 0.4 / height, text, color=_TEXT, va="top", **style)


_DRAWN = {"timeseries": _graph, "stat": _number, "table": _table, "logs": _lines}


def _inches(panel: Mapping[str, Any]) -> tuple[float, float]:
    return panel["gridPos"]["w"] * _CELL[0], panel["gridPos"]["h"] * _CELL[1]


def _written(value: float, unit: str) -> str:
    if unit == "percentunit":
        return PercentFormatter(1, decimals=None).format_pct(value, 1)
    if unit != "s" and abs(value) < 1:
        return f"{value:.3g}{_UNITS[unit]}"
    if unit == "s" and value >= 3600:
        return f"{value / 3600:.3g} h"
    name = _UNITS[unit]
    return EngFormatter(name.strip(), sep=" " if name.startswith(" ") else "").format_data(float(f"{value:.3g}"))


def _label(labels: Mapping[str, str]) -> Any:
    return lambda found: labels.get(found[1], "")


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def main() -> None:
    """Ask, draw and write."""
    parser = argparse.ArgumentParser(description=textwrap.shorten(__doc__ or "", 80, placeholder=""))
    parser.add_argument("--prometheus", required=True, help="its URL")
    parser.add_argument("--loki", help="its URL; without it, the panels with log lines stay empty")
    parser.add_argument("--minutes", type=float, default=60, help="how far the pictures go back")
    options = parser.parse_args()
    given = {"prometheus": options.prometheus, "loki": options.loki}
    clients = {name: client(url) for name, url in given.items() if url}
    end = time.time()
    for dashboard in dashboards():
        picture = draw(dashboard, Servers(clients, end - options.minutes * 60, end))
        (FOLDER / f"{dashboard['uid']}.png").write_bytes(picture)


if __name__ == "__main__":
    main()
