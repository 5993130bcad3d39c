"""The machine and the services' containers on it."""

from monitoring.grafana.boards.common import by, failures
from monitoring.grafana.panels import RED, YELLOW, Board, Graph, Number, Query

_DISKS = '{fstype!~"tmpfs|overlay|squashfs|ramfs"}'

BOARD = Board(
    "host",
    "Host and containers",
    "The machine's processors, memory and disks, and each service's share of them.",
    {
        "Now": [
            Number(
                "Processors",
                "Share in use, over 5 minutes.",
                "percentunit",
                Query('1 - avg(rate(node_cpu_seconds_total{mode="idle"}[5m]))'),
                [(0.8, YELLOW), (0.95, RED)],
                decimals=0,
            ),
            Number(
                "Memory",
                "Share that is not available.",
                "percentunit",
                Query("1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes"),
                [(0.8, YELLOW), (0.9, RED)],
                decimals=0,
            ),
            Number(
                "Fullest disk",
                "Share in use.",
                "percentunit",
                Query(f"1 - min(node_filesystem_avail_bytes{_DISKS} / node_filesystem_size_bytes)"),
                [(0.8, YELLOW), (0.92, RED)],
                decimals=0,
            ),
            failures("Unhealthy", "Services whose health check fails.", "count(container_healthy == 0)"),
            failures(
                "Restarts",
                "Services that have ended by themselves, within a day.",
                "sum(delta(container_restarts[1d]) > 0)",
            ),
            failures("Killed for memory", "Services, in their last end.", "sum(container_oom_killed)"),
        ],
        "Host": [
            Graph(
                "Processors",
                "Cores by what they do.",
                "short",
                [Query('sum by (mode) (rate(node_cpu_seconds_total{mode!="idle"}[5m]))', "{{mode}}")],
                stacked=True,
            ),
            Graph(
                "Memory",
                "In use, and what could be given at once.",
                "bytes",
                [
                    Query("node_memory_MemTotal_bytes - node_memory_MemAvailable_bytes", "in use"),
                    Query("node_memory_MemAvailable_bytes", "available"),
                ],
                stacked=True,
            ),
            Graph(
                "Disks",
                "Share in use.",
                "percentunit",
                [
                    Query(
                        f"1 - max by (mountpoint) (node_filesystem_avail_bytes{_DISKS} / node_filesystem_size_bytes)",
                        "{{mountpoint}}",
                    )
                ],
                most=1,
                levels=[(0.92, RED)],
            ),
            Graph(
                "Disk traffic",
                "Bytes a second.",
                "Bps",
                [
                    Query("sum(rate(node_disk_read_bytes_total[5m]))", "read"),
                    Query("sum(rate(node_disk_written_bytes_total[5m]))", "written"),
                ],
            ),
            Graph(
                "Load",
                "Processes that run or want to, over 5 minutes, beside the number of cores.",
                "short",
                [
                    Query("node_load5", "load"),
                    Query('count(count by (cpu) (node_cpu_seconds_total{mode="idle"}))', "cores"),
                ],
            ),
            Graph(
                "Clock",
                "How far it is from its source, as the kernel sees it.",
                "s",
                [Query("abs(node_timex_offset_seconds)", "offset")],
                levels=[(0.5, RED)],
            ),
        ],
        "Containers": [
            Graph(
                "Processors",
                "Cores in use by service.",
                "short",
                [by("service", "container_cpu_seconds_total")],
                stacked=True,
            ),
            Graph(
                "Memory",
                "By service.",
                "bytes",
                [Query("container_memory_bytes", "{{service}}")],
                stacked=True,
            ),
            Graph(
                "Memory of the limit",
                "At 100% the kernel ends the service.",
                "percentunit",
                [Query("container_memory_bytes / container_memory_limit_bytes", "{{service}}")],
                most=1,
                levels=[(0.9, RED)],
            ),
            Graph(
                "Network",
                "Bytes a second, received and sent, by service.",
                "Bps",
                [
                    Query("rate(container_network_receive_bytes_total[5m])", "{{service}} in"),
                    Query("rate(container_network_transmit_bytes_total[5m])", "{{service}} out"),
                ],
            ),
            Graph("Processes", "Processes and threads.", "short", [Query("container_pids", "{{service}}")]),
            Graph(
                "Age",
                "Since a service was started.",
                "s",
                [Query("time() - container_start_time_seconds", "{{service}}")],
            ),
        ],
    },
)
