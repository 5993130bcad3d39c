"""Docker's two drivers of control groups: Docker makes them itself (cgroupfs), or has systemd make them."""

from typing import Literal

from tests.emulated.machine import Machine
from tools.stack.local_stack import Stack

_SET = """
import json
file = "/etc/docker/daemon.json"
settings = json.load(open(file)) | {"exec-opts": ["native.cgroupdriver=%s"]}
json.dump(settings, open(file, "w"))
"""


def restart_with(driver: Literal["cgroupfs", "systemd"], machine: Machine, core: Stack) -> None:
    """Start Docker again with this driver, and the core, which was stopped, with it."""
    machine.shell(f"python3 - <<'END'\n{_SET % driver}END\nsystemctl restart docker")
    services = f"--filter label=vps.stack={core.prefix} --filter label=vps.role=service"
    machine.shell(f"docker start $(docker ps --all --quiet {services})")
    assert machine.engine.client().info()["CgroupDriver"] == driver
