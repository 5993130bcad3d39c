"""The committed dashboards as files, and the queries in them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "dashboards"


@dataclass(frozen=True)
class PanelQuery:
    """One query of one panel. `source` is the uid of its data source: `prometheus` or `loki`."""

    dashboard: str
    panel: str
    source: str
    expr: str
    legend: str
    instant: bool


def dashboard_files() -> dict[str, str]:
    """The committed dashboards for Grafana, by file name."""
    return {file.name: file.read_text() for file in sorted(FOLDER.glob("*.json"))}


def dashboards() -> list[dict[str, Any]]:
    """The committed dashboards, parsed."""
    return [json.loads(content) for content in dashboard_files().values()]


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """The panels of a dashboard that have queries, in their order."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def queries(dashboard: dict[str, Any], panel: dict[str, Any]) -> Iterator[PanelQuery]:
    """The queries of a panel."""
    for target in panel["targets"]:
        yield PanelQuery(
            dashboard=dashboard["uid"],
            panel=panel["title"],
            source=panel["datasource"]["uid"],
            expr=target["expr"],
            legend=target["legendFormat"],
            instant=target.get("instant", False),
        )


def panel_queries() -> list[PanelQuery]:
    """Every query of every panel of every dashboard."""
    return [query for board in dashboards() for panel in panels(board) for query in queries(board, panel)]
