"""A simulated server: a Debian in its own namespaces (mount, PID, network, cgroup, IPC, UTS), with sshd and dockerd.

Its files are an overlay, which is removed with it. It has no systemd: init scripts start the services, and at boot the
ExecStart of each enabled unit is run. How systemd handles a unit is therefore not tested.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from tests.vps import images
from tests.vps.cgroups import Cgroups
from tests.vps.network import Namespace
from tools.machine.docker_engine import DockerEngine

_BOOT = Path(__file__).with_name("boot.sh")
_HOST_KEY = "etc/ssh/ssh_host_ed25519_key.pub"
_SYSCTLS = ("net.ipv4.conf", "net.ipv4.tcp_syncookies", "net.ipv6.conf.all.forwarding", "net.ipv6.conf.eth0.accept_ra")
"""Those of its network namespace that differ between a server that was prepared and a fresh one."""
_SECONDS = 60
_RESTRICTED = ("setpriv", "--bounding-set=-sys_time,-sys_module,-sys_boot,-syslog,-wake_alarm")


class NamespaceVps:
    """One VPS. `close` ends all its processes and removes all but its network namespace.

    `docker_images` are the images that its Docker has, once one is installed.
    """

    def __init__(
        self,
        namespace: Namespace,
        folder: Path,
        debian: Path,
        docker_images: Path | None = None,
        name_server: str | None = None,
    ) -> None:
        self.namespace = namespace
        self._folder = folder
        self._debian = debian
        self._cgroups = Cgroups(namespace.name)
        self._init: subprocess.Popen[bytes] | None = None
        (folder / "images").mkdir()
        (folder / "sysctls").write_text(namespace.run("sysctl", *_SYSCTLS))
        if docker_images:
            images.copy(docker_images, folder / "images")
        self._name_server = name_server
        self.identity = folder / "identity"
        self._set_up()

    def _set_up(self) -> None:
        """Write the first content of its disk."""
        for part in ("upper", "work", "root", "docker"):
            (self._folder / part).mkdir(parents=True)
        images.copy(self._folder / "images", self._folder / "docker")
        if not self.identity.exists():
            _make_key(self.identity, "operator")
        self._write("root/.ssh/authorized_keys", self.public_key + "\n", mode=0o600)
        self._write("etc/resolv.conf", f"nameserver {self._name_server}\n" if self._name_server else "")
        # Docker's init script raises a limit, which may not be allowed on this machine.
        self._write("etc/default/docker", 'ulimit() { command ulimit "$@" || true; }\n')
        (self._folder / "upper/var/lib/apt/lists").mkdir(parents=True)
        (self._folder / "upper/root/.ssh").chmod(0o700)
        (self._folder / "upper/root").chmod(0o700)

    @property
    def public_key(self) -> str:
        return self.identity.with_suffix(".pub").read_text().strip()

    @property
    def host_key(self) -> str:
        """The public key of sshd, as `type base64`."""
        own = self._folder / "upper" / _HOST_KEY
        kind, key, *_ = (own if own.exists() else self._debian / _HOST_KEY).read_text().split()
        return f"{kind} {key}"

    @property
    def pid(self) -> int:
        """The PID, on this machine, of the VPS's PID 1."""
        assert self._init is not None, "the VPS is off"
        children = Path(f"/proc/{self._init.pid}/task/{self._init.pid}/children").read_text().split()
        return int(children[0])

    @property
    def engine(self) -> DockerEngine:
        """Its Docker, by the path of its socket on this machine."""
        return DockerEngine(f"unix:///proc/{self.pid}/root/run/docker.sock")

    def start(self) -> None:
        """Boot: run the enabled units, then start rsyslogd, sshd, Docker and fail2ban where they are installed."""
        self._cgroups.make()
        unshare = [
            *("nsenter", f"--net={self.namespace.path}"),
            *("unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child"),
            *("--uts", "--ipc", "--cgroup"),
            *("sh", str(_BOOT), str(self._folder), str(self._debian), " ".join(self._cgroups.controllers)),
        ]
        log = (self._folder / "boot.log").open("ab")
        self._init = subprocess.Popen(self._cgroups.at_boot(unshare), stdout=log, stderr=log, start_new_session=True)
        log.close()
        self._wait_for_boot()
        self._cgroups.booted(self._init.pid)
        for unit in self.shell("cat /etc/systemd/system/*.wants/vps-*.service 2>/dev/null || true").splitlines():
            if unit.startswith("ExecStart="):
                self.shell(unit.removeprefix("ExecStart="))
        self.start_rsyslogd()
        self.shell("for one in ssh docker fail2ban; do [ ! -e /etc/init.d/$one ] || service $one start; done")

    def start_rsyslogd(self) -> None:
        """Start rsyslogd, where it is installed, as systemd does: the package has no init script."""
        self.shell("[ ! -e /usr/sbin/rsyslogd ] || pgrep -x rsyslogd >/dev/null || rsyslogd")

    def cut_connections(self) -> None:
        """Kill the sshd processes of all connections."""
        self.shell("pkill -KILL --full '^sshd(-session)?: [^/]'")

    def stop(self) -> None:
        """Power off. The disk stays, and so does the network namespace."""
        if self._init is not None:
            with contextlib.suppress(ProcessLookupError, IndexError, FileNotFoundError):
                os.kill(self.pid, signal.SIGKILL)
            self._init.kill()
            self._init.wait()
            self._init = None
        self._cgroups.remove()

    def reboot(self) -> None:
        self._power_off()
        self.start()

    def replace(self) -> None:
        """A fresh server at the same address, with a host key of its own, in place of this one, whose disk is lost."""
        self._power_off()
        for part in ("upper", "work", "root", "docker"):
            shutil.rmtree(self._folder / part)
        self._set_up()
        key = self._folder / "upper" / _HOST_KEY
        key.parent.mkdir(parents=True)
        _make_key(key.with_suffix(""), "root")
        for _ in range(2):  # a change of forwarding sets some of the others
            self.namespace.run("sysctl", "--quiet", "--ignore", f"--load={self._folder / 'sysctls'}")
        self.start()

    def _power_off(self) -> None:
        """Stop, and take away what it has made in its network namespace."""
        self.stop()
        self.namespace.run("nft", "flush", "ruleset")
        for bridge in self.namespace.run("ip", "-brief", "link", "show", "type", "bridge").splitlines():
            self.namespace.run("ip", "link", "delete", bridge.split()[0])

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def shell(self, script: str, check: bool = True) -> str:
        """Run a shell script inside as root, without the network. Returns its stdout.

        Raises:
            AssertionError: it fails and `check` is true.
        """
        done = subprocess.run(
            self._cgroups.joining(
                ["nsenter", f"--target={self.pid}", "--all", "--root", "--wd", *_RESTRICTED, "sh", "-c", script]
            ),
            env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"{script!r} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def _wait_for_boot(self) -> None:
        deadline = time.monotonic() + _SECONDS
        while time.monotonic() < deadline:
            assert self._init is not None
            if self._init.poll() is not None:
                break
            with contextlib.suppress(IndexError, FileNotFoundError):
                if Path(f"/proc/{self.pid}/root/run/booted").exists():
                    return
            time.sleep(0.05)
        raise AssertionError(f"the VPS does not boot: {(self._folder / 'boot.log').read_text()}")

    def _write(self, path: str, text: str, mode: int = 0o644) -> None:
        file = self._folder / "upper" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)


def _make_key(file: Path, comment: str) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(file)], check=True)
