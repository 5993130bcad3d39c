"""The public code runner: `api`, which visitors reach, and `executor`, which owns the engine's socket."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from infra.service import STACK_LABEL, EngineSocket, Health, Mount, Service, ServiceArgs
from infra.settings import Sandbox as SandboxSettings
from monitoring.prometheus.config import Target

API_PORT = 8000
_METRICS_PORT = 9000
METRICS_TARGETS = {
    "api": Target(f"api:{_METRICS_PORT}"),
    # The executor has no network: the api passes its figures on.
    "executor": Target(f"api:{_METRICS_PORT}", "/metrics/executor"),
}

_RUN = "/run/executor"
_SOCKET = f"{_RUN}/executor.sock"
_HEALTHCHECK = ("python", "-I", "-S", "/srv/app/process/healthcheck.py")


@dataclass(frozen=True)
class SandboxArgs:
    """What the runner needs. `environments` holds an image digest by environment; `proxies` the edge's addresses.

    Traces go to `otlp_endpoint`, a URL of OTLP over HTTP, or nowhere.
    """

    prefix: str
    image: pulumi.Input[str]
    environments: Mapping[str, pulumi.Input[str]]
    settings: SandboxSettings
    engine_socket: str
    networks: Sequence[pulumi.Input[str]]
    proxies: pulumi.Input[str]
    otlp_endpoint: str | None


class Sandbox(pulumi.ComponentResource):
    """Two processes that share a Unix socket and nothing else.

    The executor has no network at all; the api has no engine socket, and its networks lead nowhere outside.
    """

    def __init__(self, args: SandboxArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("vps:infra:Sandbox", "sandbox", None, opts)
        child = pulumi.ResourceOptions(parent=self)
        settings = args.settings
        profile = settings.profile.model_dump_json()
        run = docker.Volume(
            "executor-run",
            name=f"{args.prefix}-executor-run",
            labels=[docker.VolumeLabelArgs(label=STACK_LABEL, value=args.prefix)],
            opts=child,
        )
        executor = Service(
            "executor",
            ServiceArgs(
                prefix=args.prefix,
                image=args.image,
                entrypoint=["python", "-m", "app.executor"],
                command=[],
                health=Health([*_HEALTHCHECK, f"unix:{_SOCKET}"]),
                memory_mb=256,
                cpus=1.0,
                user="0:0",
                root_reason="the engine's socket belongs to root; all capabilities are dropped",
                engine_socket=EngineSocket(args.engine_socket, "creates and removes the sandboxes"),
                mounts=[Mount(run.name, _RUN)],
                tmp_mb=16,
                environment={
                    "EXECUTOR_PROFILE": profile,
                    "EXECUTOR_ENVIRONMENTS": pulumi.Output.json_dumps(dict(args.environments)),
                    "EXECUTOR_STACK": args.prefix,
                    "EXECUTOR_SOCKET": _SOCKET,
                    "EXECUTOR_ENGINE": "unix:///var/run/docker.sock",
                    "EXECUTOR_RUNTIME": settings.runtime,
                    "EXECUTOR_CONCURRENCY": str(settings.concurrency),
                    "EXECUTOR_QUEUE": str(settings.queue),
                    "EXECUTOR_QUEUE_SECONDS": str(settings.queue_seconds),
                    "EXECUTOR_TRACES": str(args.otlp_endpoint is not None).lower(),
                    "EXECUTOR_POOL": json.dumps({name: pool.model_dump() for name, pool in settings.pools.items()}),
                },
            ),
            opts=child,
        )
        optional = {"API_OTLP_ENDPOINT": args.otlp_endpoint, "API_RATE_STORE": settings.rate_store}
        Service(
            "api",
            ServiceArgs(
                prefix=args.prefix,
                image=args.image,
                entrypoint=["python", "-m", "app.api"],
                command=[],
                health=Health([*_HEALTHCHECK, f"http://127.0.0.1:{API_PORT}/health"]),
                memory_mb=192,
                cpus=1.0,
                networks=args.networks,
                mounts=[Mount(run.name, _RUN, read_only=True)],
                tmp_mb=16,
                environment={
                    "API_EXECUTOR_SOCKET": _SOCKET,
                    "API_PROFILE": profile,
                    "API_REQUESTS_PER_MINUTE": str(settings.requests_per_minute),
                    "API_TRUSTED_PROXIES": args.proxies,
                    "API_ALLOWED_ORIGINS": ",".join(settings.allowed_origins),
                    "API_METRICS_PORT": str(_METRICS_PORT),
                    "API_REFUSE_PATTERNS": str(settings.refuse_patterns).lower(),
                    "API_LOG_CODE": str(settings.log_code).lower(),
                    **{name: value for name, value in optional.items() if value},
                },
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[executor]),
        )
        self.register_outputs({})
