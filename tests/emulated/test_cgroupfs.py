"""The core on the emulated VPS once more, with Docker's other driver of control groups.

It comes last, so that all before it runs with systemd's driver, which is Debian's.
"""

from tests.emulated.machine import Machine
from tests.emulated.test_core import LABEL, MEMORY_BOMB
from tools.stack.local_stack import Stack

OTHER_DRIVER = """
import json
file = "/etc/docker/daemon.json"
settings = json.load(open(file)) | {"exec-opts": ["native.cgroupdriver=cgroupfs"]}
json.dump(settings, open(file, "w"))
"""


def test_with_dockers_other_driver_of_control_groups(prepared_machine: Machine, core: Stack) -> None:
    machine = prepared_machine
    assert machine.engine.client().info()["CgroupDriver"] == "systemd"
    machine.shell(f"python3 - <<'END'\n{OTHER_DRIVER}END\nsystemctl restart docker")
    services = f"--filter label=vps.stack={core.prefix} --filter label=vps.role=service"
    machine.shell(f"docker start $(docker ps --all --quiet {services})")
    assert machine.engine.client().info()["CgroupDriver"] == "cgroupfs"
    assert machine.execute("python", LABEL)["output"] == "vps-executor//&vps-sandbox (enforce)\n"
    assert machine.execute("python", MEMORY_BOMB)["status"] == "memory_limit"
