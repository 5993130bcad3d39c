"""The pictures of the dashboards are drawn from the servers' answers, for every kind of panel and unit."""

import io
import math
from typing import Any

import httpx
import pytest
from PIL import Image

from docs.dashboards.draw import FOLDER, Servers, client, draw
from monitoring.grafana.files import dashboards, panels

TIMES = [1_700_000_000 + 60 * number for number in range(61)]


def server(request: httpx.Request) -> httpx.Response:
    """Answers every query with two series or two log lines."""
    names = ("api", "executor")
    if request.url.params["query"].startswith("{"):
        streams = [
            {"stream": {"service": name}, "values": [[f"{TIMES[at]}000000000", f"costs $5 and $6 in {name}"]]}
            for at, name in enumerate(names)
        ]
        return httpx.Response(200, json={"data": {"result": streams}})
    labels = [{"service": name, "alertname": name} for name in names]
    if request.url.path.endswith("/query"):
        found = [{"metric": one, "value": [TIMES[-1], "1"]} for one in labels]
    else:
        found = [{"metric": one, "values": [[at, str(2 + math.sin(at))] for at in TIMES]} for one in labels]
    return httpx.Response(200, json={"data": {"result": found}})


def servers(handler: Any) -> Servers:
    http = httpx.Client(base_url="http://server", transport=httpx.MockTransport(handler))
    return Servers({"prometheus": http, "loki": http}, TIMES[0], TIMES[-1])


def one_of_each() -> dict[str, Any]:
    """A dashboard with a panel of each kind, and of each unit."""
    kinds = {
        (panel["type"], panel.get("fieldConfig", {}).get("defaults", {}).get("unit")): panel
        for board in dashboards()
        for panel in panels(board)
    }
    placed = [panel | {"gridPos": {"x": 0, "y": 8 * at, "w": 12, "h": 8}} for at, panel in enumerate(kinds.values())]
    return {"uid": "each", "title": "One of each", "panels": placed}


def test_a_picture_shows_the_answers() -> None:
    board = one_of_each()
    empty = draw(board, servers(lambda _: httpx.Response(200, json={"data": {"result": []}})))
    full = draw(board, servers(server))
    assert Image.open(io.BytesIO(full)).size == Image.open(io.BytesIO(empty)).size
    assert len(empty) < len(full)


def test_series_are_named_by_the_panels_legend() -> None:
    panel = next(panel for board in dashboards() for panel in panels(board) if panel["type"] == "timeseries")
    target = {"expr": "up", "legendFormat": "{{service}} in {{nowhere}}"}
    answers = servers(server).answers(panel | {"targets": [target]})
    assert [(name, [at for at, _ in values]) for name, _, values in answers] == [
        ("api in ", TIMES),
        ("executor in ", TIMES),
    ]


def test_a_refused_query_is_an_error_and_no_empty_panel() -> None:
    with pytest.raises(httpx.HTTPStatusError):
        draw(one_of_each(), servers(lambda _: httpx.Response(400, json={"error": "parse error"})))


def test_a_server_that_is_not_given_answers_nothing() -> None:
    assert Servers({}, 0, 1).answers(one_of_each()["panels"][0]) == []


def test_a_name_below_localhost_is_this_machine() -> None:
    edge = client("http://admin:secret@prometheus.localhost:8000")
    assert edge.base_url.host == "127.0.0.1"
    assert edge.headers["host"] == "prometheus.localhost:8000"
    request = edge.build_request("GET", "/api/v1/query")
    assert next(edge._build_request_auth(request).auth_flow(request)).headers["authorization"].startswith("Basic ")


def test_the_committed_pictures_are_those_of_the_dashboards() -> None:
    pictures = list(FOLDER.glob("*.png"))
    assert {file.stem for file in pictures} == {board["uid"] for board in dashboards()}
    assert max(file.stat().st_size for file in pictures) < 200_000
