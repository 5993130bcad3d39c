"""For each field of the sandbox's profile, a value that is just weaker than the floor."""

from typing import Any

WEAKER: dict[str, Any] = {
    "network": "host",
    "read_only_root": False,
    "tmp_mb": 51,
    "cap_drop": ("NET_RAW",),
    "no_new_privileges": False,
    "user": "root",
    "pids": 51,
    "cpus": 0.6,
    "memory_mb": 257,
    "swap_mb": 1,
    "timeout_seconds": 31,
    "output_kb": 11,
    "code_kb": 65,
    "result_files": 9,
    "result_kb": 1025,
}
