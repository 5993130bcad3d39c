"""Writes the dashboards' JSON (`python -m monitoring.grafana.render`), which is committed, from `boards/*.yaml`.

A board names its rows, and a row its panels. Every query is one that its server takes as it stands, without Grafana's
macros or variables: the tests and docs/dashboards/draw.py ask the same text. That is why the windows are fixed.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import yaml
from grafana_foundation_sdk.builders import common as options
from grafana_foundation_sdk.builders import dashboard, logs, loki, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as shapes
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import prometheus as answers

from monitoring.grafana.files import FOLDER
from monitoring.grafana.sources import JAEGER, LOKI, PROMETHEUS, explore

BOARDS = Path(__file__).parent / "boards"
LINKS = {
    "traces": (
        "Traces of this time",
        explore(JAEGER, {"queryType": "search", "service": "api", "operation": "execute"}),
    ),
    "logs": ("Log lines of this time", explore(LOKI, {"expr": '{service=~"api|executor"}', "queryType": "range"})),
}
"""Title and URL of the links that a graph may have."""
_TAG = "platform"
_SOURCES = {source.kind: source for source in (PROMETHEUS, LOKI)}


@dataclass(frozen=True, kw_only=True)
class Panel(ABC):
    """What all kinds of panels have. Width and height are in cells of a grid that is 24 wide.

    `queries` are expressions by legend, which may hold {{labels}}; `query` is one without a legend. `levels` are values
    by the colour that begins there.
    """

    title: str
    description: str
    query: str = ""
    queries: Mapping[str, str] | None = None
    source: str = PROMETHEUS.kind
    unit: str = ""
    levels: Mapping[str, float] | None = None
    width: int
    height: int
    instant: ClassVar[bool] = False
    """Whether only the values at the end of the time are asked for, as a table."""

    @abstractmethod
    def panel(self) -> Any:
        """The SDK's builder of this kind of panel, with what is special in it."""

    def build(self) -> Any:
        """The SDK's builder of the panel."""
        return (
            self.panel()
            .title(self.title)
            .description(self.description)
            .datasource(_SOURCES[self.source].reference())
            .targets([self._target(*query) for query in enumerate((self.queries or {"": self.query}).items())])
            .span(self.width)
            .height(self.height)
        )

    def _target(self, number: int, query: tuple[str, str]) -> Any:
        kind: Any = loki if self.source == LOKI.kind else prometheus
        legend, expr = query
        target = kind.Dataquery().expr(expr).legend_format(legend).ref_id(chr(ord("A") + number))
        if kind is loki:
            return target
        return target.instant().format(answers.PromQueryFormat.TABLE) if self.instant else target.range()

    def _thresholds(self, base: str) -> dashboard.ThresholdsConfig:
        steps = [models.Threshold(value=None, color=base)]
        steps += [models.Threshold(value=value, color=color) for color, value in (self.levels or {}).items()]
        return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


@dataclass(frozen=True, kw_only=True)
class Graph(Panel):
    """Lines over time, or areas that are stacked. `most` is the end of the axis; `links` are keys of LINKS."""

    width: int = 8
    height: int = 8
    stacked: bool = False
    most: float | None = None
    links: Sequence[str] = ()

    def panel(self) -> timeseries.Panel:
        """See `Panel`."""
        bottom = options.VizLegendOptions().display_mode(shapes.LegendDisplayMode.LIST)
        all_of_a_time = options.VizTooltipOptions().mode(shapes.TooltipDisplayMode.MULTI)
        panel = (
            timeseries.Panel()
            .unit(self.unit)
            .min(0)
            .fill_opacity(60 if self.stacked else 8)
            .line_width(1)
            .legend(bottom.placement(shapes.LegendPlacement.BOTTOM).show_legend(True))
            .tooltip(all_of_a_time.sort(shapes.SortOrder.DESCENDING))
            .thresholds(self._thresholds("green"))
        )
        if self.most is not None:
            panel = panel.max(self.most)
        if self.stacked:
            panel = panel.stacking(options.StackingConfig().mode(shapes.StackingMode.NORMAL))
        if self.levels:
            dashed = options.GraphThresholdsStyleConfig().mode(shapes.GraphThresholdsStyleMode.DASHED)
            panel = panel.thresholds_style(dashed)
        return panel.data_links([_link(*LINKS[link]) for link in self.links]) if self.links else panel


@dataclass(frozen=True, kw_only=True)
class Number(Panel):
    """The value now, coloured by `levels`. `good` is its colour below the first of them."""

    width: int = 4
    height: int = 4
    good: str = "green"
    decimals: int | None = None

    def panel(self) -> stat.Panel:
        """See `Panel`."""
        panel = (
            stat.Panel()
            .unit(self.unit)
            .color_mode(shapes.BigValueColorMode.VALUE)
            .graph_mode(shapes.BigValueGraphMode.AREA)
            .reduce_options(options.ReduceDataOptions().calcs(["lastNotNull"]))
            .thresholds(self._thresholds(self.good))
            .no_value("none yet")
        )
        return panel if self.decimals is None else panel.decimals(self.decimals)


@dataclass(frozen=True, kw_only=True)
class Lines(Panel):
    """Log lines, the newest first."""

    width: int = 24
    height: int = 10

    def panel(self) -> logs.Panel:
        """See `Panel`."""
        newest_first = logs.Panel().sort_order(shapes.LogsSortOrder.DESCENDING)
        every_line = newest_first.dedup_strategy(shapes.LogsDedupStrategy.NONE)
        return every_line.show_time(True).wrap_log_message(True).enable_log_details(True)


@dataclass(frozen=True, kw_only=True)
class Table(Panel):
    """The values now, a line for each series. `hidden` are labels that say nothing here."""

    width: int = 12
    height: int = 8
    hidden: Sequence[str] = ()
    instant = True

    def panel(self) -> table.Panel:
        """See `Panel`."""
        hidden = {"excludeByName": dict.fromkeys(("Time", *self.hidden), True)}
        return table.Panel().with_transformation(models.DataTransformerConfig(id_val="organize", options=hidden))


KINDS: Mapping[str, type[Panel]] = {"graph": Graph, "number": Number, "lines": Lines, "table": Table}
"""The classes by the key that holds a panel's title."""


def panel(entry: Mapping[str, Any]) -> Panel:
    """A panel as a board describes it.

    Raises:
        KeyError: no key tells its kind.
        TypeError: a key is missing or unknown.
    """
    kind = next((kind for kind in KINDS if kind in entry), "graph")
    return KINDS[kind](title=entry[kind], **{key: value for key, value in entry.items() if key != kind})


def board(uid: str, content: Mapping[str, Any]) -> models.Dashboard:
    """The dashboard of a board: `title`, `description`, and lists of panels by the titles of their rows."""
    to_the_others = dashboard.DashboardLink("Dashboards").type(models.DashboardLinkType.DASHBOARDS).tags([_TAG])
    built = (
        dashboard.Dashboard(content["title"])
        .uid(uid)
        .description(content["description"])
        .tags([_TAG])
        .readonly()
        .refresh("30s")
        .time("now-3h", "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(to_the_others.as_dropdown(True).keep_time(True))
    )
    number = 0
    for title, entries in content["rows"].items():
        number += 1
        built = built.with_row(dashboard.Row(title).id(number))
        for entry in entries:
            number += 1
            built = built.with_panel(panel(entry).build().id(number))
    return built.build()


def rendered() -> dict[str, str]:
    """The JSON of each dashboard by its file's name."""
    boards = {file.stem: board(file.stem, yaml.safe_load(file.read_text())) for file in BOARDS.glob("*.yaml")}
    text = {uid: json.dumps(built, cls=JSONEncoder, indent=2, sort_keys=True) for uid, built in sorted(boards.items())}
    return {f"{uid}.json": f"{content}\n" for uid, content in text.items()}


def _link(title: str, url: str) -> dashboard.DashboardLink:
    return dashboard.DashboardLink(title).type(models.DashboardLinkType.LINK).url(url).target_blank(True)


def main() -> None:
    """Write them, and remove those of boards that are gone."""
    FOLDER.mkdir(exist_ok=True)
    for file in FOLDER.glob("*.json"):
        file.unlink()
    for name, content in rendered().items():
        (FOLDER / name).write_text(content)


if __name__ == "__main__":
    main()
