"""From a container's output to an answer of Loki, on real services. The later tests restart them, so order matters."""

import time
import uuid
from base64 import b64decode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from tests.stack.log_platform import NANOSECONDS, LogPlatform, json_line, wait_for
from tests.waiting import until
from tools.machine.preparation import Preparation

DAY = 24 * 3600
LOKI_DATA = "/loki"
FULL = "otelcol_exporter_enqueue_failed_log_records_total"
REFUSED = "otelcol_exporter_send_failed_log_records_total"
# Lines, each with the level that Loki should store for it.
LEVELS = {
    json_line(level="warning", message="a"): "warning",
    json_line(level="WARN", message="b"): "warning",
    json_line(level="fatal", message="c"): "critical",
    json_line(level="error", exception="Traceback (most recent call last):\n  File ...\nKeyError: 'd'"): "error",
    'time=2026-11-23T18:00:00Z level=debug msg="e"': "debug",
    json_line(level="as-loud-as-can-be", message="f"): None,
    json_line(level={"of": "no use"}, message="g"): None,
    json_line(message="h"): None,
    "plain words": None,
    "{not JSON, though it begins so": None,
    "  leading blanks, a \\ and a tab\t.": None,
    "Zeilen dürfen alles enthalten: ✓": None,
    # Docker writes it in three parts.
    "x" * 40_000: None,
}


@pytest.fixture(scope="module")
def logs(prepared: Preparation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LogPlatform]:
    """Loki and the collector, both ready. They are removed with all their data, also after a failure."""
    platform = LogPlatform(prepared, tmp_path_factory.mktemp("logs"))
    try:
        yield platform.start("loki", "collector")
    finally:
        platform.stop()


@pytest.fixture(scope="module")
def aged(logs: LogPlatform) -> float:
    """Now (seconds since 1970), with lines in Loki that are 14 days old (within the retention) and 20 days old."""
    now = time.time()
    for days in (14, 20):
        logs.push(f"{days} days old", now - days * DAY, service=f"aged-{days}", source="container")
    logs.post("/flush")
    return now


def test_the_log_line_of_an_execution_is_found_by_its_id(logs: LogPlatform) -> None:
    execution, trace = uuid.uuid4().hex, uuid.uuid4().hex
    text = json_line(
        level="info", message="answered", request_id=uuid.uuid4().hex, trace_id=trace, execution_id=execution
    )
    writer = logs.write("api", text)
    [line] = wait_for(lambda: logs.lines(f'{{service="api"}} |= "{execution}"'))
    assert line.text == text
    assert line.labels == {"service": "api", "source": "container", "level": "info"}
    assert line.metadata["trace_id"] == trace
    assert set(line.metadata) == {"trace_id", "observed_timestamp"}
    assert line.at == written_at(writer.logs(timestamps=True).decode())


def test_lines_are_kept_as_they_were_written(logs: LogPlatform) -> None:
    logs.write("kept", *LEVELS)
    found = wait_for(lambda: len(logs.lines('{service="kept"}')) == len(LEVELS) and logs.lines('{service="kept"}'))
    assert [(line.text, line.labels.get("level")) for line in found] == list(LEVELS.items())


def test_only_lines_of_the_own_stack_are_collected(logs: LogPlatform) -> None:
    logs.write("foreign", "of another stack", stack="vps-test-another")
    logs.write("own", "of this one")
    assert wait_for(lambda: logs.lines('{service="own"}'))
    assert not logs.lines('{service="foreign"}')


def test_loki_has_three_labels(logs: LogPlatform) -> None:
    logs.write("labels", *(json_line(level="info", trace_id=uuid.uuid4().hex, number=n) for n in range(200)))
    assert wait_for(lambda: len(logs.lines('{service="labels"}')) == 200)
    assert set(logs.get("/loki/api/v1/labels").json()["data"]) == {"service", "source", "level"}
    assert len(logs.get("/loki/api/v1/series", params={"match[]": '{service="labels"}'}).json()["data"]) == 1


def test_host_logs_have_the_hosts_label_and_the_time_of_the_line(logs: LogPlatform) -> None:
    # The file did not exist when the collector started. An hour ago is
    # recent enough for Loki to look for the line in memory.
    at = datetime.now(UTC).replace(microsecond=123456) - timedelta(hours=1)
    (logs.host_logs / "auth.log").write_text(f"{at.isoformat()} vps sshd[7]: Accepted publickey\n")
    [line] = wait_for(lambda: logs.lines('{source="host"} |= "sshd"', at.timestamp()))
    assert line.labels == {"service": "host", "source": "host"}
    assert line.text.endswith("vps sshd[7]: Accepted publickey")
    assert line.at // 1000 == round(at.timestamp() * 1_000_000)


def test_a_restart_of_the_collector_neither_loses_nor_doubles(logs: LogPlatform) -> None:
    wanted = [str(number) for number in range(150)]
    logs.write("restart", *wanted, script='for line; do echo "$line"; sleep 0.01; done')
    assert wait_for(lambda: logs.lines('{service="restart"}'))
    logs.running["collector"].restart()
    wait_for(lambda: len(logs.lines('{service="restart"}')) >= len(wanted), 20)
    time.sleep(1.5)  # a duplicate would arrive with the next poll
    assert [line.text for line in logs.lines('{service="restart"}')] == wanted


def test_lines_written_while_loki_is_down_arrive_afterwards(logs: LogPlatform, aged: float) -> None:
    logs.running["loki"].stop(timeout=10)
    wanted = [str(number) for number in range(100)]
    logs.write("outage", *wanted)
    assert wait_for(lambda: logs.metric("otelcol_exporter_queue_size") > 0)
    logs.running["loki"].start()
    logs.wait_until_ready()
    wait_for(lambda: len(logs.lines('{service="outage"}')) >= len(wanted), 20)
    assert [line.text for line in logs.lines('{service="outage"}')] == wanted
    assert [logs.metric(name) for name in (FULL, REFUSED)] == [0, 0]


def test_lines_that_find_the_queue_full_are_counted(prepared: Preparation, tmp_path: Path) -> None:
    alone = LogPlatform(prepared, tmp_path)
    try:
        alone.start("collector")
        # 80 MB; the queue holds 64.
        alone.write("loud", script='printf -v line "%0100000d"; for ((n = 0; n < 800; n++)); do echo "$line"; done')
        assert wait_for(lambda: alone.metric(FULL) > 0, 60)
    finally:
        alone.stop()


def test_loki_reports_the_retention(logs: LogPlatform) -> None:
    config = yaml.safe_load(logs.get("/config").text)
    assert config["limits_config"]["retention_period"] == "15d"
    assert config["compactor"]["retention_enabled"] is True
    assert config["compactor"]["delete_request_store"] == "filesystem"
    assert config["analytics"]["reporting_enabled"] is False


def test_lines_that_loki_refuses_are_counted(logs: LogPlatform) -> None:
    logs.write("a" * 3000, "of a service whose name is too long for a label")
    # All lines of the refused request count, and a line of Loki's own may be among them.
    assert wait_for(lambda: logs.metric(REFUSED) > 0, 60)


def test_chunks_older_than_the_retention_are_gone_from_the_disk(logs: LogPlatform, aged: float) -> None:
    """Loki's compactor marks a chunk, and deletes it two hours later. A mark is named by the time at which it was made.

    An older name stands for the two hours; all else is as the program declares it.
    """
    # Its index has both chunks once it has been stopped.
    logs.running["loki"].restart()
    logs.wait_until_ready()
    kept, old = (int((aged - days * DAY) * 1000) for days in (14, 20))
    assert {kept, old} <= chunk_times(logs)
    (mark,) = until(lambda: marks(logs), 100, "a mark on the old chunk")
    assert {kept, old} <= chunk_times(logs)
    logs.in_volume("loki", LOKI_DATA, f"mv {mark} $(dirname {mark})/{time.time_ns() - DAY * NANOSECONDS}")
    until(lambda: old not in chunk_times(logs), 90, "the old chunk's file to be deleted")
    assert min(chunk_times(logs)) == kept
    assert [line.text for line in logs.lines('{service="aged-14"}', aged - 14 * DAY)] == ["14 days old"]
    assert not logs.lines('{service="aged-20"}', aged - 20 * DAY)


def chunk_times(logs: LogPlatform) -> set[int]:
    """The time of the first line of each chunk on the disk, in milliseconds since 1970.

    A chunk's file is named, in base64, `<first line>:<last line>:<checksum>` in hexadecimal digits.
    """
    files = logs.in_volume("loki", LOKI_DATA, "find chunks/fake -type f -printf '%f\\n'").split()
    return {int(b64decode(name).partition(b":")[0], 16) for name in files}


def marks(logs: LogPlatform) -> list[str]:
    """The compactor's lists of what is to be deleted, as paths in the data volume."""
    return logs.in_volume("loki", LOKI_DATA, "find compactor/retention -type f").split()


def written_at(text: str) -> int:
    """Docker's timestamp of the first line, in nanoseconds since 1970. Python's datetime has only microseconds."""
    moment, _, rest = text.partition(" ")
    seconds, _, fraction = moment.removesuffix("Z").partition(".")
    assert rest
    return int(datetime.fromisoformat(f"{seconds}+00:00").timestamp()) * NANOSECONDS + int(fraction.ljust(9, "0"))
