"""The configurations of Loki and the collector agree with each other and with their containers."""

from typing import Any

import pytest
import yaml

from monitoring.files import render
from tests.program import Resource, config_files, containers, platform_config, run_program

IDENTIFIERS = {"trace_id", "request_id", "execution_id", "address"}


@pytest.fixture(scope="module")
def program() -> list[Resource]:
    return run_program("local", platform_config("local"))


@pytest.fixture(scope="module")
def collector(program: list[Resource]) -> Any:
    return yaml.safe_load(config_files(program, "collector")["/etc/collector/collector.yml"])


@pytest.fixture(scope="module")
def loki(program: list[Resource]) -> Any:
    return yaml.safe_load(config_files(program, "loki")["/etc/loki/loki.yml"])


def mounted(program: list[Resource], service: str, read_only: bool) -> tuple[str, ...]:
    """The paths at which a service has volumes and folders of the host."""
    mounts: list[dict[str, Any]] = containers(program)[service]["mounts"]
    return tuple(f"{mount['target']}/" for mount in mounts if mount.get("readOnly", False) is read_only)


def test_every_label_that_loki_expects_is_set_by_the_collector_and_none_is_an_identifier(
    collector: Any, loki: Any
) -> None:
    otlp = loki["limits_config"]["otlp_config"]
    labels = otlp["resource_attributes"]["attributes_config"][0]["attributes"]
    line_labels = otlp["log_attributes"][0]["attributes"]
    operators = [step for receiver in collector["receivers"].values() for step in receiver["operators"]]
    written = {step["field"] for step in operators if step["type"] == "add"}
    assert {f"resource.{label}" for label in labels} | {f"attributes.{label}" for label in line_labels} <= written
    assert not IDENTIFIERS & {*labels, *line_labels}
    limits = loki["limits_config"]
    assert otlp["resource_attributes"]["ignore_defaults"] is True
    assert limits["max_label_names_per_series"] == len(labels) + len(line_labels)


def test_the_collector_drops_lines_of_other_stacks(collector: Any) -> None:
    steps = collector["receivers"]["file_log/containers"]["operators"]
    [kept] = [step["expr"] for step in steps if step["type"] == "filter"]
    assert kept.endswith('["vps.stack"] != "vps-local"')
    # The filter comes before any operator that passes a record on after an error.
    assert [step["type"] for step in steps[:2]] == ["json_parser", "filter"]
    assert steps[0]["on_error"] == "drop_quiet"


def test_the_collector_reads_from_its_mounts_and_writes_to_its_volume(program: list[Resource], collector: Any) -> None:
    includes = [path for receiver in collector["receivers"].values() for path in receiver["include"]]
    assert all(path.startswith(mounted(program, "collector", read_only=True)) for path in includes)
    assert f"{collector['extensions']['file_storage']['directory']}/".startswith(
        mounted(program, "collector", read_only=False)
    )
    stores = [part["storage"] for part in collector["receivers"].values()]
    assert {*stores, collector["exporters"]["otlp_http"]["sending_queue"]["storage"]} == {"file_storage"}


def test_the_queue_is_bounded_and_retried_without_an_end(collector: Any) -> None:
    exporter = collector["exporters"]["otlp_http"]
    assert exporter["sending_queue"]["queue_size"] == 64 * 1024**2
    assert exporter["sending_queue"]["sizer"] == "bytes"
    assert exporter["retry_on_failure"]["max_elapsed_time"] == 0
    assert exporter["endpoint"] == "http://loki:3100/otlp"


def test_loki_has_the_retention_of_the_settings(loki: Any) -> None:
    assert loki["limits_config"]["retention_period"] == "360h"
    assert loki["compactor"]["retention_enabled"] is True
    assert loki["compactor"]["delete_request_store"] == "filesystem"
    assert loki["analytics"] == {"reporting_enabled": False}
    [schema] = loki["schema_config"]["configs"]
    assert (schema["store"], schema["schema"], schema["index"]["period"]) == ("tsdb", "v13", "24h")


def test_loki_keeps_its_data_on_its_volume(program: list[Resource], loki: Any) -> None:
    paths = [loki["common"]["path_prefix"], loki["compactor"]["working_directory"]]
    paths += loki["common"]["storage"]["filesystem"].values()
    assert all(f"{path}/".startswith(mounted(program, "loki", read_only=False)) for path in paths)


def test_loki_has_a_tmp_for_its_list_of_chunks_to_delete(program: list[Resource]) -> None:
    assert "/tmp/" in mounted(program, "loki", read_only=False)


def test_a_file_is_rendered_without_comments_and_with_every_value() -> None:
    assert render("jaeger/jaeger.yml", data="/data", hours=7, spans_per_second=1).count("spans: 7h\n") == 1
    assert "#" not in render("blackbox/blackbox.yml")
    with pytest.raises(KeyError, match="data"):
        render("jaeger/jaeger.yml")
