"""Prepares packages for executions: the only service that reaches a package index.

On Docker the units share its store and its socket. On a cluster it serves by TCP, and each unit has a copy service with
a store and a socket of the unit's own: nothing else of a unit differs.
"""

from pathlib import Path

from app.packages.settings import PackagesOptions, PackagesSettings
from infra.service import Context, Health, Mount, Service, ServiceArgs, Target, Volume
from infra.services.healthcheck import HEALTHCHECK
from infra.settings import Sandbox

STORE = Path("/var/lib/packages")
_RUN_PATH = "/run/packages"
SOCKET = Path(_RUN_PATH, "packages.sock")
_PORT = 8001
_URL = f"http://packages:{_PORT}"
_COPY = "packages-copy"
_ENTRYPOINT = ("python", "-m", "app.packages")
_RUN = Volume("packages-run", data=False)
SOCKET_TO_USE = Mount(_RUN, _RUN_PATH, read_only=True)
"""The api's, which asks for sets."""


def store_to_read(settings: Sandbox) -> list[Mount]:
    """The executor's, where packages are on: sandboxes have sets as layers of their roots."""
    return [_store(settings.packages, read_only=True)] if settings.packages else []


def describe(context: Context) -> ServiceArgs:
    """It has a way out. On Docker it has no way in: the api asks over a Unix socket, and serves its metrics."""
    options = context.settings.sandbox.packages or PackagesOptions()
    port = _PORT if context.settings.cluster else None
    return ServiceArgs(
        image="packages",
        entrypoint=_ENTRYPOINT,
        health=Health([*HEALTHCHECK, f"http://127.0.0.1:{port}/health" if port else f"unix:{SOCKET}"]),
        # Two of npm's resolvers take 150 MB each. Their caches and that of uv are in memory too, below /tmp.
        memory_mb=512,
        cpus=1.0,
        networks=["outbound"],
        mounts=[_store(options), *([] if port else [Mount(_RUN, _RUN_PATH)])],
        tmp_mb=128,
        environment=PackagesSettings(**dict(options), store=STORE, socket=SOCKET, port=port).variables(),
    )


def describe_copy(context: Context) -> ServiceArgs:
    """It reaches the packages service alone, and needs none of its tools."""
    options = context.settings.sandbox.packages or PackagesOptions()
    return ServiceArgs(
        image="app",
        entrypoint=_ENTRYPOINT,
        health=Health([*HEALTHCHECK, f"unix:{SOCKET}"]),
        # Beside the program, the names of 20,000 files for each of two sets.
        memory_mb=192,
        cpus=0.5,
        mounts=[_store(options), Mount(_RUN, _RUN_PATH)],
        environment=PackagesSettings(**dict(options), store=STORE, socket=SOCKET, source=_URL).variables(),
    )


def _store(options: PackagesOptions, *, read_only: bool = False) -> Mount:
    # Sets can be made again, so the volume is no data.
    volume = Volume("packages-store", data=False, disk_mb=options.disk_mb)
    return Mount(volume, str(STORE), read_only)


def _copy(own: str = "") -> Service:
    """The copy service of a unit. `own` ends the names of the unit's services."""
    return Service(f"{_COPY}{own}", describe_copy, unit_of=_COPY if own else None, uses=(_URL,))


PACKAGES = Service("packages", describe, target=Target("api:9000", "/metrics/packages"))
SENDING = Service(PACKAGES.name, describe, target=Target(f"packages:{_PORT}"))
"""The same on a cluster, where it sends its sets to the copy services."""
COPY, ROOMS_COPY = _copy(), _copy("-rooms")
