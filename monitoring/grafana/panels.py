"""The few kinds of panels that the dashboards are made of, and the frame around them.

Every query is one that its server takes as it stands, without Grafana's macros or variables: the same text is asked by
the tests and drawn into the pictures of docs/dashboards. Hence the fixed windows of 5 minutes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from grafana_foundation_sdk.builders import common as options
from grafana_foundation_sdk.builders import dashboard, logs, loki, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as shapes
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import prometheus as answers

from monitoring.grafana.sources import LOKI, PROMETHEUS, Source

TAG = "platform"
GREEN, YELLOW, RED = "green", "yellow", "red"
_GRID = 24


@dataclass(frozen=True)
class Query:
    """One expression for the source's server. `legend` may hold {{labels}}."""

    expr: str
    legend: str = ""
    source: Source = PROMETHEUS
    instant: bool = False
    """Asked for the end of the time only, as a table."""

    def build(self, name: str) -> Builder[Any]:
        """The query as its panel holds it. `name` is unique within the panel."""
        if self.source is LOKI:
            return loki.Dataquery().expr(self.expr).legend_format(self.legend).ref_id(name)
        query = prometheus.Dataquery().expr(self.expr).legend_format(self.legend).ref_id(name)
        return query.instant().format(answers.PromQueryFormat.TABLE) if self.instant else query.range()


@dataclass(frozen=True)
class Graph:
    """Lines over time. `levels` are values with the colour that begins there."""

    title: str
    description: str
    unit: str
    queries: Sequence[Query]
    width: int = 8
    height: int = 8
    stacked: bool = False
    levels: Sequence[tuple[float, str]] = ()
    most: float | None = None
    links: Sequence["Link"] = ()

    def build(self) -> timeseries.Panel:
        """The panel for Grafana."""
        panel = (
            timeseries.Panel()
            .title(self.title)
            .description(self.description)
            .datasource(self.queries[0].source.reference())
            .targets(_targets(self.queries))
            .unit(self.unit)
            .min(0)
            .span(self.width)
            .height(self.height)
            .fill_opacity(60 if self.stacked else 8)
            .line_width(1)
            .legend(
                options.VizLegendOptions()
                .display_mode(shapes.LegendDisplayMode.LIST)
                .placement(shapes.LegendPlacement.BOTTOM)
                .show_legend(True)
            )
            .tooltip(
                options.VizTooltipOptions().mode(shapes.TooltipDisplayMode.MULTI).sort(shapes.SortOrder.DESCENDING)
            )
            .thresholds(_thresholds(self.levels))
        )
        if self.most is not None:
            panel = panel.max(self.most)
        if self.stacked:
            panel = panel.stacking(options.StackingConfig().mode(shapes.StackingMode.NORMAL))
        if self.levels:
            panel = panel.thresholds_style(
                options.GraphThresholdsStyleConfig().mode(shapes.GraphThresholdsStyleMode.DASHED)
            )
        return panel.data_links([link.build() for link in self.links]) if self.links else panel


@dataclass(frozen=True)
class Number:
    """The value now, coloured by `levels`. `good` is its colour below the first of them."""

    title: str
    description: str
    unit: str
    query: Query
    levels: Sequence[tuple[float, str]] = ()
    good: str = GREEN
    width: int = 4
    height: int = 4
    decimals: int | None = None

    def build(self) -> stat.Panel:
        """The panel for Grafana."""
        panel = (
            stat.Panel()
            .title(self.title)
            .description(self.description)
            .datasource(self.query.source.reference())
            .targets(_targets([self.query]))
            .unit(self.unit)
            .span(self.width)
            .height(self.height)
            .color_mode(shapes.BigValueColorMode.VALUE)
            .graph_mode(shapes.BigValueGraphMode.AREA)
            .reduce_options(options.ReduceDataOptions().calcs(["lastNotNull"]))
            .thresholds(_thresholds(self.levels, self.good))
            .no_value("none yet")
        )
        return panel if self.decimals is None else panel.decimals(self.decimals)


@dataclass(frozen=True)
class Lines:
    """Log lines, the newest first."""

    title: str
    description: str
    query: Query
    width: int = 24
    height: int = 10

    @property
    def queries(self) -> Sequence[Query]:
        """The one that it has."""
        return [self.query]

    def build(self) -> logs.Panel:
        """The panel for Grafana."""
        return (
            logs.Panel()
            .title(self.title)
            .description(self.description)
            .datasource(self.query.source.reference())
            .targets(_targets([self.query]))
            .span(self.width)
            .height(self.height)
            .show_time(True)
            .wrap_log_message(True)
            .enable_log_details(True)
            .sort_order(shapes.LogsSortOrder.DESCENDING)
            .dedup_strategy(shapes.LogsDedupStrategy.NONE)
        )


@dataclass(frozen=True)
class Table:
    """What a query returns now, a line for each series. `hidden` are labels that say nothing here."""

    title: str
    description: str
    query: Query
    hidden: Sequence[str] = ()
    width: int = 12
    height: int = 8

    def build(self) -> table.Panel:
        """The panel for Grafana."""
        return (
            table.Panel()
            .title(self.title)
            .description(self.description)
            .datasource(self.query.source.reference())
            .targets(_targets([self.query]))
            .span(self.width)
            .height(self.height)
            .with_transformation(
                models.DataTransformerConfig(
                    id_val="organize", options={"excludeByName": dict.fromkeys(("Time", *self.hidden), True)}
                )
            )
        )


@dataclass(frozen=True)
class Link:
    """From a point of a graph to another page of Grafana."""

    title: str
    url: str

    def build(self) -> dashboard.DashboardLink:
        """The link for Grafana."""
        return dashboard.DashboardLink(self.title).type(models.DashboardLinkType.LINK).url(self.url).target_blank(True)


Panel = Graph | Number | Lines | Table


@dataclass(frozen=True)
class Board:
    """A dashboard: its panels by the row they are in."""

    uid: str
    title: str
    description: str
    rows: Mapping[str, Sequence[Panel]] = field(default_factory=dict)

    def build(self) -> models.Dashboard:
        """The dashboard for Grafana."""
        links = (
            dashboard.DashboardLink("Dashboards")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(True)
            .keep_time(True)
        )
        board = (
            dashboard.Dashboard(self.title)
            .uid(self.uid)
            .description(self.description)
            .tags([TAG])
            .readonly()
            .refresh("30s")
            .time("now-3h", "now")
            .timezone("browser")
            .tooltip(models.DashboardCursorSync.CROSSHAIR)
            .link(links)
        )
        number = 0
        for title, panels in self.rows.items():
            number += 1
            board = board.with_row(dashboard.Row(title).id(number))
            for panel in panels:
                number += 1
                board = board.with_panel(panel.build().id(number))
        return board.build()


def _targets(queries: Sequence[Query]) -> list[Builder[Any]]:
    return [query.build(chr(ord("A") + index)) for index, query in enumerate(queries)]


def _thresholds(levels: Sequence[tuple[float, str]], base: str = GREEN) -> dashboard.ThresholdsConfig:
    steps = [models.Threshold(value=None, color=base)]
    steps += [models.Threshold(value=value, color=color) for value, color in levels]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)
