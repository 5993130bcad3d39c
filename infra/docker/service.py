"""Hardened containers of Docker, made from the description of a service. Every container of the stack is made here."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_docker as docker

from infra.docker.images import Images
from infra.docker.networks import Networks
from infra.service import (
    DATA_ROLE,
    OPEN_FILES,
    ROLE_LABEL,
    SECONDS_TO_BE_LEFT,
    SECRETS,
    SERVICE_LABEL,
    STACK_LABEL,
    Config,
    Context,
    Health,
    NoHealth,
    ServiceArgs,
    Volume,
    WatchedFile,
)

# RLIMIT_NPROC counts every process of a user id on the host: services that share an id share this number.
_PROCESSES = 4096
_SECONDS_TO_STOP = 10
# With the labels in each line of the file, the log collector needs no access to Docker to tell whose line it is.
_LOG_OPTIONS = {"max-size": "10m", "max-file": "3", "labels": f"{SERVICE_LABEL},{STACK_LABEL}"}


@dataclass(frozen=True)
class Stack:
    """An `Orchestrator`. The containers of a stack share the prefix of their names, the images and the networks."""

    prefix: str
    images: Images
    networks: Networks
    hosts: dict[str, pulumi.Output[str]] = field(default_factory=dict)
    volumes: dict[Volume, docker.Volume] = field(default_factory=dict)

    def data(self) -> Sequence[Volume]:
        return [volume for volume in self.volumes if volume.data]

    def each(self, service: str) -> None:
        """A service has one container."""

    def watch(self, context: Context, opts: pulumi.ResourceOptions) -> None:
        """Nothing is there besides the stack."""

    def host(self, service: str) -> pulumi.Output[str]:
        return self.hosts[service]

    def subnets(self, network: str) -> pulumi.Output[Sequence[str]]:
        return self.networks.subnets(network)

    def internal_networks(self) -> Sequence[str]:
        return self.networks.internal()

    def make(self, name: str, services: Mapping[str, ServiceArgs], opts: pulumi.ResourceOptions) -> None:
        self.hosts.update(ServiceGroup(name, self, services, opts).hosts)


class ServiceGroup(pulumi.ComponentResource):
    """Services with their volumes, by name: one, or several that share a volume, each started after those before it.

    `hosts` are the names by which the edge reaches their containers.
    """

    def __init__(
        self, name: str, stack: Stack, services: Mapping[str, ServiceArgs], opts: pulumi.ResourceOptions
    ) -> None:
        super().__init__(f"vps:infra:{name.title().replace('-', '')}", name, None, opts)
        volumes = Volumes(stack, pulumi.ResourceOptions(parent=self))
        self.hosts: dict[str, pulumi.Output[str]] = {}
        started: list[pulumi.Resource] = []
        for service, args in services.items():
            made = _Service(service, stack, args, volumes, pulumi.ResourceOptions(parent=self), after=tuple(started))
            self.hosts[service] = made.host
            started.append(made.container)
        self.register_outputs({})


class Volumes:
    """The volumes of a stack, each made with the group of the first service that asks for it."""

    def __init__(self, stack: Stack, opts: pulumi.ResourceOptions) -> None:
        self._stack = stack
        self._opts = opts

    def get(self, volume: Volume, digest: pulumi.Output[str] | None) -> docker.Volume:
        """The volume. One without data has `digest` of its first service in its name, where that overlaps with its
        successor: each of the two has its own.
        """
        if volume not in self._stack.volumes:
            name = pulumi.Output.from_input(f"{self._stack.prefix}-{volume.name}")
            labels = {STACK_LABEL: self._stack.prefix} | ({ROLE_LABEL: DATA_ROLE} if volume.data else {})
            self._stack.volumes[volume] = docker.Volume(
                volume.name,
                name=pulumi.Output.concat(name, "-", digest) if digest and not volume.data else name,
                labels=[docker.VolumeLabelArgs(label=label, value=value) for label, value in labels.items()],
                # `destroy` leaves data on the host, and the next `up` finds it by its name.
                opts=pulumi.ResourceOptions.merge(
                    self._opts, pulumi.ResourceOptions(retain_on_delete=volume.data or None)
                ),
            )
        return self._stack.volumes[volume]


class _Service(pulumi.ComponentResource):
    """A container, with its configuration in a volume.

    Configuration travels through Docker's API, so that a stack on this machine and one over SSH are the same: a loader
    container that is never started carries the files into a volume named after their content (Docker refuses uploads
    into a container whose root is read-only). Other content is another volume, which replaces the service; only files
    that the service reads again get into the volume that it has. The files belong to root, and the service mounts them
    read-only.
    """

    def __init__(
        self,
        name: str,
        stack: Stack,
        args: ServiceArgs,
        volumes: Volumes,
        opts: pulumi.ResourceOptions,
        *,
        after: Sequence[pulumi.Resource],
    ) -> None:
        super().__init__("vps:infra:Service", name, None, opts)
        self._name = name
        self._stack = stack
        self._args = args
        self._image = stack.images.digest(args.image)
        inputs = self._inputs()
        own = _digest(inputs) if args.overlaps else None
        volumes_of = [(mount, volumes.get(mount.volume, own)) for mount in args.mounts]
        mounts = [_volume(volume.name, mount.path, mount.read_only) for mount, volume in volumes_of]
        closed = [volume for mount, volume in volumes_of if not mount.in_image]
        loaders: list[pulumi.Resource] = [
            self._open(volume, f"data-{number}" if number else "data") for number, volume in enumerate(closed)
        ]
        # Apart from the secrets, so that a preview shows how the rest of the configuration changes.
        secrets = Config(SECRETS, args.secrets) if args.secrets else None
        for kind, config in {"config": args.config, "secrets": secrets}.items():
            if config:
                volume, loader = self._load(kind, config)
                mounts.append(_volume(volume.name, config.directory, read_only=True))
                loaders.append(loader)
        if args.watched:
            watched = self._own_volume("watched", f"{stack.prefix}-{name}-watched")
            mounts.append(_volume(watched.name, args.watched.directory, read_only=True))
            loaders.append(self._write(watched, args.watched, inputs))
        memory = {"/tmp": args.tmp_mb, "/run": args.run_mb}  # noqa: S108 - the container's own
        mounts += [_memory(path, size_mb) for path, size_mb in memory.items() if size_mb]
        if args.docker_socket:
            mounts.append(_bind(args.docker_socket.path, "/var/run/docker.sock"))
        mounts += [_bind(path.path, path.target, read_only=True) for path in args.host_paths]
        inputs["mounts"] = mounts
        name_of_all = pulumi.Output.from_input(f"{stack.prefix}-{name}")
        self.container = docker.Container(
            f"{name}-container",
            # Docker has each name once, so a container that overlaps with its successor is named by its content.
            name=pulumi.Output.concat(name_of_all, "-", _digest(inputs)) if args.overlaps else name_of_all,
            **inputs,
            opts=pulumi.ResourceOptions(
                parent=self,
                # Of the container, not of this component: Pulumi stops it before those that it depends on.
                depends_on=[*loaders, *after],
                delete_before_replace=not args.overlaps,
                # The provider calls a change of the first two an update in place, and does nothing. Without the third,
                # Pulumi would take a container that did not get healthy for updated the next time.
                replace_on_changes=["mounts", "healthcheck", "#initerror"],
            ),
        )
        self.host = self.container.name if args.overlaps else pulumi.Output.from_input(name)
        self.register_outputs({"container": self.container.name})

    def _inputs(self) -> dict[str, Any]:
        """The container's inputs, but for its name and its mounts."""
        args = self._args
        return {
            "hostname": self._name,
            "image": self._image,
            "entrypoints": args.entrypoint,
            "command": args.command,
            "working_dir": args.working_dir,
            "envs": [pulumi.Output.concat(key, "=", value) for key, value in args.environment.items()],
            "user": args.user,
            "read_only": True,
            "capabilities": docker.ContainerCapabilitiesArgs(
                drops=["ALL"],
                # As Docker reads them: without the prefix, a refresh would find a change.
                adds=[f"CAP_{name}" for name in own.capabilities] if (own := args.privileges) else None,
            ),
            "security_opts": [
                "no-new-privileges:true",
                *([f"seccomp={own.seccomp}"] if own and own.seccomp else []),
                *([f"apparmor={own.apparmor}"] if own and own.apparmor else []),
            ],
            "memory": args.memory_mb,
            "memory_swap": args.memory_mb,
            "cpus": str(args.cpus),
            "ulimits": [
                docker.ContainerUlimitArgs(name="nofile", soft=OPEN_FILES, hard=OPEN_FILES),
                docker.ContainerUlimitArgs(name="nproc", soft=_PROCESSES, hard=_PROCESSES),
            ],
            "restart": "unless-stopped",
            "wait": True if args.start_seconds else None,
            "wait_timeout": args.start_seconds,
            # The executor ends its sandboxes when it is stopped, and Prometheus writes what it holds in memory.
            "destroy_grace_seconds": (stop_seconds := _seconds_to_stop(args)),
            "stop_timeout": stop_seconds,
            "log_driver": "json-file",
            "log_opts": _LOG_OPTIONS,
            "healthcheck": _healthcheck(args.health),
            "ports": [
                docker.ContainerPortArgs(internal=port.internal, external=port.external, ip=port.address)
                for port in args.ports
            ],
            "network_mode": None if args.networks else "none",
            "networks_advanced": [
                docker.ContainerNetworksAdvancedArgs(name=self._stack.networks[network].name, aliases=[self._name])
                for network in args.networks
            ]
            or None,
            "labels": self._labels("service"),
        }

    def _load(self, kind: str, config: Config) -> tuple[docker.Volume, docker.Container]:
        digest = _digest(dict(config.files))
        name = pulumi.Output.concat(f"{self._stack.prefix}-{self._name}-{kind}-", digest)
        volume = self._own_volume(kind, name)
        uploads = [
            docker.ContainerUploadArgs(file=f"{config.directory}/{file}", content=content, permissions="0444")
            for file, content in config.files.items()
        ]
        return volume, self._loader(kind, name, _volume(volume.name, config.directory), uploads)

    def _write(self, volume: docker.Volume, watched: WatchedFile, inputs: Mapping[str, Any]) -> docker.Container:
        """A container that writes the file that the service watches, and ends. It is as confined as the service.

        The file is replaced as a whole: what Docker uploads, the service could see half written.
        """
        return docker.Container(
            f"{self._name}-watched-loader",
            name=pulumi.Output.concat(volume.name, "-loader"),
            **{
                **inputs,
                "entrypoints": ["sh", "-c", 'printf %s "$CONTENT" > "$0.next" && mv "$0.next" "$0"'],
                "command": [f"{watched.directory}/{watched.name}"],
                "working_dir": None,
                "envs": [pulumi.Output.concat("CONTENT=", watched.content)],
                "mounts": [_volume(volume.name, watched.directory)],
                "must_run": False,
                "attach": True,
                "wait": None,
                "wait_timeout": None,
                "restart": "no",
                "ports": [],
                "network_mode": "none",
                "networks_advanced": None,
                "labels": self._labels("watched-loader"),
            },
            opts=pulumi.ResourceOptions(
                parent=self, depends_on=[self._open(volume, "opened")], delete_before_replace=True
            ),
        )

    def _own_volume(self, kind: str, name: pulumi.Input[str]) -> docker.Volume:
        return docker.Volume(
            f"{self._name}-{kind}",
            name=name,
            labels=[docker.VolumeLabelArgs(label=STACK_LABEL, value=self._stack.prefix)],
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _open(self, volume: docker.Volume, kind: str) -> docker.Container:
        """Let the service write a fresh volume: covering /tmp, it takes the mode of that, which all may write.

        Only the service mounts it, so "all" is the service. Docker does that when the container is made. Each service
        has an opener of its own: one that gets the volume from another is made before the other's is removed.
        """
        name = pulumi.Output.concat(volume.name, "-opener-", self._name)
        return self._loader(kind, name, _volume(volume.name, "/tmp"), uploads=[])  # noqa: S108 - the container's own

    def _loader(
        self,
        kind: str,
        name: pulumi.Input[str],
        mount: docker.ContainerMountArgs,
        uploads: list[docker.ContainerUploadArgs],
    ) -> docker.Container:
        """A container that is never started: making it is what fills a volume."""
        return docker.Container(
            f"{self._name}-{kind}-loader",
            name=name,
            image=self._image,
            entrypoints=["never-started"],
            must_run=False,
            start=False,
            user=self._args.user,
            network_mode="none",
            capabilities=docker.ContainerCapabilitiesArgs(drops=["ALL"]),
            security_opts=["no-new-privileges:true"],
            mounts=[mount],
            uploads=uploads,
            labels=self._labels(f"{kind}-loader"),
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )

    def _labels(self, role: str) -> list[docker.ContainerLabelArgs]:
        labels = {STACK_LABEL: self._stack.prefix, SERVICE_LABEL: self._name, ROLE_LABEL: role}
        if role == "service":
            labels |= {f"vps.weakened.{what}": why for what, why in self._args.weakenings().items()}
        return [docker.ContainerLabelArgs(label=label, value=value) for label, value in labels.items()]


def _digest(inputs: Mapping[str, Any]) -> pulumi.Output[str]:
    """A hash of inputs. It reveals nothing of a generated secret, and a name that is one would be hidden everywhere."""
    text = pulumi.Output.json_dumps(inputs, default=vars)
    return pulumi.Output.unsecret(text.apply(lambda it: hashlib.sha256(it.encode()).hexdigest()[:12]))


def _seconds_to_stop(args: ServiceArgs) -> int:
    return _SECONDS_TO_STOP + (SECONDS_TO_BE_LEFT + args.drain_seconds if args.drain_seconds else 0)


def _healthcheck(health: Health | NoHealth) -> docker.ContainerHealthcheckArgs | None:
    if isinstance(health, NoHealth):
        return None
    return docker.ContainerHealthcheckArgs(
        tests=["CMD", *health.command],
        interval=f"{health.interval_seconds}s",
        timeout=f"{health.timeout_seconds}s",
        retries=health.retries,
    )


def _volume(name: pulumi.Input[str], path: str, read_only: bool = False) -> docker.ContainerMountArgs:
    return docker.ContainerMountArgs(type="volume", source=name, target=path, read_only=read_only)


def _memory(path: str, size_mb: int) -> docker.ContainerMountArgs:
    options = docker.ContainerMountTmpfsOptionsArgs(size_bytes=size_mb * 1024**2)
    return docker.ContainerMountArgs(type="tmpfs", target=path, tmpfs_options=options)


def _bind(source: str, target: str, read_only: bool = False) -> docker.ContainerMountArgs:
    return docker.ContainerMountArgs(type="bind", source=source, target=target, read_only=read_only)
