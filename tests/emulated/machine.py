"""An emulated VPS: Debian 12 with its own kernel, control groups, systemd and AppArmor.

Its processor is emulated too, so that it needs no right and runs anywhere; all in it takes ten to twenty times as long.
"""

import contextlib
import os
import secrets
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from app.profile import FLOOR
from infra.host import ssh
from infra.settings import Ssh
from tests.sandbox.processes import RUNTIME
from tests.vps import distributions, images
from tests.vps.network import Namespace
from tests.waiting import until
from tools.console.steps import Report
from tools.machine import process
from tools.machine.docker_engine import DockerEngine
from tools.paths import cache, private_folder
from tools.stack import health

SSH_PORT, HTTP_PORT = 2222, 8000
TAP = "machine"
"""Of a machine on a switch: its interface there."""
SSH_SOURCE = "10.0.2.2/32"
"""From where QEMU's own network forwards connections."""
EMULATED = "VPS_TEST_EMULATED"
"""The variable that makes an emulated VPS the host of tests/sandbox, and the VPS of tests/vps."""
CGROUPS = "VPS_TEST_CGROUPS"
"""The variable with the version of the control groups that such a host has. Unset: 2."""
IMAGES = ("app", "executor", "traefik")
"""Those on the disk of each machine."""
SECONDS = 60
"""Of a usual machine, until the core works: the executor tries every limit and environment first."""
_BOOT_SECONDS = 600
_HOST_KEY = "etc/ssh/ssh_host_ed25519_key.pub"
_BOOT_ID = "cat /proc/sys/kernel/random/boot_id"
_COMMAND_SECONDS = 1200
_MEMORY_MB = 6144
_PACKAGES = ("apparmor", "dbus", "initramfs-tools", "linux-image-amd64", "systemd-sysv", "udev")
_DISKS = ("etc/fstab", "/dev/vda / ext4 defaults 0 0\n/dev/vdb /var/lib/docker ext4 defaults 0 0\n")
_KERNEL = ("root=/dev/vda", "rw", "console=ttyS0", "net.ifnames=0", "mitigations=off")
_SHARES = """
while sleep 2; do
    for limit in /sys/fs/cgroup/docker/*/cpu.max /sys/fs/cgroup/system.slice/docker-*.scope/cpu.max; do
        [ ! -e "$limit" ] || echo max >"$limit"
    done
    cd /sys/fs/cgroup/cpu 2>/dev/null || continue
    for limit in docker/*/cpu.cfs_quota_us system.slice/docker-*.scope/cpu.cfs_quota_us; do
        [ ! -e "$limit" ] || echo -1 >"$limit"
    done
done
"""
"""Each container may use both processors. With the share that is enough elsewhere, no health check ends within its
4 s."""


@dataclass(frozen=True)
class Plan:
    """What a machine is made of: its distribution, packages and files besides, the port of its sshd, words that its
    kernel's command line has besides, and its processor as QEMU names it."""

    distribution: str
    packages: tuple[str, ...]
    files: tuple[tuple[str, str], ...]
    ssh_port: int
    kernel: tuple[str, ...] = ()
    # One with less than `max` is emulated faster: Python starts in 0.5 s in place of 0.8.
    processor: str = "Nehalem"


PREPARED = Plan(
    "debian-12",
    # Those that the host's scripts would install: tests/vps shows that they do, and emulated it takes ten minutes.
    packages=distributions.CACHED,
    files=(
        ("etc/ssh/sshd_config.d/port.conf", f"Port {SSH_PORT}\n"),
        ("etc/systemd/network/eth0.network", "[Match]\nName=eth0\n[Network]\nDHCP=ipv4\n"),
    ),
    ssh_port=SSH_PORT,
)
"""A machine that only this one reaches."""
WITH_VERSION_1 = replace(
    PREPARED, kernel=("systemd.unified_cgroup_hierarchy=0", "systemd.legacy_systemd_cgroup_controller=1")
)
"""The same with control groups of version 1 alone."""
FOR_GVISOR = replace(PREPARED, processor=f"{PREPARED.processor},+fsgsbase,+xsave,+xsaveopt")
"""The same with what each processor of the last ten years has, and gVisor has failed without (its issue 9996)."""


def chosen() -> Plan:
    """The machine that the variables of the tests ask for."""
    if cgroup_version() == 1:
        return WITH_VERSION_1
    return FOR_GVISOR if RUNTIME == "runsc" else PREPARED


def cgroup_version() -> int:
    """The version that the variable names."""
    return int(os.environ.get(CGROUPS, "2"))


class Machine:
    """One machine, with the images of a Docker's data folder. `close` ends it; what it has written is lost.

    It runs in the network namespace `at`, on whose switch its first interface then is. Without one, this machine alone
    reaches it.
    """

    def __init__(
        self,
        source: DockerEngine,
        names: Sequence[str],
        report: Report,
        plan: Plan,
        at: Namespace | None = None,
    ) -> None:
        self._report = report
        self._plan = plan
        self._at = at
        self._beside = ("nsenter", f"--net={at.path}") if at else ()
        self.identity = _identity()
        keys = ("root/.ssh/authorized_keys", self.public_key + "\n")
        packages, files = (*_PACKAGES, *plan.packages), (_DISKS, *plan.files, ("var/lib/docker/.keep", ""), keys)
        boot = distributions.Boot(packages, ("systemd-networkd",), files)
        self._system = distributions.ensure(plan.distribution, report, boot)
        stored = images.ensure(source, names, "emulated-images", report)
        self._disks = [_disk(self._system, "6G", report), _disk(stored, "12G", report)]
        self._folder = Path(tempfile.mkdtemp(prefix="vps-emulated-"))
        # All of 127.0.0.0/8 is this machine's: no port that it uses is taken.
        self.address = f"127.{'.'.join(str(2 + secrets.randbelow(250)) for _ in range(3))}"
        self._console = self._folder / "console.log"
        self._docker = self._folder / "docker.sock"
        self.engine = DockerEngine(f"unix://{self._docker}")
        self._running = contextlib.ExitStack()
        self._new_key = ""

    @property
    def public_key(self) -> str:
        """The key that its root accepts."""
        return self.identity.with_suffix(".pub").read_text().strip()

    @property
    def host_key(self) -> str:
        """The public key of its sshd, as `type base64`."""
        return " ".join((self._new_key or (self._system / _HOST_KEY).read_text()).split()[:2])

    @property
    def ssh(self) -> Ssh:
        """How its root is reached."""
        return Ssh(address=self.address, port=SSH_PORT, host_key=self.host_key, identity_file=str(self.identity))

    def boot(self) -> None:
        """Start it, and wait until its sshd answers: a minute, or several where processors are busy.

        Raises:
            AssertionError: it has not answered within 600 s.
        """
        (kernel,), (initial,) = (list(self._system.glob(f"boot/{name}-*")) for name in ("vmlinuz", "initrd.img"))
        ports = {SSH_PORT: self._plan.ssh_port, HTTP_PORT: HTTP_PORT}
        forwards = "".join(f",hostfwd=tcp:{self.address}:{here}-:{there}" for here, there in ports.items())
        tap = (
            "-netdev",
            f"tap,id=switch,ifname={TAP},script=no,downscript=no",
            "-device",
            "virtio-net-pci,netdev=switch",
        )
        self._start(
            *self._beside,
            *("nice", "-n", "5", "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", self._plan.processor),
            *("-smp", "2", "-m", str(_MEMORY_MB), "-display", "none", "-serial", f"file:{self._console}", "-snapshot"),
            *("-kernel", str(kernel), "-initrd", str(initial), "-append", " ".join((*_KERNEL, *self._plan.kernel))),
            *(part for disk in self._disks for part in ("-drive", f"file={disk},format=raw,if=virtio,cache=unsafe")),
            *(tap if self._at else ()),
            *("-netdev", f"user,id=net,restrict=on{forwards}", "-device", "virtio-net-pci,netdev=net"),
        )
        self._connect()
        # Otherwise apt would ask for newer lists than those of the disk, and there is no network.
        self.shell("touch /var/lib/apt/lists")

    def reboot(self) -> None:
        """Restart it as its root does, and wait until its sshd answers again."""
        boot = self.shell(_BOOT_ID)
        self.shell("systemctl reboot", check=False)
        self._tell_connection("exit")
        self._connect(other_than=boot)

    def replace(self) -> None:
        """A fresh machine at the same address, with a host key of its own, in place of this one, whose disk is lost."""
        self._running.close()
        self._new_key = ""
        self.boot()
        # OpenSSH 10 reads its keys when it starts.
        anew = "rm /etc/ssh/ssh_host_*; ssh-keygen -A >/dev/null; systemctl restart ssh"
        self._new_key = self.shell(f"{anew}; cat /{_HOST_KEY}")

    def _connect(self, other_than: str = "") -> None:
        deadline = time.monotonic() + _BOOT_SECONDS
        while (said := self._ssh(_BOOT_ID, seconds=60)).returncode or said.stdout == other_than:
            assert time.monotonic() < deadline, f"no sshd answers: {self._console.read_text(errors='replace')[-2000:]}"
            time.sleep(1)
        # One connection for all commands and forwarded sockets: a new one takes a second.
        self._start(*self._beside, "ssh", *self._control("-M", "-N"), f"root@{self.address}")
        while self._tell_connection("check"):
            assert time.monotonic() < deadline, "no SSH connection stays"
            time.sleep(0.1)
        self._docker.unlink(missing_ok=True)
        self._forward("/run/docker.sock", self._docker)
        self.shell(f"systemd-run --quiet --unit=shares sh -c {shlex.quote(_SHARES)}")

    def shell(self, script: str, check: bool = True) -> str:
        """Run a shell script as root. Returns its stdout.

        Raises:
            AssertionError: it fails and `check` is true, or it has not ended after 20 minutes.
        """
        done = self._ssh(script)
        if check:
            assert not done.returncode, f"{script!r} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def execute(self, environment: str, code: str) -> dict[str, Any]:
        """The answer of an execution through the edge, once the core on it works."""
        url = f"http://{self.address}:{HTTP_PORT}"

        def works() -> bool:
            if health.api_refusal(url) is None:
                return True
            time.sleep(5)  # the machine needs its processor to start
            return False

        until(works, SECONDS, "an answer of the api")
        body = {"environment": environment, "code": code, "timeout": FLOOR.timeout_seconds}
        answer = httpx.post(f"{url}/execute", json=body, timeout=100)
        assert answer.status_code == httpx.codes.OK, answer.text
        return dict(answer.json())

    def reach(self, socket: Path) -> None:
        """Make a Unix socket of the machine, which need not exist yet, one of this machine, at the same path."""
        if not socket.exists():
            self._forward(str(socket), socket)

    def _forward(self, there: str, here: Path) -> None:
        assert not self._tell_connection("forward", "-L", f"{here}:{there}"), f"{there} can't be reached"

    def _tell_connection(self, *command: str) -> int:
        """The exit code of a command to the SSH connection that stays."""
        argv = ["ssh", *self._control("-O", *command), f"root@{self.address}"]
        return subprocess.run(argv, capture_output=True, timeout=60, check=False).returncode

    def close(self) -> None:
        """End it. What it said at its console is in the log of the report."""
        self._running.close()
        if self._console.exists():
            self._report.write(self._console.read_text(errors="replace"))
        shutil.rmtree(self._folder)

    def _control(self, *options: str) -> list[str]:
        return [*ssh.options(self.ssh), "-p", str(SSH_PORT), "-S", str(self._folder / "ssh"), *options]

    def _ssh(self, script: str, seconds: float = _COMMAND_SECONDS) -> subprocess.CompletedProcess[str]:
        argv = [*self._beside, "ssh", *self._control(), f"root@{self.address}", f"sh -c {shlex.quote(script)}"]
        try:
            return subprocess.run(
                argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(argv, 1, "", f"no end after {seconds} s")

    def _start(self, *argv: str) -> None:
        with self._report.log.open("a") as log:
            # It ends with the tests, even if they are killed.
            argv = ("setpriv", "--pdeathsig=KILL", *argv)
            running = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._running.callback(process.terminate, running, 20)


def _identity() -> Path:
    """A private key for emulated machines, which nothing but this machine reaches."""
    identity = private_folder(cache() / "emulated") / "identity"
    if not identity.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "operator", "-f", identity], check=True)
    return identity


def _disk(content: Path, size: str, report: Report) -> Path:
    """A disk with this folder's files, beside it. Made once, in a few seconds."""
    disk = content.with_name(f"{content.name}.img")
    if not disk.exists():
        partial = disk.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        process.run(["mke2fs", "-q", "-t", "ext4", "-d", str(content), str(partial), size], report)
        partial.rename(disk)
    return disk
