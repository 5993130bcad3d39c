"""Where units count requests together: Valkey, which only the api reaches.

It has no password, because the api is alone with it on their network: not even the edge is on that one.
"""

from app.backup.settings import Copying
from infra.service import Context, Health, Mount, Service, ServiceArgs, Volume
from infra.settings import VALKEY

_DATA = "/data"
# It appends to its file until it writes a shorter one, which it then names in the manifest.
_COPYING = Copying(steady=("appendonlydir/*.manifest",))
_COUNTS_MB = 32
"""For counts and leases. 100,000 addresses with 10 executions of the last minute each take 24 MB."""
_OVERHEAD_MB = 48
"""What the program takes when it is empty, fragments of memory, buffers, and a rewrite of the file while it is used."""


def describe(context: Context) -> ServiceArgs:
    """When its memory is full, it refuses to write, and so the api refuses executions: evicting counts would lift
    limits. Nothing stays for good, since every key expires."""
    settings = context.settings.sandbox
    most_mb = settings.repeats_mb + _COUNTS_MB
    return ServiceArgs(
        image=VALKEY,
        entrypoint=["valkey-server"],
        command=[
            *("--protected-mode", "no"),
            *("--maxmemory", f"{most_mb}mb"),
            *("--maxmemory-policy", "noeviction"),
            *("--maxclients", "256"),
            *("--dir", _DATA if settings.keep_counts else "/tmp"),  # noqa: S108 - the container's own
            # Without a value: no snapshots. The provider takes no empty argument.
            "--save",
            *("--appendonly", "yes" if settings.keep_counts else "no"),
            *("--auto-aof-rewrite-min-size", "16mb"),
        ],
        health=Health(["valkey-cli", "ping"]),
        memory_mb=most_mb + _OVERHEAD_MB,
        cpus=0.5,
        networks=["store"],
        mounts=[Mount(Volume("valkey-data", copying=_COPYING), _DATA, in_image=False)] if settings.keep_counts else [],
        tmp_mb=1,
    )


STORE = Service(VALKEY, describe)
