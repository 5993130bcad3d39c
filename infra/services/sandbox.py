"""The public code runner: `api`, which visitors reach, and `executor`, which starts the sandboxes."""

import json
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import pulumi

from app.api import settings as api
from app.backup.settings import Copying
from app.executor import apparmor, seccomp
from app.executor import settings as executor
from app.process.settings import ProcessSettings, Settings
from infra.service import (
    SECONDS_TO_BE_LEFT,
    SECRETS,
    Context,
    Health,
    Mount,
    Part,
    Privileges,
    Route,
    Secret,
    Service,
    ServiceArgs,
    Target,
    Volume,
    WatchedFile,
)
from infra.services import packages
from infra.services.healthcheck import HEALTHCHECK
from infra.settings import Sandbox as SandboxSettings

API_PORT = 8000
_METRICS_PORT = 9000
_RUN_PATH = "/run/executor"
SITE_KEYS = "site_keys"
"""The name of the keys of sites beside those of secrets: the config has their hashes in clear."""
_KEYS = "keys.json"
_KEYS_FOLDER = "/etc/api"
_SOCKET = Path(_RUN_PATH, "executor.sock")
_ROOMS, _ROOMS_FOLDER = Volume("rooms-data", copying=Copying(databases=("*.sqlite",))), Path("/var/lib/rooms")
_ROOMS_URL_PATH = "/rooms"
_ROOMS_LABELS = {"unit": "rooms"}
"""The label of the metrics of the rooms' unit: what scales the other units leaves its load out."""
EXECUTOR_ENTRYPOINT = ("env", "--block-signal=TERM,INT,CHLD", "python", "-m", "app.executor.launcher")
"""The kernel drops a signal to a PID 1 without a handler. A blocked one stays pending until the executor is up."""
EXECUTOR_CAPABILITIES = ("SYS_ADMIN", "SETUID", "SETGID", "CHOWN", "MKNOD")
WITH_OWN_USERS = ("SETUID", "SETGID", "CHOWN")
"""The executor's capabilities in a pod that has a user namespace of its own."""
_SECONDS_TO_BEGIN = 10
"""How long an execution may wait before it begins, and take to answer, while a unit is drained."""
_AS_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
"""The container's root has capabilities, and whoever takes over the executor answers its health checks."""


def describe_executor(context: Context, run: Volume) -> ServiceArgs:
    """The executor has no network, and shares nothing with the api but a Unix socket.

    The sandboxes are in its container: its memory and its processors are also the limit of all of them together.
    """
    settings, cluster = context.settings.sandbox, context.settings.cluster
    own_users = cluster is not None and cluster.units.isolation == "cluster"
    return ServiceArgs(
        image="executor",
        entrypoint=EXECUTOR_ENTRYPOINT,
        health=Health([*_AS_NOBODY, *HEALTHCHECK, f"unix:{_SOCKET}"]),
        memory_mb=settings.together_mb,
        cpus=settings.cpus,
        user="0:0",
        root_reason="the launcher prepares the container as root; the executor itself is in a user namespace",
        privileges=Privileges(
            WITH_OWN_USERS if own_users else EXECUTOR_CAPABILITIES,
            "the launcher makes control groups, devices and a user namespace; nothing that runs later has a capability "
            "outside of that namespace",
            seccomp.for_executor(),
            # Docker's own profile lets nobody mount.
            apparmor.EXECUTOR if context.settings.engine.apparmor else "unconfined",
            own_users,
        ),
        mounts=[Mount(run, _RUN_PATH), *packages.store_to_read(settings)],
        tmp_mb=16,
        run_mb=16,
        overlaps=True,
        environment=executor_settings(
            settings, context.otlp_endpoint, context.settings.engine.apparmor, host_users=not own_users
        ).variables(),
    )


def describe_api(context: Context, run: Volume, *, of_rooms: bool) -> ServiceArgs:
    """The api's networks lead nowhere outside. One api has the rooms: where there is a unit `of_rooms`, that one's."""
    settings = context.settings.sandbox
    vault = context.settings.runs("openbao")
    rooms = settings.rooms if context.settings.rooms_apart is of_rooms else None
    own = api_settings(
        settings,
        context.otlp_endpoint,
        keys_folder=SECRETS if vault else _KEYS_FOLDER,
        rooms_folder=_ROOMS_FOLDER if rooms else None,
    )
    # Prometheus scrapes the api, which sends its spans to Jaeger.
    monitored = context.settings.runs("prometheus") or context.otlp_endpoint
    # Only the edge and the api are on the network "api", so requests from there are the edge's. The edge forwards the
    # address of its client, which may be a proxy too.
    proxies = context.orchestrator.subnets("api").apply(lambda subnets: [*subnets, *context.proxies_in_front])
    return ServiceArgs(
        image="app",
        entrypoint=["python", "-m", "app.api"],
        health=Health([*HEALTHCHECK, f"http://127.0.0.1:{API_PORT}/health"]),
        memory_mb=192 + (rooms.memory_mb if rooms else 0),
        cpus=1.0,
        networks=["api", *(["monitoring"] if monitored else []), *(["store"] if settings.in_valkey else [])],
        watched=None if vault else WatchedFile(_KEYS_FOLDER, _KEYS, keys_file(settings), polled=True),
        mounts=[
            Mount(run, _RUN_PATH, read_only=True),
            *([packages.SOCKET_TO_USE] if settings.packages else []),
            *([Mount(_ROOMS, str(_ROOMS_FOLDER), in_image=False)] if rooms else []),
        ],
        tmp_mb=16,
        drain_seconds=own.grace_seconds,
        overlaps=True,
        start_seconds=settings.start_seconds,
        environment=_variables(own, trusted_proxies=proxies),
    )


def unit(number: int) -> tuple[Service, Service]:
    """The executor and the api of one unit. Units are numbered from 1."""
    return _unit("" if number == 1 else f"-{number}")


def _unit(own: str, *, of_rooms: bool = False) -> tuple[Service, Service]:
    """A unit whose names end in `own`."""
    run = Volume(f"executor-run{own}", data=False)
    address, labels = f"api{own}:{_METRICS_PORT}", _ROOMS_LABELS if of_rooms else {}
    route = Route(f"http://api:{API_PORT}", "none", 600, health_path="/health", problems=True)
    # The executor has no network, so the api serves its metrics.
    return (
        Service(
            f"executor{own}",
            partial(describe_executor, run=run),
            target=Target(address, "/metrics/executor", labels=labels),
            unit_of="executor" if own else None,
        ),
        Service(
            f"api{own}",
            partial(describe_api, run=run, of_rooms=of_rooms),
            secrets=lambda settings: {_KEYS: Secret(SITE_KEYS)} if settings.runs("openbao") else {},
            target=Target(address, labels=labels),
            route=None if own else route,
            unit_of="api" if own else None,
            part=Part(_ROOMS_URL_PATH, f"http://api{own}:{API_PORT}") if of_rooms else None,
        ),
    )


EXECUTOR, API = unit(1)
ROOMS_EXECUTOR, ROOMS_API = _unit("-rooms", of_rooms=True)
"""The unit that has all rooms, where there are several units. The edge finds it by the rooms' path."""


def executor_settings(
    settings: SandboxSettings, otlp_endpoint: str | None, has_apparmor: bool, *, host_users: bool = True
) -> executor.ExecutorSettings:
    """What the executor reads at its start."""
    return executor.ExecutorSettings(
        **_options(settings, executor.ExecutorOptions),
        profile=settings.profile,
        environments=settings.environments,
        package_store=packages.STORE if settings.packages else None,
        socket=_SOCKET,
        apparmor=has_apparmor,
        host_users=host_users,
        traces=otlp_endpoint is not None,
    )


def api_settings(
    settings: SandboxSettings,
    otlp_endpoint: str | None,
    *,
    keys_folder: str = _KEYS_FOLDER,
    rooms_folder: Path | None = None,
) -> api.ApiSettings:
    """What the api reads at its start, but for the networks of its proxies: they are known at deployment."""
    return api.ApiSettings(
        **_options(settings, api.ApiOptions),
        profile=settings.profile,
        executor_socket=_SOCKET,
        keys_file=Path(keys_folder, _KEYS),
        port=API_PORT,
        metrics_port=_METRICS_PORT,
        packages_socket=packages.SOCKET,
        rooms_folder=rooms_folder,
        otlp_endpoint=otlp_endpoint,
        grace_seconds=ceil(settings.profile.timeout_seconds) + _SECONDS_TO_BEGIN,
        linger_seconds=SECONDS_TO_BE_LEFT,
    )


def keys_file(settings: SandboxSettings) -> str:
    """The file of the keys, with hashes of their secrets."""
    return json.dumps([key.model_dump(mode="json", exclude_defaults=True) for key in settings.keys], indent=1)


def _options(settings: SandboxSettings, model: type[Settings]) -> dict[str, Any]:
    """The fields of `model` as the operator chose them."""
    return {field: getattr(settings, field) for field in model.model_fields}


def _variables(settings: ProcessSettings, **late: pulumi.Output[Any]) -> dict[str, pulumi.Input[str]]:
    """The variables of a process. The fields in `late` are outputs, and are validated with the rest at deployment."""
    complete = pulumi.Output.all(**late).apply(
        lambda values: settings.model_validate({**dict(settings), **values}).variables()
    )
    names = set(map(settings.variable, late))
    return {name: complete[name] if name in names else value for name, value in settings.variables().items()}
