"""promtool checks the rules, runs their tests, and checks the configuration and the dashboards' queries."""

from pathlib import Path

import pytest
import yaml

from monitoring.grafana.files import panel_queries
from monitoring.prometheus.rules import TESTS, rule_files
from tests.checkout import Copy, commands
from tests.monitoring.promtool import Promtool
from tests.program import config_files, platform_config, run_program

FILES = {f"rules/{name}": content for name, content in rule_files().items()}
CASES = {f"tests/{file.name}": file.read_text() for file in sorted(TESTS.iterdir())}


def test_the_rules_pass_the_linter(promtool: Promtool) -> None:
    code, said = promtool.run(FILES, f"check rules --lint=all --lint-fatal {' '.join(FILES)}")
    assert code == 0, said


def test_each_alert_passes_its_cases(promtool: Promtool) -> None:
    code, said = promtool.run(FILES | CASES, f"test rules {' '.join(CASES)}")
    assert code == 0, said


def test_a_wrong_rule_fails_its_cases(promtool: Promtool) -> None:
    name = "rules/containers.yml"
    wrong = {**FILES, name: FILES[name].replace("container_running == 0", "container_running == 1")}
    assert wrong != FILES
    code, said = promtool.run(wrong | CASES, "test rules tests/containers.yml")
    assert code != 0
    assert "ContainerStopped" in said


def test_the_alert_that_the_document_adds_fires_when_its_cases_say(promtool: Promtool, tmp_path: Path) -> None:
    copy = Copy(tmp_path / "copy")
    for diff in commands("CONTRIBUTING.md", "Add an alert", "diff"):
        copy.apply(diff)
    folder = copy.folder / "monitoring" / "prometheus"
    files = {path: (folder / path).read_text() for path in ("rules/sandbox.yml", "tests/sandbox.yml")}
    for command in ("check rules --lint=all --lint-fatal rules/sandbox.yml", "test rules tests/sandbox.yml"):
        code, said = promtool.run(files, command)
        assert code == 0, said


@pytest.mark.parametrize("stack", ["local", "prod"])
def test_the_configuration_loads_with_its_rules(promtool: Promtool, stack: str) -> None:
    files = config_files(run_program(stack, platform_config(stack)), "prometheus")
    files = {file.removeprefix("/etc/prometheus/"): content for file, content in files.items()}
    code, said = promtool.run(files, "check config prometheus.yml")
    assert code == 0, said
    assert said.count("rules/") >= len(FILES)


@pytest.mark.parametrize("broken", [False, True], ids=["ours", "broken"])
def test_every_query_of_a_dashboard_is_promql(promtool: Promtool, broken: bool) -> None:
    expressions = [query.expr for query in panel_queries() if query.source == "prometheus"]
    if broken:
        expressions[0] += ")"
    rules = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(expressions)]
    file = yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]})
    code, said = promtool.run({"panels.yml": file}, "check rules --lint=none panels.yml")
    assert (code != 0) is broken, said
