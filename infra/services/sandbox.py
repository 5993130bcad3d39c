"""The public code runner: `api`, which visitors reach, and `executor`, which owns the engine's socket."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import pulumi_docker as docker

from app.api import settings as api
from app.executor import settings as executor
from app.process.settings import Settings, variable, write_settings
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
_SOCKET = Path(_RUN, "executor.sock")
_HEALTHCHECK = ("python", "-I", "-S", "/srv/app/process/healthcheck.py")


@dataclass(frozen=True)
class SandboxArgs:
    """What the runner needs. `environments` holds an image digest by environment; `proxies` the edge's networks.

    Traces go to `otlp_endpoint`, a URL of OTLP over HTTP, or nowhere.
    """

    prefix: str
    image: pulumi.Input[str]
    environments: Mapping[str, pulumi.Output[str]]
    settings: SandboxSettings
    engine_socket: str
    networks: Sequence[pulumi.Input[str]]
    proxies: pulumi.Output[list[str]]
    otlp_endpoint: str | None


class Sandbox(pulumi.ComponentResource):
    """Two processes that share a Unix socket and nothing else.

    The executor has no network at all; the api has no engine socket, and its networks lead nowhere outside.
    """

    def __init__(self, args: SandboxArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("vps:infra:Sandbox", "sandbox", None, opts)
        child = pulumi.ResourceOptions(parent=self)
        run = docker.Volume(
            "executor-run",
            name=f"{args.prefix}-executor-run",
            labels=[docker.VolumeLabelArgs(label=STACK_LABEL, value=args.prefix)],
            opts=child,
        )
        runner = Service(
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
                environment=_variables(
                    executor_settings(args.settings, args.prefix, args.otlp_endpoint),
                    executor.PREFIX,
                    environments=pulumi.Output.all(**args.environments),
                ),
            ),
            opts=child,
        )
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
                environment=_variables(
                    api_settings(args.settings, args.otlp_endpoint), api.PREFIX, trusted_proxies=args.proxies
                ),
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[runner]),
        )
        self.register_outputs({})


def executor_settings(settings: SandboxSettings, stack: str, otlp_endpoint: str | None) -> executor.ExecutorSettings:
    """What the executor reads at its start, but for its images: their digests are known at deployment."""
    return executor.ExecutorSettings(
        **_options(settings, executor.ExecutorOptions),
        profile=settings.profile,
        environments=dict.fromkeys(settings.environments, "sha256:unknown"),
        stack=stack,
        socket=_SOCKET,
        engine="unix:///var/run/docker.sock",
        traces=otlp_endpoint is not None,
    )


def api_settings(settings: SandboxSettings, otlp_endpoint: str | None) -> api.ApiSettings:
    """What the api reads at its start, but for the networks of its proxies: they are known at deployment."""
    return api.ApiSettings(
        **_options(settings, api.ApiOptions),
        profile=settings.profile,
        executor_socket=_SOCKET,
        port=API_PORT,
        metrics_port=_METRICS_PORT,
        otlp_endpoint=otlp_endpoint,
    )


def _options(settings: SandboxSettings, model: type[Settings]) -> dict[str, Any]:
    """The fields of `model` as the operator chose them."""
    return {field: getattr(settings, field) for field in model.model_fields}


def _variables(settings: Settings, prefix: str, **late: pulumi.Output[Any]) -> dict[str, pulumi.Input[str]]:
    """The variables of a process. The fields in `late` are outputs, and are validated with the rest at deployment."""
    complete = pulumi.Output.all(**late).apply(
        lambda values: write_settings(settings.model_validate({**dict(settings), **values}), prefix)
    )
    names = {variable(prefix, field) for field in late}
    known = write_settings(settings, prefix)
    return {name: complete[name] if name in names else value for name, value in known.items()}
