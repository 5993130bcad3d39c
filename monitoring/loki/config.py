"""Loki's configuration: one process, its data on one volume.

How it is run:

- command: `loki -config.file=/etc/loki/loki.yml`; nothing else is read, neither environment nor flags.
- user `10001:10001`, the upstream image's, which owns `DATA`, a data volume, there.
- memory: 256 MB, and `GOMEMLIMIT=200MiB` beside it. It was seen to hold 34 MB at rest, and 176 MB while it took in
  140,000 lines of an outage at once.
- /tmp: 32 MB. Without it the compactor can't write its list of what to delete, and nothing is ever deleted.
- ports: 3100 for everything: the collector's lines (`/otlp`), queries, /metrics.
- health: `loki -health`, which asks /ready; it needs no shell.
- lost data: `LOST`, by its label `reason`.
"""

from typing import Any

DATA = "/loki"
CONFIG = "/etc/loki"
PORT = 3100

LOST = "loki_discarded_samples_total"
"""Counter of lines that Loki refused, with the reason."""

LABELS = ("service", "source")
"""What says where a line is from: of each resource."""
LINE_LABELS = ("level",)
"""What says of which kind a line is. Every other fact of a line (a trace id) is structured metadata."""

# Loki's parts speak to each other over this address alone.
_HOST, _GRPC_PORT = "127.0.0.1", 9095
_GRPC = f"{_HOST}:{_GRPC_PORT}"


def loki_config(retention_hours: int, compaction_seconds: int = 60, deletion_seconds: int = 7200) -> dict[str, Any]:
    """The content of loki.yml.

    Args:
        retention_hours: age at which the compactor deletes lines. It is applied with each compaction.
        compaction_seconds: interval between two compactions. Loki also waits for so long after each start: a long
            one would never come where Loki is restarted often.
        deletion_seconds: for so long chunks that no index names any more are kept, for queries that are under way.
    """
    return {
        # Who may reach it is the networks' matter: it has one tenant and no users.
        "auth_enabled": False,
        "analytics": {"reporting_enabled": False},
        "server": {
            "http_listen_port": PORT,
            "grpc_listen_address": _HOST,
            "grpc_listen_port": _GRPC_PORT,
            "log_level": "warn",
        },
        "common": {
            "path_prefix": DATA,
            "replication_factor": 1,
            "instance_addr": _HOST,
            "ring": {"kvstore": {"store": "inmemory"}},
            "storage": {"filesystem": {"chunks_directory": f"{DATA}/chunks", "rules_directory": f"{DATA}/rules"}},
        },
        "schema_config": {
            "configs": [
                {
                    "from": "2026-01-01",
                    "store": "tsdb",
                    "object_store": "filesystem",
                    "schema": "v13",
                    "index": {"prefix": "index_", "period": "24h"},
                }
            ]
        },
        "compactor": {
            "working_directory": f"{DATA}/compactor",
            "retention_enabled": True,
            "delete_request_store": "filesystem",
            "compaction_interval": f"{compaction_seconds}s",
            "retention_delete_delay": f"{deletion_seconds}s",
        },
        "ingester": {
            # The only instance: it waits for no other before it says that it is ready.
            "lifecycler": {"min_ready_duration": "0s"},
            "wal": {"replay_memory_ceiling": "64MB"},
        },
        "query_range": {"results_cache": {"cache": _cache(8)}},
        "chunk_store_config": {"chunk_cache_config": _cache(16)},
        "querier": {"max_concurrent": 2},
        # They find each other over a ring only after ten seconds, and until then Loki is not ready.
        "frontend": {"scheduler_address": _GRPC},
        "frontend_worker": {"scheduler_address": _GRPC},
        "limits_config": _limits(retention_hours),
    }


def _cache(size_mb: int) -> dict[str, Any]:
    return {"embedded_cache": {"enabled": True, "max_size_mb": size_mb}}


def _limits(retention_hours: int) -> dict[str, Any]:
    return {
        "retention_period": f"{retention_hours}h",
        # What a stack that was down for long still has to tell is taken; the compactor goes by its age.
        "reject_old_samples": False,
        "allow_structured_metadata": True,
        "otlp_config": {
            "resource_attributes": {
                "ignore_defaults": True,
                "attributes_config": [{"action": "index_label", "attributes": list(LABELS)}],
            },
            "log_attributes": [{"action": "index_label", "attributes": list(LINE_LABELS)}],
        },
        # Loki would guess a service's name and a level, which the collector knows.
        "discover_service_name": [],
        "discover_log_levels": False,
        "max_label_names_per_series": len(LABELS) + len(LINE_LABELS),
        # A dozen services and the host, each with six levels at most.
        "max_global_streams_per_user": 500,
        "ingestion_rate_mb": 4,
        "ingestion_burst_size_mb": 16,
        "per_stream_rate_limit": "4MB",
        "per_stream_rate_limit_burst": "16MB",
        "max_line_size": "256KB",
        "max_line_size_truncate": True,
        "max_query_length": f"{retention_hours + 1}h",
        "max_entries_limit_per_query": 5000,
        "max_query_parallelism": 4,
        "tsdb_max_query_parallelism": 4,
        "query_timeout": "30s",
    }
