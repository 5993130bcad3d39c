"""The log collector's configuration: the OpenTelemetry Collector, as its official `contrib` distribution has it.

It reads the files that the engine writes for each container, so it needs no engine socket: the log option
`labels: vps.service,vps.stack` puts both labels of a container into each of its lines. Host logs are the files of a
syslog daemon under /var/log, and fail2ban's; what is not there is not waited for. The upstream image has no journalctl,
so a host that keeps only a journal needs rsyslog, which with the distribution's own configuration writes those files:
infra/host/scripts/logs.sh installs it.

Positions and queue are files, so a restart neither loses nor doubles a line; a collector that is killed may double
those of its last second. What a container writes in the last second before it is removed may be missed. Beside
trace_id, Loki's structured metadata holds observed_timestamp, which OTLP brings.

How it is run:

- image: `otel/opentelemetry-collector-contrib:0.149.0`, or images/collector with the same release's components.
- command: `/otelcol-contrib --config=/etc/collector/collector.yml`.
- user `0:4`, without capabilities. Root owns the engine's log files and nobody else may read them; group 4 (`adm`)
  may read the host's, which on Ubuntu belong to `syslog`.
- mounts, read-only: the host's /var/lib/docker/containers and /var/log under `/host` (`CONTAINERS`, `HOST_LOGS`);
  writable: a data volume at `STORAGE`, for positions and the queue.
- memory: 128 MB, and `GOMEMLIMIT=100MiB` beside it. It was seen to hold 16 MB at rest, and 78 MB with a queue of 47 MB.
- metrics: `METRICS_PORT`, /metrics. Lost lines are `LOST`.
- health: the upstream image holds one program and no way to ask it anything, so there is no check for the engine.
  What tells that it works is that Prometheus reaches it, and that Loki gets lines.
"""

from typing import Any

CONTAINERS = "/host/containers"
HOST_LOGS = "/host/log"
STORAGE = "/var/lib/collector"
CONFIG = "/etc/collector"
METRICS_PORT = 8888

QUEUE_BYTES = 64 * 1024**2
"""What waits on disk while Loki can't be reached: about 200,000 lines of 400 bytes. What comes on top is lost."""

LOST = (
    "otelcol_exporter_enqueue_failed_log_records_total",
    "otelcol_exporter_send_failed_log_records_total",
)
"""Counters of lines that Loki will never get: the queue was full; Loki refused them.

Each appears with the first such line, so an alert on its increase alone would overlook that one.
"""

_LONGEST_LINE_BYTES = 128 * 1024
# Every spelling that our programs use, as the five words that `level` may be. What else they write has no level.
_LEVELS = {
    "trace": "debug",
    "debug": "debug",
    "info": "info",
    "notice": "info",
    "warn": "warning",
    "warning": "warning",
    "err": "error",
    "error": "error",
    "crit": "critical",
    "critical": "critical",
    "fatal": "critical",
    "panic": "critical",
}
# Debian's and Ubuntu's names, then Fedora's; every ban has its line in fail2ban's.
_HOST_FILES = ("syslog", "auth.log", "fail2ban.log", "messages", "secure")

_METRICS = {"host": "0.0.0.0", "port": METRICS_PORT, "without_scope_info": True}  # noqa: S104 - of an internal network


def collector_config(stack: str, loki_url: str, queue_bytes: int = QUEUE_BYTES) -> dict[str, Any]:
    """The content of collector.yml.

    Args:
        stack: the value of the label `vps.stack`; lines of other containers are left alone.
        loki_url: base URL of Loki; lines go to its OTLP endpoint.
        queue_bytes: what may wait on disk while Loki can't be reached.
    """
    return {
        "receivers": {
            "file_log/containers": {
                "include": [f"{CONTAINERS}/*/*-json.log"],
                "start_at": "beginning",
                "include_file_path": True,
                "operators": _container_line(stack),
                **_reading(),
            },
            "file_log/host": {
                "include": [f"{HOST_LOGS}/{name}" for name in _HOST_FILES],
                # What the host did before the platform was there is not the platform's.
                "start_at": "end",
                "operators": _host_line(),
                **_reading(),
            },
        },
        "exporters": {"otlp_http": _exporter(loki_url, queue_bytes)},
        "extensions": {
            "file_storage": {
                "directory": STORAGE,
                # A file of positions or of a queue that a power cut has torn is begun anew, instead of never starting.
                "recreate": True,
                # The file gives back what it grew by in an outage, once Loki has it.
                "compaction": {
                    "directory": STORAGE,
                    "on_start": True,
                    "on_rebound": True,
                    "rebound_needed_threshold_mib": 16,
                    "rebound_trigger_threshold_mib": 4,
                    "cleanup_on_start": True,
                },
            }
        },
        "service": {
            "extensions": ["file_storage"],
            "pipelines": {"logs": {"receivers": ["file_log/containers", "file_log/host"], "exporters": ["otlp_http"]}},
            "telemetry": {
                "logs": {"level": "warn", "encoding": "json", "disable_stacktrace": True},
                "metrics": {"readers": [{"pull": {"exporter": {"prometheus": _METRICS}}}]},
            },
        },
    }


def _reading() -> dict[str, Any]:
    return {"storage": "file_storage", "poll_interval": "1s", "include_file_name": False, "max_log_size": "256KiB"}


def _exporter(loki_url: str, queue_bytes: int) -> dict[str, Any]:
    return {
        "endpoint": f"{loki_url}/otlp",
        "compression": "gzip",
        # For as long as it takes: what bounds the wait is the queue.
        "retry_on_failure": {"enabled": True, "initial_interval": "1s", "max_interval": "5s", "max_elapsed_time": 0},
        "sending_queue": {
            "storage": "file_storage",
            "sizer": "bytes",
            "queue_size": queue_bytes,
            # One, so that the lines of a service arrive in their order: Loki refuses what is an hour late.
            "num_consumers": 1,
        },
    }


def _container_line(stack: str) -> list[dict[str, Any]]:
    """One line of the engine's file, `{"log": ..., "stream": ..., "attrs": {...}, "time": ...}`, to one record."""
    return [
        {"type": "json_parser", "parse_to": "attributes.docker", "on_error": "drop_quiet"},
        {"type": "filter", "expr": f'attributes.docker?.attrs?.["vps.stack"] != "{stack}"'},
        {
            "type": "time_parser",
            "parse_from": "attributes.docker.time",
            "layout_type": "gotime",
            "layout": "2006-01-02T15:04:05.999999999Z07:00",
        },
        {"type": "move", "from": "attributes.docker.log", "to": "body"},
        # The engine cuts a line after 16 KB; the last part alone ends with a line feed.
        {
            "type": "add",
            "field": "attributes.part_of",
            "value": _expression('attributes["log.file.path"] + " " + attributes.docker.stream'),
        },
        {
            "type": "recombine",
            "combine_field": "body",
            "combine_with": "",
            "is_last_entry": 'body endsWith "\\n"',
            "source_identifier": "attributes.part_of",
            "max_unmatched_batch_size": 0,
            # A program that ended without a line feed.
            "force_flush_period": "2s",
            "max_log_size": _LONGEST_LINE_BYTES,
        },
        {"type": "add", "field": "resource.service", "value": _expression('attributes.docker.attrs["vps.service"]')},
        {"type": "add", "field": "resource.source", "value": "container"},
        {"type": "add", "field": "body", "value": _expression('trimSuffix(body, "\\n")')},
        *_facts_of_the_line(),
    ]


def _host_line() -> list[dict[str, Any]]:
    """One line of a syslog file. Its time is kept where it says the year, as Debian's and Ubuntu's files do."""
    return [
        {
            "type": "regex_parser",
            "regex": r"^(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(?:Z|[+-]\d\d:\d\d)) ",
            "parse_to": "attributes.line",
            "on_error": "send_quiet",
            "timestamp": {
                "parse_from": "attributes.line.time",
                "layout_type": "gotime",
                "layout": "2006-01-02T15:04:05.999999999Z07:00",
            },
        },
        {"type": "add", "field": "resource.service", "value": "host"},
        {"type": "add", "field": "resource.source", "value": "host"},
        {"type": "remove", "field": "attributes.line", "if": "attributes?.line != nil"},
    ]


def _facts_of_the_line() -> list[dict[str, Any]]:
    """Level and trace id, where a line tells them; of the rest of a JSON line nothing is kept but the line itself."""
    levels = "{" + ", ".join(f'"{spelling}": "{level}"' for spelling, level in _LEVELS.items()) + "}"
    return [
        {
            "type": "json_parser",
            "parse_to": "attributes.line",
            "if": 'body startsWith "{"',
            "on_error": "send_quiet",
        },
        {
            "type": "regex_parser",
            "regex": r"(?:^|\s)level=\"?(?P<level>[A-Za-z]+)",
            "parse_to": "attributes.line",
            "if": 'not (body startsWith "{")',
            "on_error": "send_quiet",
        },
        {
            "type": "add",
            "field": "attributes.level",
            "value": _expression(f"{levels}[lower(string(attributes.line.level))]"),
            "if": f"lower(string(attributes?.line?.level)) in {levels}",
        },
        {
            "type": "move",
            "from": "attributes.line.trace_id",
            "to": "attributes.trace_id",
            "if": "attributes?.line?.trace_id != nil",
        },
        {"type": "retain", "fields": ["attributes.level", "attributes.trace_id"]},
    ]


def _expression(text: str) -> str:
    return f"EXPR({text})"
