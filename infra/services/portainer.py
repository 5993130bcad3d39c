"""Management of Docker through a page: Portainer. It holds Docker's socket, so whoever logs in owns the host."""

from app.backup.settings import Copying
from infra.service import SECRETS, Context, DockerSocket, Health, Mount, Route, Secret, Service, ServiceArgs, Volume


def describe(context: Context) -> ServiceArgs:
    """Its password is at least 12 characters, by Portainer's own rule."""
    return ServiceArgs(
        image="portainer",
        entrypoint=["/portainer"],
        command=[f"--admin-password-file={SECRETS}/admin-password"],
        health=Health(["wget", "-q", "--spider", "http://localhost:9000/api/system/status"]),
        memory_mb=256,
        cpus=0.5,
        networks=["management"],
        user="0:0",
        root_reason="Docker's socket belongs to root; all capabilities are dropped",
        docker_socket=DockerSocket(context.settings.engine.socket, "its purpose is to manage Docker"),
        mounts=[Mount(Volume("portainer-data", copying=Copying(steady=("portainer.db",))), "/data")],
        tmp_mb=64,
    )


# The edge's password comes before Portainer's own log-in: it manages the host.
PORTAINER = Service(
    "portainer",
    describe,
    secrets=lambda _: {"admin-password": Secret("portainer_password")},
    route=Route("http://portainer:9000", "password", requests_per_minute=1200),
)
