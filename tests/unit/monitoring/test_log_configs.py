"""What the configurations of Loki and the collector promise each other, and the host."""

import yaml

from monitoring.collector.config import CONTAINERS, HOST_LOGS, STORAGE, collector_config
from monitoring.loki.config import DATA, LABELS, LINE_LABELS, loki_config

COLLECTOR = collector_config("vps-prod", "http://loki:3100", queue_bytes=5_000_000)
LOKI = loki_config(360)
IDENTIFIERS = {"trace_id", "request_id", "execution_id", "address"}


def test_both_survive_being_written_as_yaml() -> None:
    assert yaml.safe_load(yaml.safe_dump(COLLECTOR)) == COLLECTOR
    assert yaml.safe_load(yaml.safe_dump(LOKI)) == LOKI


def test_every_label_that_loki_expects_is_set_by_the_collector_and_none_is_an_identifier() -> None:
    operators = [step for receiver in COLLECTOR["receivers"].values() for step in receiver["operators"]]
    written = {step["field"] for step in operators if step["type"] == "add"}
    assert {f"resource.{label}" for label in LABELS} | {f"attributes.{label}" for label in LINE_LABELS} <= written
    assert not IDENTIFIERS & {*LABELS, *LINE_LABELS}
    limits = LOKI["limits_config"]
    assert limits["otlp_config"]["resource_attributes"]["ignore_defaults"] is True
    assert limits["max_label_names_per_series"] == len(LABELS) + len(LINE_LABELS)


def test_only_lines_of_the_given_stack_pass() -> None:
    steps = COLLECTOR["receivers"]["file_log/containers"]["operators"]
    [kept] = [step["expr"] for step in steps if step["type"] == "filter"]
    assert kept.endswith('["vps.stack"] != "vps-prod"')
    # Before anything that could be given to the next stage in its place.
    assert [step["type"] for step in steps[:2]] == ["json_parser", "filter"]
    assert steps[0]["on_error"] == "drop_quiet"


def test_the_collector_reads_under_its_mounts_and_writes_in_its_volume() -> None:
    includes = [path for receiver in COLLECTOR["receivers"].values() for path in receiver["include"]]
    assert all(path.startswith((f"{CONTAINERS}/", f"{HOST_LOGS}/")) for path in includes)
    assert COLLECTOR["extensions"]["file_storage"]["directory"] == STORAGE
    stores = [part["storage"] for part in COLLECTOR["receivers"].values()]
    assert {*stores, COLLECTOR["exporters"]["otlp_http"]["sending_queue"]["storage"]} == {"file_storage"}


def test_what_waits_for_loki_is_bounded_and_waits_for_as_long_as_it_takes() -> None:
    exporter = COLLECTOR["exporters"]["otlp_http"]
    assert exporter["sending_queue"]["queue_size"] == 5_000_000
    assert exporter["sending_queue"]["sizer"] == "bytes"
    assert exporter["retry_on_failure"]["max_elapsed_time"] == 0
    assert exporter["endpoint"] == "http://loki:3100/otlp"


def test_loki_keeps_lines_for_the_given_time_and_a_compactor_deletes_them() -> None:
    assert LOKI["limits_config"]["retention_period"] == "360h"
    assert LOKI["compactor"]["retention_enabled"] is True
    assert LOKI["compactor"]["delete_request_store"] == "filesystem"
    assert LOKI["analytics"] == {"reporting_enabled": False}
    [schema] = LOKI["schema_config"]["configs"]
    assert (schema["store"], schema["schema"], schema["index"]["period"]) == ("tsdb", "v13", "24h")


def test_loki_writes_nowhere_but_in_its_volume() -> None:
    paths = [LOKI["common"]["path_prefix"], LOKI["compactor"]["working_directory"]]
    paths += LOKI["common"]["storage"]["filesystem"].values()
    assert all(path == DATA or path.startswith(f"{DATA}/") for path in paths)
