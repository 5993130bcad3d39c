"""The committed dashboards are those of the boards, and each panel can be read."""

import json
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.files import load
from monitoring.grafana import render
from monitoring.grafana.files import dashboard_files, dashboards, panel_queries, panels
from monitoring.grafana.render import rendered
from monitoring.grafana.sources import datasources
from monitoring.prometheus.rules import recorded
from monitoring.promql import metrics

BOARDS = dashboards()
PANELS = [(board["uid"], panel) for board in BOARDS for panel in panels(board)]
IDS = [f"{uid}-{panel['title']}" for uid, panel in PANELS]
ALL = {"prometheus": "http://prometheus:9090", "loki": "http://loki:3100", "jaeger": "http://jaeger:16686"}


def test_the_committed_dashboards_are_those_of_the_boards() -> None:
    assert dashboard_files() == rendered(), "run: make generate"


@pytest.mark.parametrize("wrong", [{"unti": "s"}, {"graph": "A", "number": "B"}, {"number": "A", "stacked": True}])
def test_a_key_that_a_panel_does_not_have_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises((TypeError, KeyError)):
        render.panel({"description": "It.", **wrong})


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board["uid"])
def test_a_dashboard_is_one_of_the_sdks_model(board: dict[str, Any]) -> None:
    assert Dashboard.from_json(board).uid == board["uid"]


@pytest.mark.parametrize(("uid", "panel"), PANELS, ids=IDS)
def test_a_panel_says_what_it_shows(uid: str, panel: dict[str, Any]) -> None:
    assert panel["description"].endswith(".")
    if panel["type"] in {"timeseries", "stat"}:
        assert panel["fieldConfig"]["defaults"]["unit"]
    if panel["type"] == "timeseries":
        assert all(target["legendFormat"] for target in panel["targets"])


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board["uid"])
def test_no_panel_covers_another_and_a_page_stays_readable(board: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not taken & cells
        taken |= cells
    assert len(panels(board)) <= 20
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_queries_are_taken_by_their_servers_as_they_stand() -> None:
    assert not [query for query in panel_queries() if "$" in query.expr]


def test_a_panel_shows_only_recordings_that_there_are() -> None:
    read = {name for query in panel_queries() if query.source == "prometheus" for name in metrics(query.expr)}
    assert {name for name in read if ":" in name} <= set(recorded())


def test_links_of_a_graph_open_a_source_that_there_is_and_keep_the_time() -> None:
    links = [link for _, panel in PANELS for link in panel.get("fieldConfig", {}).get("defaults", {}).get("links", [])]
    assert links
    for link in links:
        pane = json.loads(parse_qs(urlsplit(link["url"]).query)["panes"][0])["a"]
        assert pane["datasource"] in ALL
        assert pane["range"] == {"from": "${__from}", "to": "${__to}"}


def test_the_sources_have_fixed_uids_and_lead_to_each_other() -> None:
    sources = {source["uid"]: source for source in datasources(ALL)["datasources"]}
    assert {uid: source["url"] for uid, source in sources.items()} == ALL
    assert {field["datasourceUid"] for field in sources["loki"]["jsonData"]["derivedFields"]} == {"jaeger"}
    assert sources["jaeger"]["jsonData"]["tracesToLogsV2"]["datasourceUid"] == "loki"
    assert sources["jaeger"]["jsonData"]["tracesToMetrics"]["datasourceUid"] == "prometheus"


def test_a_source_has_no_link_to_one_that_is_not_there() -> None:
    (prometheus,) = datasources({"prometheus": ALL["prometheus"]})["datasources"]
    assert prometheus["uid"] == "prometheus"
    (loki,) = datasources({"loki": ALL["loki"]})["datasources"]
    assert loki["jsonData"]["derivedFields"] == []
    (jaeger,) = datasources({"jaeger": ALL["jaeger"]})["datasources"]
    assert set(jaeger["jsonData"]) == {"nodeGraph"}


def test_a_trace_id_is_found_in_a_line_whatever_writes_it() -> None:
    (field,) = [
        field
        for source in datasources(ALL)["datasources"]
        for field in source["jsonData"].get("derivedFields", [])
        if field["matcherType"] == "regex"
    ]
    trace = "0af7651916cd43dd8448eb211c80319c"
    for line in (f'{{"trace_id":"{trace}"}}', f'{{"TraceId": "{trace}"}}', f"level=info traceID={trace} msg=x"):
        found = re.search(field["matcherRegex"], line)
        assert found and found[1] == trace
    assert not re.search(field["matcherRegex"], '{"execution_id":"0af7651916cd43dd8448eb211c80319c"}')


def test_grafana_loads_the_dashboards_and_lets_nobody_change_them() -> None:
    (folder,) = load("grafana/provider.yaml")["providers"]
    assert folder["allowUiUpdates"] is False
    assert all(board["editable"] is False for board in BOARDS)
