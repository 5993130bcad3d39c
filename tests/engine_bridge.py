"""The engine's own bridge, where a test serves what containers are to reach and nobody outside is."""

import json
import subprocess

import docker

_NAME = "com.docker.network.bridge.name"


def address(client: docker.DockerClient) -> str:
    """The IPv4 address of this machine on it.

    Asked of the kernel: an engine that has just made the bridge doesn't know the address until it is started again.
    """
    interface = client.networks.get("bridge").attrs["Options"][_NAME]
    argv = ["ip", "-json", "-4", "address", "show", "dev", interface]
    said = subprocess.run(argv, capture_output=True, text=True, check=True)
    found: str = json.loads(said.stdout)[0]["addr_info"][0]["local"]
    return found
