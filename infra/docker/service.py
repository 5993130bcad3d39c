"""Hardened containers of Docker, made from the description of a service. Every container of the stack is made here."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from infra.docker.images import Images
from infra.docker.networks import Networks
from infra.service import (
    DATA_ROLE,
    OPEN_FILES,
    ROLE_LABEL,
    SECRETS,
    SERVICE_LABEL,
    STACK_LABEL,
    Config,
    Health,
    NoHealth,
    ServiceArgs,
    Volume,
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

    def subnets(self, network: str) -> pulumi.Output[Sequence[str]]:
        return self.networks.subnets(network)

    def internal_networks(self) -> Sequence[str]:
        return self.networks.internal()

    def make(self, name: str, services: Mapping[str, ServiceArgs], opts: pulumi.ResourceOptions) -> None:
        ServiceGroup(name, self, services, opts)


class ServiceGroup(pulumi.ComponentResource):
    """Services with their volumes, by name: one, or several that share a volume, each started after those before it."""

    def __init__(
        self, name: str, stack: Stack, services: Mapping[str, ServiceArgs], opts: pulumi.ResourceOptions
    ) -> None:
        super().__init__(f"vps:infra:{name.title().replace('-', '')}", name, None, opts)
        wanted = {mount.volume for args in services.values() for mount in args.mounts}
        volumes = {volume: self._volume(stack, volume) for volume in sorted(wanted, key=lambda volume: volume.name)}
        started: list[pulumi.Resource] = []
        for service, args in services.items():
            own = pulumi.ResourceOptions(parent=self, depends_on=list(started))
            started.append(_Service(service, stack, args, volumes, own))
        self.register_outputs({})

    def _volume(self, stack: Stack, volume: Volume) -> docker.Volume:
        labels = {STACK_LABEL: stack.prefix} | ({ROLE_LABEL: DATA_ROLE} if volume.data else {})
        return docker.Volume(
            volume.name,
            name=f"{stack.prefix}-{volume.name}",
            labels=[docker.VolumeLabelArgs(label=label, value=value) for label, value in labels.items()],
            # `destroy` leaves data on the host, and the next `up` finds it by its name.
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=volume.data or None),
        )


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
        volumes: Mapping[Volume, docker.Volume],
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__("vps:infra:Service", name, None, opts)
        self._name = name
        self._stack = stack
        self._args = args
        self._image = stack.images.digest(args.image)
        mounts = [_volume(volumes[mount.volume].name, mount.path, mount.read_only) for mount in args.mounts]
        loaders: list[pulumi.Resource] = [
            self._open(volumes[mount.volume]) for mount in args.mounts if not mount.in_image
        ]
        # Apart from the secrets, so that a preview shows how the rest of the configuration changes.
        configs = {"config": args.config, "secrets": Config(SECRETS, args.secrets) if args.secrets else None}
        for kind, config in configs.items():
            if config:
                volume, loader = self._load(kind, config)
                mounts.append(_volume(volume.name, config.directory, read_only=True))
                loaders.append(loader)
        memory = {"/tmp": args.tmp_mb, "/run": args.run_mb}  # noqa: S108 - the container's own
        mounts += [_memory(path, size_mb) for path, size_mb in memory.items() if size_mb]
        if args.docker_socket:
            mounts.append(_bind(args.docker_socket.path, "/var/run/docker.sock"))
        mounts += [_bind(path.path, path.target, read_only=True) for path in args.host_paths]
        container = docker.Container(
            f"{name}-container",
            name=f"{stack.prefix}-{name}",
            hostname=name,
            image=self._image,
            entrypoints=args.entrypoint,
            command=args.command,
            working_dir=args.working_dir,
            envs=[pulumi.Output.concat(key, "=", value) for key, value in args.environment.items()],
            user=args.user,
            read_only=True,
            capabilities=docker.ContainerCapabilitiesArgs(
                drops=["ALL"],
                # As Docker reads them: without the prefix, a refresh would find a change.
                adds=[f"CAP_{name}" for name in own.capabilities] if (own := args.privileges) else None,
            ),
            security_opts=[
                "no-new-privileges:true",
                *([f"seccomp={own.seccomp}", f"apparmor={own.apparmor}"] if own else []),
            ],
            memory=args.memory_mb,
            memory_swap=args.memory_mb,
            cpus=str(args.cpus),
            ulimits=[
                docker.ContainerUlimitArgs(name="nofile", soft=OPEN_FILES, hard=OPEN_FILES),
                docker.ContainerUlimitArgs(name="nproc", soft=_PROCESSES, hard=_PROCESSES),
            ],
            restart="unless-stopped",
            # The executor ends its sandboxes when it is stopped, and Prometheus writes what it holds in memory.
            destroy_grace_seconds=_SECONDS_TO_STOP,
            stop_timeout=_SECONDS_TO_STOP,
            log_driver="json-file",
            log_opts=_LOG_OPTIONS,
            healthcheck=_healthcheck(args.health),
            mounts=mounts,
            ports=[
                docker.ContainerPortArgs(internal=port.internal, external=port.external, ip=port.address)
                for port in args.ports
            ],
            network_mode=None if args.networks else "none",
            networks_advanced=[
                docker.ContainerNetworksAdvancedArgs(name=stack.networks[network].name, aliases=[name])
                for network in args.networks
            ]
            or None,
            labels=self._labels("service"),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=loaders,
                delete_before_replace=True,
                # The provider calls a change of these an update in place, and does nothing.
                replace_on_changes=["mounts", "healthcheck"],
            ),
        )
        self.register_outputs({"container": container.name})

    def _load(self, kind: str, config: Config) -> tuple[docker.Volume, docker.Container]:
        contents = pulumi.Output.json_dumps(dict(config.files))
        # The hash reveals nothing of a generated secret, and a name that is a secret would be hidden everywhere.
        digest = pulumi.Output.unsecret(contents.apply(lambda text: hashlib.sha256(text.encode()).hexdigest()[:12]))
        name = pulumi.Output.concat(f"{self._stack.prefix}-{self._name}-{kind}-", "live" if config.reread else digest)
        volume = docker.Volume(
            f"{self._name}-{kind}",
            name=name,
            labels=[docker.VolumeLabelArgs(label=STACK_LABEL, value=self._stack.prefix)],
            opts=pulumi.ResourceOptions(parent=self),
        )
        uploads = [
            docker.ContainerUploadArgs(file=f"{config.directory}/{file}", content=content, permissions="0444")
            for file, content in config.files.items()
        ]
        return volume, self._loader(kind, name, _volume(volume.name, config.directory), uploads)

    def _open(self, volume: docker.Volume) -> docker.Container:
        """Let the service write a fresh volume: covering /tmp, it takes the mode of that, which all may write.

        Only the service mounts it, so "all" is the service. Docker does that when the container is made.
        """
        name = pulumi.Output.concat(volume.name, "-opener")
        return self._loader("data", name, _volume(volume.name, "/tmp"), uploads=[])  # noqa: S108 - the container's own

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
