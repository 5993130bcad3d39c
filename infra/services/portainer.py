"""Management of the engine through a page: Portainer."""

from dataclasses import dataclass

import pulumi

from infra.service import SECRETS, EngineSocket, Health, Mount, Service, ServiceArgs, data_volume
from infra.services.edge import Route

_PORT = 9000


@dataclass(frozen=True)
class PortainerArgs:
    """`password` is at least 12 characters, by Portainer's own rule."""

    prefix: str
    image: pulumi.Input[str]
    network: pulumi.Input[str]
    engine_socket: str
    password: pulumi.Output[str]


class Portainer(pulumi.ComponentResource):
    """Portainer. It holds the engine's socket, so whoever logs in owns the host."""

    def __init__(self, args: PortainerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("vps:infra:Portainer", "portainer", None, opts)
        Service(
            "portainer",
            ServiceArgs(
                prefix=args.prefix,
                image=args.image,
                entrypoint=["/portainer"],
                command=[f"--admin-password-file={SECRETS}/admin-password"],
                health=Health(["wget", "-q", "--spider", f"http://localhost:{_PORT}/api/system/status"]),
                memory_mb=256,
                cpus=0.5,
                networks=[args.network],
                user="0:0",
                root_reason="the engine's socket belongs to root; all capabilities are dropped",
                engine_socket=EngineSocket(args.engine_socket, "its purpose is to manage the engine"),
                secrets={"admin-password": args.password},
                mounts=[Mount(data_volume("portainer", args.prefix, self).name, "/data")],
                tmp_mb=64,
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})


def portainer_route(host: str) -> Route:
    """The edge's password comes before Portainer's own log-in: it manages the host."""
    return Route("portainer", [host], f"http://portainer:{_PORT}", "password", requests_per_minute=1200)
