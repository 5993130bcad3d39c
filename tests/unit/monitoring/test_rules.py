"""Each alert has a runbook, texts and test cases. promtool runs the cases in tests/monitoring."""

from collections import defaultdict
from typing import Any

import pytest
import yaml

from docs.reference import anchors
from monitoring.prometheus.rules import FOLDER, TESTS, alerts, recorded, rule_files
from monitoring.promql import metrics
from tests.program import ROOT

ALERTS = alerts()
IDS = [f"{alert.name}-{alert.severity}" for alert in ALERTS]


@pytest.mark.parametrize("alert", ALERTS, ids=IDS)
def test_an_alert_links_to_its_runbook(alert: Any) -> None:
    path, _, anchor = alert.runbook.partition("#")
    assert anchor == alert.name.lower()
    assert anchor in anchors((ROOT / path).read_text())


@pytest.mark.parametrize("alert", ALERTS, ids=IDS)
def test_an_alert_has_a_severity_a_summary_and_a_description(alert: Any) -> None:
    assert alert.severity in {"critical", "warning", "none"}
    assert alert.summary and alert.description and alert.summary != alert.description


def test_only_the_watchdog_has_no_severity() -> None:
    assert {alert.name for alert in ALERTS if alert.severity == "none"} == {"Watchdog"}


def test_each_alert_has_a_firing_a_silent_and_a_boundary_case() -> None:
    cases: dict[str, set[str]] = defaultdict(set)
    for file in TESTS.glob("*.yml"):
        kind = ""
        for line in file.read_text().splitlines():
            if line.lstrip().startswith("# "):
                kind = line.lstrip().removeprefix("# ").partition(":")[0].rstrip(".")
            elif "alertname: " in line:
                cases[line.partition("alertname: ")[2].partition(",")[0]].add(kind)
    # The watchdog always fires.
    wanted = {alert.name: {"Firing", "Silent", "Boundary"} for alert in ALERTS} | {"Watchdog": {"Firing"}}
    assert {name: kinds & {"Firing", "Silent", "Boundary"} for name, kinds in cases.items()} == wanted


def test_every_firing_case_expects_an_alert_of_each_severity() -> None:
    expected = set()
    for file in TESTS.glob("*.yml"):
        for group in yaml.safe_load(file.read_text())["tests"]:
            for case in group["alert_rule_test"]:
                expected |= {(case["alertname"], found["exp_labels"]["severity"]) for found in case["exp_alerts"]}
    assert expected == {(alert.name, alert.severity) for alert in ALERTS}


def test_every_recorded_metric_that_a_rule_reads_exists() -> None:
    expressions = [alert.expr for alert in ALERTS] + [expr for them in recorded().values() for expr in them]
    read = {name for expr in expressions for name in metrics(expr) if ":" in name}
    assert read <= set(recorded())


def test_a_runbook_is_a_link_where_the_repository_has_a_url() -> None:
    for content in rule_files("https://git.example.org/vps/blob/main/").values():
        for line in content.splitlines():
            if "runbook_url" in line:
                assert line.strip().startswith("runbook_url: https://git.example.org/vps/blob/main/docs/OPERATIONS.md#")


def test_every_rule_file_has_its_tests() -> None:
    assert {file.name for file in FOLDER.iterdir()} == {file.name for file in TESTS.iterdir()}


@pytest.mark.parametrize(
    ("expr", "names"),
    [
        ("up", {"up"}),
        ('sum by (service) (rate(http_total{code=~"5.."}[5m])) / on (a) group_left (b) c:d', {"http_total", "c:d"}),
        ('label_replace(a, "b", "$1", "c", "(.*)") or vector(0)', {"a"}),
        ('x{y="}"} offset 5m unless on () z', {"x", "z"}),
        ("predict_linear(free[6h], 86400) < 0 and free / size < 0.5", {"free", "size"}),
    ],
)
def test_the_metrics_of_an_expression(expr: str, names: set[str]) -> None:
    assert metrics(expr) == names
