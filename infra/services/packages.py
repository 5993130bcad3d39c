"""Prepares packages for executions: the only service that reaches a package index."""

from pathlib import Path

from app.packages.settings import PackagesOptions, PackagesSettings
from infra.service import Context, Health, Mount, Service, ServiceArgs, Target, Volume
from infra.services.healthcheck import HEALTHCHECK

STORE = Path("/var/lib/packages")
_RUN_PATH = "/run/packages"
SOCKET = Path(_RUN_PATH, "packages.sock")
# Sets can be made again, so the volume is no data.
_STORE, _RUN = Volume("packages-store", data=False), Volume("packages-run", data=False)
STORE_TO_READ = Mount(_STORE, str(STORE), read_only=True)
"""The executor's: sandboxes have sets as layers of their roots."""
SOCKET_TO_USE = Mount(_RUN, _RUN_PATH, read_only=True)
"""The api's, which asks for sets."""


def describe(context: Context) -> ServiceArgs:
    """It has a way out and no way in: the api asks over a Unix socket, and serves its metrics."""
    options = context.settings.sandbox.packages or PackagesOptions()
    return ServiceArgs(
        image="packages",
        entrypoint=["python", "-m", "app.packages"],
        health=Health([*HEALTHCHECK, f"unix:{SOCKET}"]),
        # Two of npm's resolvers take 150 MB each. Their caches and that of uv are in memory too, below /tmp.
        memory_mb=512,
        cpus=1.0,
        networks=["outbound"],
        mounts=[Mount(_STORE, str(STORE)), Mount(_RUN, _RUN_PATH)],
        tmp_mb=128,
        environment=PackagesSettings(**dict(options), store=STORE, socket=SOCKET).variables(),
    )


PACKAGES = Service("packages", describe, target=Target("api:9000", "/metrics/packages"))
