"""The configurations of Loki and the collector agree with each other and with their containers."""

from typing import Any

import pytest
import yaml

from monitoring.files import render
from tests.program import config_files, containers, platform_config, run_program

PROGRAM = run_program("prod", platform_config("prod"))
COLLECTOR = yaml.safe_load(config_files(PROGRAM, "collector")["/etc/collector/collector.yml"])
LOKI = yaml.safe_load(config_files(PROGRAM, "loki")["/etc/loki/loki.yml"])
OTLP = LOKI["limits_config"]["otlp_config"]
LABELS = OTLP["resource_attributes"]["attributes_config"][0]["attributes"]
LINE_LABELS = OTLP["log_attributes"][0]["attributes"]
IDENTIFIERS = {"trace_id", "request_id", "execution_id", "address"}


def mounted(service: str, read_only: bool) -> tuple[str, ...]:
    """Where a service has volumes and paths of the host."""
    mounts: list[dict[str, Any]] = containers(PROGRAM)[service]["mounts"]
    return tuple(f"{mount['target']}/" for mount in mounts if mount.get("readOnly", False) is read_only)


def test_every_label_that_loki_expects_is_set_by_the_collector_and_none_is_an_identifier() -> None:
    operators = [step for receiver in COLLECTOR["receivers"].values() for step in receiver["operators"]]
    written = {step["field"] for step in operators if step["type"] == "add"}
    assert {f"resource.{label}" for label in LABELS} | {f"attributes.{label}" for label in LINE_LABELS} <= written
    assert not IDENTIFIERS & {*LABELS, *LINE_LABELS}
    limits = LOKI["limits_config"]
    assert OTLP["resource_attributes"]["ignore_defaults"] is True
    assert limits["max_label_names_per_series"] == len(LABELS) + len(LINE_LABELS)


def test_the_collector_drops_lines_of_other_stacks() -> None:
    steps = COLLECTOR["receivers"]["file_log/containers"]["operators"]
    [kept] = [step["expr"] for step in steps if step["type"] == "filter"]
    assert kept.endswith('["vps.stack"] != "vps-prod"')
    # The filter comes before any operator that passes a record on after an error.
    assert [step["type"] for step in steps[:2]] == ["json_parser", "filter"]
    assert steps[0]["on_error"] == "drop_quiet"


def test_the_collector_reads_from_its_mounts_and_writes_to_its_volume() -> None:
    includes = [path for receiver in COLLECTOR["receivers"].values() for path in receiver["include"]]
    assert all(path.startswith(mounted("collector", read_only=True)) for path in includes)
    assert f"{COLLECTOR['extensions']['file_storage']['directory']}/".startswith(mounted("collector", read_only=False))
    stores = [part["storage"] for part in COLLECTOR["receivers"].values()]
    assert {*stores, COLLECTOR["exporters"]["otlp_http"]["sending_queue"]["storage"]} == {"file_storage"}


def test_the_queue_is_bounded_and_retried_without_an_end() -> None:
    exporter = COLLECTOR["exporters"]["otlp_http"]
    assert exporter["sending_queue"]["queue_size"] == 64 * 1024**2
    assert exporter["sending_queue"]["sizer"] == "bytes"
    assert exporter["retry_on_failure"]["max_elapsed_time"] == 0
    assert exporter["endpoint"] == "http://loki:3100/otlp"


def test_loki_has_the_retention_of_the_settings() -> None:
    assert LOKI["limits_config"]["retention_period"] == "360h"
    assert LOKI["compactor"]["retention_enabled"] is True
    assert LOKI["compactor"]["delete_request_store"] == "filesystem"
    assert LOKI["analytics"] == {"reporting_enabled": False}
    [schema] = LOKI["schema_config"]["configs"]
    assert (schema["store"], schema["schema"], schema["index"]["period"]) == ("tsdb", "v13", "24h")


def test_loki_keeps_its_data_on_its_volume() -> None:
    paths = [LOKI["common"]["path_prefix"], LOKI["compactor"]["working_directory"]]
    paths += LOKI["common"]["storage"]["filesystem"].values()
    assert all(f"{path}/".startswith(mounted("loki", read_only=False)) for path in paths)


def test_loki_has_a_tmp_for_its_list_of_chunks_to_delete() -> None:
    assert "/tmp/" in mounted("loki", read_only=False)


def test_a_file_is_rendered_without_comments_and_with_every_value() -> None:
    assert render("jaeger/jaeger.yml", data="/data", hours=7, spans_per_second=1).count("spans: 7h\n") == 1
    assert "#" not in render("blackbox/blackbox.yml")
    with pytest.raises(KeyError, match="data"):
        render("jaeger/jaeger.yml")
