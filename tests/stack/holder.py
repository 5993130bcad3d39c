"""A container that holds memory, as a service of a stack."""

import docker
from docker.models.containers import Container

_HOLDER = """
import signal
signal.signal(signal.SIGUSR1, lambda *_: b"x" * 300 * 1024**2)
held = b"x" * 100 * 1024**2
while True:
    signal.pause()
"""


def start(client: docker.DockerClient, image: str, prefix: str) -> Container:
    """The service `holder` of the stack with this prefix: 100 of its 200 MB in use, 300 MB more on SIGUSR1.

    `image` has Python. Docker starts it again when it ends. It goes with the stack's other objects.
    """
    container = client.containers.create(
        image,
        entrypoint=["python3", "-c", _HOLDER],
        name=f"{prefix}-holder",
        labels={"vps.stack": prefix, "vps.service": "holder", "vps.role": "service"},
        mem_limit="200m",
        restart_policy={"Name": "always"},
    )
    container.start()
    return container


def exceed_memory(holder: Container) -> None:
    """Have the kernel kill it, and Docker start it again: which it doesn't after a signal of its own."""
    holder.exec_run(["python3", "-c", "import os, signal; os.kill(1, signal.SIGUSR1)"])
