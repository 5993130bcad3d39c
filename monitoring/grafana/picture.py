"""Pictures of the dashboards, by their own queries, where no Grafana can be had to make a screenshot of.

`python -m monitoring.grafana.picture --prometheus URL --loki URL` asks running servers and writes docs/dashboards. A
URL may hold a user and a password.
"""

import argparse
import io
import math
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, Locator, MaxNLocator, MultipleLocator
from PIL import Image

from monitoring.grafana.answers import Answers, Period, client
from monitoring.grafana.files import PanelQuery, dashboards, queries
from monitoring.grafana.units import written

FOLDER = Path(__file__).parents[2] / "docs" / "dashboards"
_COLUMNS = 24
_CELL = 0.62, 0.44
"""Inches of a cell of the grid: width, height."""
_DPI = 85
_COLOURS = (
    "#1f77b4",
    "#e07b00",
    "#2b8a3e",
    "#c92a2a",
    "#7048c6",
    "#8c6d31",
    "#d6336c",
    "#868e96",
    "#99a800",
    "#0c8599",
)
_LEVELS = {"green": "#2b8a3e", "yellow": "#c78500", "red": "#c92a2a"}
_TEXT, _DIM, _LINE, _PAPER = "#24292e", "#6a737d", "#dee2e6", "#f1f3f5"
_MOST_NAMES = 12
_PALETTE = 160
_TITLE_CELLS = 2
_TICKS = (15, 30, 60, 300, 600, 1800, 3600, 10800, 21600, 86400, math.inf)
"""Seconds between two marks of a time axis: the first that leaves room for their text."""


def draw(dashboard: dict[str, Any], answers: Answers) -> bytes:
    """A dashboard as a PNG file."""
    cells = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"]) + _TITLE_CELLS
    figure = Figure((_COLUMNS * _CELL[0], cells * _CELL[1]), dpi=_DPI, facecolor=_PAPER)
    begin, end = (datetime.fromtimestamp(moment, UTC) for moment in (answers.period.begin, answers.period.end))
    top = 1 - 1 / cells
    figure.text(0.008, top, dashboard["title"], size=17, weight="bold", color=_TEXT, va="center")
    figure.text(0.992, top, f"{begin:%Y-%m-%d %H:%M} to {end:%H:%M} UTC", size=10, color=_DIM, va="center", ha="right")
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        left, bottom = at["x"] / _COLUMNS, 1 - (at["y"] + at["h"] + _TITLE_CELLS) / cells
        if panel["type"] == "row":
            figure.text(0.008, bottom + 0.4 / cells, panel["title"], size=12, color=_TEXT, va="center")
            continue
        frame = figure.add_axes(
            (left + 0.003, bottom + 0.1 / cells, at["w"] / _COLUMNS - 0.006, (at["h"] - 0.2) / cells)
        )
        frame.set(xticks=[], yticks=[])
        for spine in frame.spines.values():
            spine.set_color(_LINE)
        inches = at["w"] * _CELL[0], at["h"] * _CELL[1]
        frame.text(
            0.08 / inches[0], 1 - 0.2 / inches[1], panel["title"], size=9.5, weight="bold", color=_TEXT, va="center"
        )
        _DRAWN[panel["type"]](frame, inches, panel, list(queries(dashboard, panel)), answers)
    picture, lean = io.BytesIO(), io.BytesIO()
    figure.savefig(picture, format="png", facecolor=_PAPER)
    Image.open(picture).convert("RGB").quantize(_PALETTE).save(lean, format="png", optimize=True)
    return lean.getvalue()


def _graph(
    frame: Axes, inches: tuple[float, float], panel: dict[str, Any], asked: Sequence[PanelQuery], answers: Answers
) -> None:
    series = [found for query in asked for found in answers.series(query)]
    if not series:
        _nothing(frame)
        return
    width, height = inches
    names = math.ceil(min(len(series), _MOST_NAMES) / max(1, int(width / 1.7)))
    below = 0.34 + 0.19 * names
    axes = frame.inset_axes((0.78 / width, below / height, 1 - 0.88 / width, 1 - (below + 0.42) / height))
    defaults = panel["fieldConfig"]["defaults"]
    colours = [_COLOURS[index % len(_COLOURS)] for index in range(len(series))]
    if defaults["custom"].get("stacking", {}).get("mode") == "normal":
        times = sorted({moment for one in series for moment in one.values})
        values = [[one.values.get(moment, 0.0) for moment in times] for one in series]
        axes.stackplot(times, *values, labels=[one.name for one in series], colors=colours, alpha=0.75)
    else:
        for one, colour in zip(series, colours, strict=True):
            axes.plot(
                sorted(one.values), [one.values[at] for at in sorted(one.values)], label=one.name, color=colour, lw=1.2
            )
    highest = max(0.0, axes.get_ylim()[1]) or 1.0
    for step in defaults["thresholds"]["steps"]:
        # One far above all values would press them to the floor.
        if step["value"] is not None and step["value"] <= 3 * highest:
            axes.axhline(step["value"], color=_LEVELS[step["color"]], ls="--", lw=0.9)
            highest = max(highest, step["value"] * 1.1)
    axes.set_ylim(0, defaults.get("max", highest) * 1.02)
    axes.set_xlim(answers.period.begin, answers.period.end)
    apart = next(it for it in _TICKS if (answers.period.end - answers.period.begin) / it <= max(3, width))
    axes.xaxis.set_major_locator(MultipleLocator(apart))
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda at, _: f"{_moment(at):%H:%M:%S}" if apart < 60 else f"{_moment(at):%H:%M}")
    )
    axes.yaxis.set_major_locator(_marks(axes.get_ylim()[1], defaults["unit"]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: written(value, defaults["unit"])))
    axes.tick_params(labelsize=7.5, colors=_DIM, length=2)
    axes.grid(color=_LINE, lw=0.6)
    axes.set_facecolor("none")
    for spine in axes.spines.values():
        spine.set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    frame.legend(
        handles[:_MOST_NAMES],
        labels[:_MOST_NAMES],
        loc="lower left",
        bbox_to_anchor=(0, 0),
        ncols=min(len(handles), max(1, int(width / 1.7))),
        fontsize=7.5,
        frameon=False,
        labelcolor=_TEXT,
        handlelength=1.0,
        columnspacing=1.0,
        borderaxespad=0.2,
        borderpad=0.1,
        labelspacing=0.2,
    )


def _number(
    frame: Axes, inches: tuple[float, float], panel: dict[str, Any], asked: Sequence[PanelQuery], answers: Answers
) -> None:
    series = [found for query in asked for found in answers.series(query)]
    values = [value for _, value in sorted(series[0].values.items()) if math.isfinite(value)] if series else []
    if not values:
        _nothing(frame)
        return
    defaults = panel["fieldConfig"]["defaults"]
    reached = [
        it["color"] for it in defaults["thresholds"]["steps"] if it["value"] is None or it["value"] <= values[-1]
    ]
    colour = _LEVELS[reached[-1]]
    trend = frame.inset_axes((0, 0, 1, 0.35))
    trend.fill_between(range(len(values)), values, min(0.0, *values), color=colour, alpha=0.15, lw=0)
    trend.set_axis_off()
    trend.margins(x=0)
    frame.text(0.5, 0.48, written(values[-1], defaults["unit"]), size=19, color=colour, ha="center", va="center")


def _table(
    frame: Axes, inches: tuple[float, float], panel: dict[str, Any], asked: Sequence[PanelQuery], answers: Answers
) -> None:
    series = [found for query in asked for found in answers.series(query)]
    if not series:
        _nothing(frame)
        return
    width, height = inches
    hidden = panel["transformations"][0]["options"]["excludeByName"]
    columns = sorted({label for one in series for label in one.labels if label not in hidden})
    room = int((height - 0.8) / 0.2)
    rows = [columns, *sorted([one.labels.get(column, "") for column in columns] for one in series)[:room]]
    for number, row in enumerate(rows):
        for place, cell in enumerate(row):
            frame.text(
                (0.1 + place * (width - 0.2) / len(columns)) / width,
                1 - (0.55 + 0.2 * number) / height,
                cell[: int(width * 13 / len(columns))],
                size=7.5,
                color=_TEXT if number else _DIM,
                va="center",
            )


def _lines(
    frame: Axes, inches: tuple[float, float], panel: dict[str, Any], asked: Sequence[PanelQuery], answers: Answers
) -> None:
    width, height = inches
    (query,) = asked
    lines = answers.lines(query, int((height - 0.6) / 0.19))
    if not lines:
        _nothing(frame)
    for number, line in enumerate(lines):
        text = f"{_moment(line.time):%H:%M:%S} {line.service:<18} {line.text}"[: int(width * 16.4)]
        # A dollar would begin a formula.
        text = "".join(sign if sign.isprintable() else " " for sign in text).replace("$", r"\$")
        at = 1 - (0.5 + 0.19 * number) / height
        frame.text(0.1 / width, at, text, size=6.8, family="monospace", color=_TEXT, va="center")


def _marks(highest: float, unit: str) -> Locator:
    if unit in {"bytes", "Bps"}:
        return MultipleLocator(2.0 ** math.ceil(math.log2(highest / 5)))
    return MaxNLocator(4)


_DRAWN = {"timeseries": _graph, "stat": _number, "table": _table, "logs": _lines}


def _nothing(frame: Axes) -> None:
    frame.text(0.5, 0.45, "no data", size=10, color=_DIM, ha="center", va="center")


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def main() -> None:
    """Ask, draw, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--prometheus", required=True, help="its URL, as in http://admin:PASSWORD@prometheus.localhost:8000"
    )
    parser.add_argument("--loki", help="its URL; without it, the panels with log lines stay empty")
    parser.add_argument("--minutes", type=float, default=60, help="how far the pictures go back")
    options = parser.parse_args()
    end = time.time()
    period = Period(end - options.minutes * 60, end, max(1.0, round(options.minutes * 60 / 240)))
    servers = {"prometheus": client(options.prometheus)} | ({"loki": client(options.loki)} if options.loki else {})
    FOLDER.mkdir(parents=True, exist_ok=True)
    for dashboard in dashboards():
        (FOLDER / f"{dashboard['uid']}.png").write_bytes(draw(dashboard, Answers(servers, period)))


if __name__ == "__main__":
    main()
