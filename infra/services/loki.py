"""Logs, kept and searched: Loki, one process with its data on one volume.

It has neither users nor a page, so the edge doesn't lead to it.
"""

from app.backup.settings import Copying
from infra.service import Config, Context, Health, Mount, Service, ServiceArgs, Target, Volume, go_memory
from monitoring.files import render

ADDRESS = "loki:3100"
_CONFIG = "/etc/loki"
_MEMORY_MB = 256
# A chunk is written before the index names it, and removed after that.
_COPYING = Copying(flush=f"http://{ADDRESS}/flush", steady=("chunks/index/**/*", "tsdb-shipper-active/**/*"))


def describe(context: Context) -> ServiceArgs:
    """It was seen to use 34 MB at rest, and 176 MB while it took in the 140,000 lines of an outage at once."""
    hours = context.settings.services.loki.retention_hours
    return ServiceArgs(
        image="loki",
        entrypoint=["/usr/bin/loki"],
        command=[f"-config.file={_CONFIG}/loki.yml"],
        # Its image has no shell: the program asks itself. It is a large one to start, hence less often.
        health=Health(["/usr/bin/loki", "-health"], interval_seconds=10),
        memory_mb=_MEMORY_MB,
        cpus=1.0,
        user="10001:10001",
        networks=["monitoring"],
        environment=go_memory(_MEMORY_MB),
        config=Config(
            _CONFIG, {"loki.yml": render("loki/loki.yml", retention_hours=hours, longest_query_hours=hours + 1)}
        ),
        mounts=[Mount(Volume("loki-data", copying=_COPYING), "/loki")],
        # The compactor writes its list of what to delete there, of at most 100,000 chunks, and reads another one:
        # 10 MB each. Without it, nothing is ever deleted.
        tmp_mb=32,
    )


LOKI = Service("loki", describe, target=Target(ADDRESS), source=f"http://{ADDRESS}")
