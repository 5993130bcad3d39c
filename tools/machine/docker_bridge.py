"""The address of Docker's default bridge: who listens there is reached by containers, and by nobody outside."""

import json
import subprocess

import docker

_NAME = "com.docker.network.bridge.name"


def address(client: docker.DockerClient) -> str:
    """The IPv4 address of this machine on the bridge.

    The kernel is asked: a Docker that has just made the bridge does not know the address until it is restarted.
    """
    interface = client.networks.get("bridge").attrs["Options"][_NAME]
    argv = ["ip", "-json", "-4", "address", "show", "dev", interface]
    said = subprocess.run(argv, capture_output=True, text=True, check=True)
    found: str = json.loads(said.stdout)[0]["addr_info"][0]["local"]
    return found
