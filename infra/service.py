"""A long-running container, hardened unless an argument says otherwise and why. Every one is made here."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_docker as docker

STACK_LABEL = "vps.stack"
SERVICE_LABEL = "vps.service"
ROLE_LABEL = "vps.role"
DATA_ROLE = "data"
SECRETS = "/run/secrets"

OPEN_FILES = 8192
# RLIMIT_NPROC counts every process of a user id on the host: services that share an id share this number.
_PROCESSES = 4096
_SECONDS_TO_END = 10
# With the labels in each line of the file, the collector of logs needs no engine to tell whose line it is.
_LOG_OPTIONS = {"max-size": "10m", "max-file": "3", "labels": f"{SERVICE_LABEL},{STACK_LABEL}"}


@dataclass(frozen=True)
class Health:
    """How the engine finds out that a service works: a command of its image, and how often it runs (seconds)."""

    command: Sequence[str]
    interval_seconds: int = 5
    timeout_seconds: int = 4
    retries: int = 6


@dataclass(frozen=True)
class NoHealth:
    """That the engine can't find out whether a service works, and why not. The policy pack knows such services."""

    reason: str


@dataclass(frozen=True)
class Config:
    """Files that a service reads, by file name, in a directory that it can't write."""

    directory: str
    files: Mapping[str, pulumi.Input[str]]


@dataclass(frozen=True)
class Mount:
    """A named volume where a service sees it.

    A fresh volume takes the owner and mode of the folder that it covers. Where the image has none (`in_image` is
    false), the volume would belong to root, and the service could not write it.
    """

    volume: pulumi.Input[str]
    path: str
    read_only: bool = False
    in_image: bool = True


@dataclass(frozen=True)
class Port:
    """A port published on the host. Only the edge has any."""

    internal: int
    external: int
    address: str


@dataclass(frozen=True)
class EngineSocket:
    """The engine's socket, bound into the container. Whoever holds it owns the host: hence the reason.

    The policy pack knows by name the services that may have it, and refuses any other.
    """

    path: str
    reason: str


@dataclass(frozen=True)
class HostPath:
    """A file or folder of the host that the service reads, and can't write. Why it must be the host's is the reason.

    The policy pack knows by name which service may see which path, and refuses any other. The engine leaves what the
    host mounts below the path later on out of the container (private propagation).
    """

    path: str
    target: str
    reason: str


@dataclass(frozen=True)
class ServiceArgs:
    """One long-running container of the platform.

    Sizes are in MB (MiB, as the engine counts them), `cpus` in cores, `user` is `uid:gid`. A service whose uid is 0
    says why in `root_reason`, and the policy pack must know it by name. `environment` can be read by whoever may
    inspect the container, so secrets are files: `secrets`, by name, under /run/secrets. Without `networks` it has
    only a loopback interface.
    """

    prefix: str
    image: pulumi.Input[str]
    entrypoint: Sequence[str]
    command: Sequence[pulumi.Input[str]]
    health: Health | NoHealth
    memory_mb: int
    cpus: float
    networks: Sequence[pulumi.Input[str]] = ()
    user: str = "65532:65532"
    root_reason: str | None = None
    environment: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    config: Config | None = None
    secrets: Mapping[str, pulumi.Output[str]] = field(default_factory=dict)
    mounts: Sequence[Mount] = ()
    ports: Sequence[Port] = ()
    tmp_mb: int = 0
    engine_socket: EngineSocket | None = None
    host_paths: Sequence[HostPath] = ()


class Service(pulumi.ComponentResource):
    """A container, with its configuration in a volume.

    Configuration travels through the engine, so that a stack on this machine and one over SSH are the same: a loader
    container that is never started carries the files into a volume named after their content (the engine refuses
    uploads into a container whose root is read-only). Other content is another volume, which replaces the service.
    The files belong to root and the service mounts them read-only.
    """

    def __init__(self, name: str, args: ServiceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("vps:infra:Service", name, None, opts)
        self._name = name
        self._args = args
        mounts = [_volume(mount) for mount in args.mounts]
        loaders: list[pulumi.Resource] = [self._open(mount) for mount in args.mounts if not mount.in_image]
        # Apart from the secrets, so that a preview shows how the rest of the configuration changes.
        configs = {"config": args.config, "secrets": Config(SECRETS, args.secrets) if args.secrets else None}
        for kind, config in configs.items():
            if config:
                volume, loader = self._load(kind, config)
                mounts.append(_volume(Mount(volume.name, config.directory, read_only=True)))
                loaders.append(loader)
        if args.tmp_mb:
            mounts.append(_memory("/tmp", args.tmp_mb))  # noqa: S108 - the container's own
        if args.engine_socket:
            mounts.append(_bind(args.engine_socket.path, "/var/run/docker.sock"))
        mounts += [_bind(path.path, path.target, read_only=True) for path in args.host_paths]
        container = docker.Container(
            f"{name}-container",
            name=f"{args.prefix}-{name}",
            hostname=name,
            image=args.image,
            entrypoints=args.entrypoint,
            command=args.command,
            envs=[pulumi.Output.concat(key, "=", value) for key, value in args.environment.items()],
            user=args.user,
            read_only=True,
            capabilities=docker.ContainerCapabilitiesArgs(drops=["ALL"]),
            security_opts=["no-new-privileges:true"],
            memory=args.memory_mb,
            memory_swap=args.memory_mb,
            cpus=str(args.cpus),
            ulimits=[
                docker.ContainerUlimitArgs(name="nofile", soft=OPEN_FILES, hard=OPEN_FILES),
                docker.ContainerUlimitArgs(name="nproc", soft=_PROCESSES, hard=_PROCESSES),
            ],
            restart="unless-stopped",
            # The executor removes its sandboxes when it is told to end, and Prometheus writes down what it holds.
            destroy_grace_seconds=_SECONDS_TO_END,
            stop_timeout=_SECONDS_TO_END,
            log_driver="json-file",
            log_opts=_LOG_OPTIONS,
            healthcheck=_healthcheck(args.health),
            mounts=mounts,
            ports=[
                docker.ContainerPortArgs(internal=port.internal, external=port.external, ip=port.address)
                for port in args.ports
            ],
            labels=self._labels("service"),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=loaders,
                delete_before_replace=True,
                # The provider calls a change of these an update in place, and does nothing.
                replace_on_changes=["mounts", "healthcheck"],
            ),
            **self._network(),
        )
        self.register_outputs({"container": container.name})

    def _load(self, kind: str, config: Config) -> tuple[docker.Volume, docker.Container]:
        args = self._args
        contents = pulumi.Output.json_dumps(dict(config.files))
        # The hash tells nothing of a generated secret, and a name that is a secret would be hidden everywhere.
        digest = pulumi.Output.unsecret(contents.apply(lambda text: hashlib.sha256(text.encode()).hexdigest()[:12]))
        name = pulumi.Output.concat(f"{args.prefix}-{self._name}-{kind}-", digest)
        volume = docker.Volume(
            f"{self._name}-{kind}",
            name=name,
            labels=[docker.VolumeLabelArgs(label=STACK_LABEL, value=args.prefix)],
            opts=pulumi.ResourceOptions(parent=self),
        )
        loader = self._loader(
            kind,
            name,
            Mount(volume.name, config.directory),
            uploads=[
                docker.ContainerUploadArgs(file=f"{config.directory}/{file}", content=content, permissions="0444")
                for file, content in config.files.items()
            ],
        )
        return volume, loader

    def _open(self, mount: Mount) -> docker.Container:
        """Let the service write a fresh volume: covering /tmp, it takes the mode of that, which is writable by all.

        Only the service mounts it, so "all" is the service. The engine does that when the container is made.
        """
        name = pulumi.Output.concat(mount.volume, "-opener")
        return self._loader("data", name, Mount(mount.volume, "/tmp"), uploads=[])  # noqa: S108 - the container's own

    def _loader(
        self, kind: str, name: pulumi.Input[str], mount: Mount, uploads: list[docker.ContainerUploadArgs]
    ) -> docker.Container:
        """A container that is never started: making it is what fills a volume."""
        args = self._args
        return docker.Container(
            f"{self._name}-{kind}-loader",
            name=name,
            image=args.image,
            entrypoints=["never-started"],
            must_run=False,
            start=False,
            user=args.user,
            network_mode="none",
            capabilities=docker.ContainerCapabilitiesArgs(drops=["ALL"]),
            security_opts=["no-new-privileges:true"],
            mounts=[_volume(mount)],
            uploads=uploads,
            labels=self._labels(f"{kind}-loader"),
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )

    def _labels(self, role: str) -> list[docker.ContainerLabelArgs]:
        args = self._args
        labels = {STACK_LABEL: args.prefix, SERVICE_LABEL: self._name, ROLE_LABEL: role}
        if role == "service":
            labels |= {f"vps.weakened.{what}": why for what, why in _weakenings(args).items()}
        return [docker.ContainerLabelArgs(label=label, value=value) for label, value in labels.items()]

    def _network(self) -> dict[str, Any]:
        if not self._args.networks:
            return {"network_mode": "none"}
        return {
            "networks_advanced": [
                docker.ContainerNetworksAdvancedArgs(name=network, aliases=[self._name])
                for network in self._args.networks
            ]
        }


def data_volume(name: str, prefix: str, parent: pulumi.Resource) -> docker.Volume:
    """A volume whose data outlives the stack: `destroy` leaves it on the engine, the next `up` finds it again."""
    return docker.Volume(
        f"{name}-data",
        name=f"{prefix}-{name}-data",
        labels=[
            docker.VolumeLabelArgs(label=STACK_LABEL, value=prefix),
            docker.VolumeLabelArgs(label=ROLE_LABEL, value=DATA_ROLE),
        ],
        opts=pulumi.ResourceOptions(parent=parent, retain_on_delete=True),
    )


def _weakenings(args: ServiceArgs) -> dict[str, str]:
    """Each default that a service gives up, with its reason."""
    found = {}
    if args.root_reason:
        found["root"] = args.root_reason
    if args.engine_socket:
        found["engine-socket"] = args.engine_socket.reason
    if args.host_paths:
        found["host-paths"] = "; ".join(f"{path.path}: {path.reason}" for path in args.host_paths)
    if isinstance(args.health, NoHealth):
        found["health"] = args.health.reason
    return found


def _healthcheck(health: Health | NoHealth) -> docker.ContainerHealthcheckArgs | None:
    if isinstance(health, NoHealth):
        return None
    return docker.ContainerHealthcheckArgs(
        tests=["CMD", *health.command],
        interval=f"{health.interval_seconds}s",
        timeout=f"{health.timeout_seconds}s",
        retries=health.retries,
    )


def _volume(mount: Mount) -> docker.ContainerMountArgs:
    return docker.ContainerMountArgs(type="volume", source=mount.volume, target=mount.path, read_only=mount.read_only)


def _memory(path: str, size_mb: int) -> docker.ContainerMountArgs:
    options = docker.ContainerMountTmpfsOptionsArgs(size_bytes=size_mb * 1024**2)
    return docker.ContainerMountArgs(type="tmpfs", target=path, tmpfs_options=options)


def _bind(source: str, target: str, read_only: bool = False) -> docker.ContainerMountArgs:
    return docker.ContainerMountArgs(type="bind", source=source, target=target, read_only=read_only)
