"""The core on the emulated VPS once more, with Docker's other driver of control groups.

It comes last, so that all before it runs with systemd's driver, which is Debian's.
"""

from tests.emulated.drivers import restart_with
from tests.emulated.machine import Machine
from tests.emulated.test_core import LABEL, MEMORY_BOMB
from tools.stack.local_stack import Stack


def test_with_dockers_other_driver_of_control_groups(prepared_machine: Machine, core: Stack) -> None:
    machine = prepared_machine
    assert machine.engine.client().info()["CgroupDriver"] == "systemd"
    restart_with("cgroupfs", machine, core)
    assert machine.execute("python", LABEL)["output"] == "vps-executor//&vps-sandbox (enforce)\n"
    assert machine.execute("python", MEMORY_BOMB)["status"] == "memory_limit"
