"""Pictures are drawn from what the servers answer, for every kind of panel and unit that the dashboards have."""

import io
import math
from typing import Any

import httpx
import pytest
from PIL import Image

from monitoring.grafana import picture
from monitoring.grafana.answers import Answers, Period, client
from monitoring.grafana.files import PanelQuery, dashboards, panels
from monitoring.grafana.units import written

PERIOD = Period(1_700_000_000, 1_700_003_600, 60)
TIMES = [PERIOD.begin + 60 * number for number in range(61)]


def server(request: httpx.Request) -> httpx.Response:
    """Two series, or two lines, whatever is asked."""
    query = request.url.params["query"]
    if query.startswith("{"):
        streams = [
            {"stream": {"service": name}, "values": [[str(int(1e9 * TIMES[at])), f"costs $5 in {name}"]]}
            for at, name in enumerate(("api", "executor"))
        ]
        return httpx.Response(200, json={"data": {"result": streams}})
    labels = [{"service": name, "alertname": name} for name in ("api", "executor")]
    if request.url.path.endswith("/query"):
        found = [{"metric": one, "value": [TIMES[-1], "1"]} for one in labels]
    else:
        found = [{"metric": one, "values": [[at, str(2 + math.sin(at))] for at in TIMES]} for one in labels]
    return httpx.Response(200, json={"data": {"result": found}})


def answering(handler: httpx.MockTransport) -> Answers:
    return Answers(
        {name: httpx.Client(base_url="http://server", transport=handler) for name in ("prometheus", "loki")}, PERIOD
    )


def asked(expr: str, source: str = "prometheus", legend: str = "", instant: bool = False) -> PanelQuery:
    return PanelQuery("board", "panel", source, expr, legend, instant)


def test_every_kind_of_panel_can_be_drawn() -> None:
    assert {panel["type"] for board in dashboards() for panel in panels(board)} <= set(picture._DRAWN)


def test_every_unit_of_a_panel_can_be_written() -> None:
    units = {
        panel["fieldConfig"]["defaults"]["unit"]
        for board in dashboards()
        for panel in panels(board)
        if panel["type"] in {"timeseries", "stat"}
    }
    assert {unit: bool(written(1.0, unit)) for unit in units} == dict.fromkeys(units, True)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0042, "s", "4.2 ms"),
        (2, "s", "2 s"),
        (600, "s", "10 min"),
        (1536, "bytes", "1.5 KiB"),
        (3 * 1024**2, "Bps", "3 MiB/s"),
        (0.995, "percentunit", "99.5%"),
        (12_345, "short", "12.3 K"),
        (0.25, "reqps", "0.25/s"),
        (math.nan, "short", "-"),
    ],
)
def test_values_are_written_with_their_unit(value: float, unit: str, text: str) -> None:
    assert written(value, unit) == text


def test_a_picture_shows_what_was_answered() -> None:
    kinds = {panel["type"]: panel for board in dashboards() for panel in panels(board)}
    board: dict[str, Any] = {"uid": "one-of-each", "title": "One of each", "panels": []}
    for number, panel in enumerate(kinds.values()):
        board["panels"].append(panel | {"gridPos": {"x": 6 * number, "y": 0, "w": 6, "h": 8}})
    nothing = answering(httpx.MockTransport(lambda _: httpx.Response(200, json={"data": {"result": []}})))
    empty, full = picture.draw(board, nothing), picture.draw(board, answering(httpx.MockTransport(server)))
    assert Image.open(io.BytesIO(full)).size == Image.open(io.BytesIO(empty)).size
    assert len(empty) < len(full)


def test_series_are_named_by_the_panels_legend() -> None:
    answers = answering(httpx.MockTransport(server))
    series = answers.series(asked("up", legend="{{service}} in {{nowhere}}"))
    assert [one.name for one in series] == ["api in ", "executor in "]
    assert list(series[0].values) == TIMES
    assert [one.values for one in answers.series(asked("up", instant=True))] == [{TIMES[-1]: 1.0}] * 2


def test_lines_come_the_newest_first_and_no_more_than_asked_for() -> None:
    answers = answering(httpx.MockTransport(server))
    assert [line.service for line in answers.lines(asked("{}", "loki"), 10)] == ["executor", "api"]
    assert [line.service for line in answers.lines(asked("{}", "loki"), 1)] == ["executor"]


def test_a_query_that_is_refused_is_an_error_and_no_empty_panel() -> None:
    refusing = answering(httpx.MockTransport(lambda _: httpx.Response(400, json={"error": "parse error"})))
    with pytest.raises(httpx.HTTPStatusError):
        refusing.series(asked("up("))


def test_a_source_that_is_not_there_answers_nothing() -> None:
    assert Answers({}, PERIOD).series(asked("up")) == []


def test_a_name_below_localhost_is_this_machine() -> None:
    edge = client("http://admin:secret@prometheus.localhost:8000")
    assert edge.base_url.host == "127.0.0.1"
    assert edge.headers["host"] == "prometheus.localhost:8000"
    request = edge.build_request("GET", "/api/v1/query")
    assert next(edge._build_request_auth(request).auth_flow(request)).headers["authorization"].startswith("Basic ")


def test_the_committed_pictures_are_those_of_the_dashboards() -> None:
    pictures = list(picture.FOLDER.glob("*.png"))
    assert {file.stem for file in pictures} == {board["uid"] for board in dashboards()}
    assert max(file.stat().st_size for file in pictures) < 200_000
