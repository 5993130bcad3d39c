"""Brings the cluster up, and takes it down without leaving anything of it on this machine."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import IO, cast

from offline.gomodules import Reporter
from offline.kubernetes import archive, certificates, configuration, layout, objects
from offline.kubernetes.layout import Node
from offline.kubernetes.node import BRIDGE, CGROUPS, UPLINK

PROGRAMS: Mapping[str, str] = MappingProxyType(
    {
        "containerd": "containerd",
        "ctr": "containerd",
        "ip": "iproute2",
        "iptables": "iptables",
        "nft": "nftables",
        "nsenter": "util-linux",
        "openssl": "openssl",
        "runc": "runc",
        "unshare": "util-linux",
    }
)
"""What the nodes need of this machine, with Debian's packages."""
_LINKS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubectl", "kubelet")
_CHECKOUT = Path(__file__).resolve().parent.parent.parent
_NODE, _FORWARD = "offline.kubernetes.node", "offline.kubernetes.forward"
_PID, _FORWARDER = "pid", "forwarder.pid"
_CTR = ("ctr", f"--address={configuration.CONTAINERD}")
_NAMESPACES = ("--net", "--mount", "--uts", "--ipc", "--pid", "--mount-proc", "--propagation=private")
_NAMES = "jsonpath={.items[*].metadata.name}"
_NODES_READY = ("wait", "--for=condition=Ready", "node", "--all", "--timeout=60s")
_NAMES_SERVED = ("-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=60s")
_SECONDS_TO_START = 60
_SECONDS_TO_END = 10


class ClusterError(Exception):
    """The cluster can't be brought up. The message says what failed, and where its log is."""


@dataclass(frozen=True)
class Build:
    """The folders of what was compiled: Kubernetes with CoreDNS and pause, the plugins of the network, and the program
    that enforces NetworkPolicies."""

    kubernetes: Path
    cni: Path
    netpol: Path
    architecture: str


@dataclass(frozen=True)
class Cluster:
    """The cluster whose files are in the folder `state`."""

    state: Path

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig of its administrator."""
        return certificates.kubeconfig(layout.certificates(self.state), certificates.ADMIN)

    @property
    def nodes(self) -> list[Node]:
        """Those that run."""
        return [node for node in self._made() if self._process(node)]

    def up(self, count: int, build: Build, report: Reporter) -> None:
        """Bring up `count` nodes. Does nothing when these run already.

        Raises:
            ClusterError: a part did not start.
        """
        if len(self.nodes) == len(self._made()) == count:
            return
        self.down()
        nodes = [Node(number, self.state) for number in range(1, count + 1)]
        self._prepare(nodes, build)
        try:
            for node in nodes:
                report(f"starting {node.name}")
                self._start(node, count)
            for name, reference in (("pause", layout.PAUSE_IMAGE), ("coredns", layout.COREDNS_IMAGE)):
                self.load([archive.of_program(build.kubernetes / name, reference, build.architecture)])
            report("waiting for the API server")
            self._until("the API server to be ready", lambda: self.kubectl("get", "--raw=/readyz") == "ok")
            items = {"apiVersion": "v1", "kind": "List", "items": objects.manifests(nodes)}
            self._until("the first objects", lambda: bool(self.kubectl("apply", "-f", "-", stdin=json.dumps(items))))
            report("waiting for the nodes and for names")
            names = [node.name for node in nodes]
            self._until("the nodes to join", lambda: self.kubectl("get", "nodes", "-o", _NAMES).split() == names)
            for what, wait in (("the nodes to be ready", _NODES_READY), ("names to be served", _NAMES_SERVED)):
                self._until(what, partial(self._says, wait))
        except BaseException:
            self._stop()
            raise

    def down(self) -> None:
        """End every process of the nodes, and remove their files, control groups and interface."""
        self._stop()
        for hierarchy in _hierarchies():
            for folder, _, _ in os.walk(hierarchy / layout.CGROUP, topdown=False):
                _retry(Path(folder).rmdir)
        if Path("/sys/class/net", layout.HOST_LINK).exists():
            subprocess.run(["ip", "link", "delete", layout.HOST_LINK], check=False, capture_output=True)
        shutil.rmtree(self.state, ignore_errors=True)

    def load(self, image: Iterable[bytes]) -> None:
        """Import an image, an archive as `docker save` writes it, into each node.

        Raises:
            ClusterError: containerd refused it.
        """
        with contextlib.ExitStack() as started:
            importing = {node: started.enter_context(self._import(node)) for node in self.nodes}
            for chunk in image:
                for it in importing.values():
                    with contextlib.suppress(BrokenPipeError):
                        _pipe(it.stdin).write(chunk)
            for it in importing.values():
                with contextlib.suppress(BrokenPipeError):
                    _pipe(it.stdin).close()
            said = {node: _pipe(it.stdout).read().decode(errors="replace") for node, it in importing.items()}
        for node, it in importing.items():
            if it.returncode:
                raise ClusterError(f"containerd of {node.name} did not take an image: {said[node].strip()}")

    def _import(self, node: Node) -> "subprocess.Popen[bytes]":
        self._until(f"containerd of {node.name}", partial(self._answers, node))
        command = self._inside(node, *_CTR, "-n", "k8s.io", "images", "import", "-")
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def has_image(self, reference: str) -> bool:
        """Whether each node has an image, by its name and tag as Docker shows them."""
        listed = [self._ctr(node, "-n", "k8s.io", "images", "ls", "-q").stdout.split() for node in self.nodes]
        return all(f"docker.io/{reference}" in names for names in listed)

    def put(self, file: str, text: str) -> None:
        """Write a file into the folder of seccomp profiles of each node's kubelet."""
        for node in self.nodes:
            place = node.folder / "var/lib/kubelet/seccomp" / file
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)

    def publish(self, ports: Iterable[int]) -> None:
        """Let these ports of this machine's loopback lead to the first node."""
        _end(self.state / _FORWARDER)
        address = Node(1, self.state).address
        started = _spawn([sys.executable, "-m", _FORWARD, address, *map(str, ports)], self.state / "forward.log")
        (self.state / _FORWARDER).write_text(str(started))

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """Run kubectl as the administrator. Returns its output without space around it.

        Raises:
            subprocess.CalledProcessError: it failed; `stderr` says why.
        """
        command = [layout.program(self.state, "kubectl"), f"--kubeconfig={self.kubeconfig}", *arguments]
        return subprocess.run(command, input=stdin, check=True, capture_output=True, text=True).stdout.strip()

    def _made(self) -> list[Node]:
        return [Node(int(folder.name.partition("-")[2]), self.state) for folder in sorted(self.state.glob("node-*"))]

    def _prepare(self, nodes: list[Node], build: Build) -> None:
        self.state.mkdir(parents=True, mode=0o700)
        (self.state / "bin").mkdir()
        for name in _LINKS:
            Path(layout.program(self.state, name)).symlink_to(build.kubernetes / "kube")
        Path(layout.program(self.state, "netpol")).symlink_to(build.netpol / "netpol")
        layout.cni(self.state).symlink_to(build.cni)
        certificates.make(layout.certificates(self.state), nodes)
        for node in nodes:
            node.log.mkdir(parents=True)
            for hierarchy in _hierarchies():
                (hierarchy / node.cgroup.lstrip("/")).mkdir(parents=True)

    def _start(self, node: Node, count: int) -> None:
        """Start PID 1 of a node in new namespaces, which end with it, and put an interface into them."""
        command = ["unshare", *_NAMESPACES, "--fork", "--kill-child", "--", sys.executable, "-m", _NODE]
        started = _spawn([*command, str(self.state), str(node.number), str(count)], node.log / "node.log")
        (node.folder / _PID).write_text(str(started))
        self._until(f"{node.name} to start", lambda: self._first(node) is not None)
        peer = ["peer", "name", UPLINK, "netns", str(self._first(node))]
        if node.leads:
            _run("ip", "link", "add", layout.HOST_LINK, "type", "veth", *peer)
            _run("ip", "address", "add", f"{layout.HOST_ADDRESS}/{layout.NODE_NETWORK_BITS}", "dev", layout.HOST_LINK)
            _run("ip", "link", "set", layout.HOST_LINK, "up")
        else:
            leader = ["nsenter", f"--target={self._first(Node(1, self.state))}", "--net", "ip", "link"]
            _run(*leader, "add", node.name, "type", "veth", *peer)
            joined = [*leader, "set", node.name, "master", BRIDGE, "up"]
            self._until(f"the bridge of {Node(1, self.state).name}", lambda: _run(*joined))

    def _stop(self) -> None:
        _end(self.state / _FORWARDER)
        for node in self._made():
            _end(node.folder / _PID)  # PID 1 of the node dies with it, and all others of its namespace too

    @staticmethod
    def _process(node: Node) -> int | None:
        """The process that started the node's namespaces; None when it has ended."""
        return _running(node.folder / _PID)

    def _first(self, node: Node) -> int | None:
        """PID 1 of the node, as this machine numbers it."""
        if process := self._process(node):
            children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
            return int(children[0]) if children else None
        return None

    def _inside(self, node: Node, *command: str) -> list[str]:
        return ["nsenter", f"--target={self._first(node)}", "--mount", "--", *command]

    def _ctr(self, node: Node, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(self._inside(node, *_CTR, *arguments), check=False, capture_output=True, text=True)

    def _says(self, command: Sequence[str]) -> bool:
        return bool(self.kubectl(*command))

    def _answers(self, node: Node) -> bool:
        return self._ctr(node, "version").returncode == 0

    def _until(self, awaited: str, ready: Callable[[], bool]) -> None:
        """Try until it succeeds. What fails meanwhile is shown when the time is over."""
        end = time.monotonic() + _SECONDS_TO_START
        while True:
            said = ""
            try:
                if ready():
                    return
            except subprocess.CalledProcessError as error:
                said = f": {str(error.stderr).strip()}"
            ended = [node.name for node in self._made() if (node.folder / _PID).exists() and not self._process(node)]
            if ended or time.monotonic() > end:
                cause = f"{', '.join(ended)} ended" if ended else f"waited {_SECONDS_TO_START} s for {awaited}{said}"
                raise ClusterError(f"{cause}. The logs are in {self.state}/node-*/log")
            time.sleep(0.1)


def _hierarchies() -> Iterator[Path]:
    """The mounted hierarchies of control groups: one with version 2, one for each controller with version 1."""
    if (CGROUPS / "cgroup.controllers").exists():
        yield CGROUPS
    else:
        yield from (it for it in CGROUPS.iterdir() if it.is_dir() and not it.is_symlink() and it.name != "unified")


def _pipe(end: IO[bytes] | None) -> IO[bytes]:
    """What the type of a process does not show: it was started with this pipe."""
    return cast("IO[bytes]", end)


def _spawn(command: Sequence[str], log: Path) -> int:
    with log.open("ab") as sink:
        started = subprocess.Popen(
            command,
            cwd=_CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    # For a moment after it was started, a process has no arguments, by which `_running` knows it.
    while started.poll() is None and not Path(f"/proc/{started.pid}/cmdline").read_bytes():
        time.sleep(0.001)
    return started.pid


def _running(pid: Path) -> int | None:
    """The process whose number is in a file, if it is still one of ours."""
    with contextlib.suppress(OSError, ValueError):
        process = int(pid.read_text())
        if b"offline.kubernetes." in Path(f"/proc/{process}/cmdline").read_bytes():
            return process
    return None


def _end(pid: Path) -> None:
    """Kill the process whose number is in a file, and wait until it is gone."""
    if process := _running(pid):
        os.kill(process, signal.SIGKILL)
        _retry(lambda: _gone(process))


def _gone(process: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(process, os.WNOHANG)
    if Path(f"/proc/{process}").exists():
        raise BlockingIOError(process)


def _retry(do: Callable[[], object]) -> None:
    """Do what fails while the kernel still clears up, for some seconds."""
    end = time.monotonic() + _SECONDS_TO_END
    while True:
        try:
            do()
        except FileNotFoundError:
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return


def _run(*command: str) -> bool:
    subprocess.run(command, check=True, capture_output=True)
    return True
