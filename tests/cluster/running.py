"""What runs in the cluster, as this machine sees it: it can enter the networks of nodes and pods."""

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from offline.kubernetes import layout
from offline.kubernetes.cluster import Cluster
from offline.kubernetes.layout import Node
from tools.machine import kubernetes
from tools.machine.kubernetes import Kubernetes

_CONNECT = """
import json, socket, sys
arrived = []
for family, *address in json.loads(sys.argv[1]):
    with socket.socket(family) as probe:
        probe.settimeout(1)
        try:
            probe.connect(tuple(address))
            arrived.append(address[:2])
        except OSError:
            pass
print(json.dumps(arrived))
"""
_LISTENING = "0A"


@dataclass(frozen=True)
class Pod:
    """A pod that runs: the number of a process in its network, and the identifiers of its containers."""

    name: str
    service: str
    node: str
    address: str
    process: int
    containers: frozenset[str]

    def ports(self) -> list[int]:
        """The TCP ports on which it listens for others."""
        lines = [
            line.split()
            for table in ("tcp", "tcp6")
            for line in text(Path(f"/proc/{self.process}/net/{table}")).splitlines()[1:]
        ]
        open_ones = [local for _, local, _, state, *_ in lines if state == _LISTENING]
        # 127.0.0.1 as the kernel prints it.
        return sorted({int(it.rpartition(":")[2], 16) for it in open_ones if not it.startswith("0100007F:")})


def text(file: Path) -> str:
    """A file of a process; empty when the process has ended."""
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""


def command(process: Path) -> bytes:
    """The arguments of a process, each with a zero byte behind it."""
    return text(process / "cmdline").encode()


def processes(part: str) -> Iterator[int]:
    """The processes of this machine in whose control group's path `part` is."""
    return (int(it.name) for it in Path("/proc").glob("[0-9]*") if part in text(it / "cgroup"))


def pods(cluster: Cluster, *selection: str) -> list[Pod]:
    """The pods of the selection that run and are not ending."""
    items = json.loads(cluster.kubectl("get", "pods", "-o", "json", *selection))["items"]
    return [_pod(it) for it in items if it["status"]["phase"] == "Running" and not deleted(it)]


def ending(cluster: Cluster, stack: str) -> bool:
    """Whether a pod of the stack is ending. An edge that ends cuts off what takes longer than some seconds, and a unit
    that ends answers with its former settings."""
    found = cluster.kubectl("get", "pods", "--all-namespaces", "-l", f"vps.stack={stack}", "-o", "json")
    return any(map(deleted, json.loads(found)["items"]))


def deleted(pod: dict[str, Any]) -> bool:
    """Whether the pod is ending."""
    return "deletionTimestamp" in pod["metadata"]


def _pod(found: dict[str, Any]) -> Pod:
    metadata, status = found["metadata"], found["status"]
    # Those of the executor, an init container, have another network.
    served = _containers(status["containerStatuses"])
    return Pod(
        metadata["name"],
        metadata["labels"]["vps.service"],
        found["spec"]["nodeName"],
        status["podIP"],
        next(process for container in served for process in processes(container) if _is_first(process)),
        served | _containers(status.get("initContainerStatuses", [])),
    )


def _is_first(process: int) -> bool:
    """Whether it is PID 1 of its container: it stays, while those of health checks come and go."""
    numbers = re.search(r"^NSpid:.*\s(\d+)$", text(Path(f"/proc/{process}/status")), re.MULTILINE)
    return numbers is not None and numbers[1] == "1"


def _containers(statuses: list[dict[str, Any]]) -> frozenset[str]:
    return frozenset(it["containerID"].rpartition("/")[2] for it in statuses)


def node_process(name: str) -> int:
    """PID 1 of a node."""
    ending = f"\0-m\0offline.kubernetes.node\0{kubernetes.our_cluster().state}\0{name.removeprefix('node-')}\0".encode()
    found = [it for it in Path("/proc").glob("[0-9]*") if ending in command(it)]
    # `unshare`, which has started it, has the same arguments at its end.
    (process,) = (int(it.name) for it in found if not command(it).startswith(b"unshare"))
    return process


def refusal(
    cluster: Kubernetes, pod: Mapping[str, Any], stack: str, trust: str = "units", *, is_unit: bool = True
) -> str:
    """What the API server says against a pod in a namespace of a stack; nothing if it would take it. With `is_unit` it
    has the labels of a unit, else none."""
    assert cluster.ours
    labels = {"vps.stack": stack, "vps.service": "sandbox"} if is_unit else {}
    metadata = {"name": "tried", "labels": labels}
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod}
    create = ("-n", f"{stack}-{trust}", "create", "--dry-run=server", "-f", "-")
    try:
        cluster.ours.kubectl(*create, stdin=json.dumps(manifest))
    except subprocess.CalledProcessError as error:
        return str(error.stderr)
    return ""


def memory_limit(container: str) -> tuple[Path, int]:
    """The file with the memory limit of a container's control group, and the bytes that its processes have of it."""
    groups = text(Path(f"/proc/{next(processes(container))}/cgroup"))
    version_1 = re.search(rf":memory:(/.*{container})", groups)
    if version_1:
        folder, name, used = Path(f"/sys/fs/cgroup/memory{version_1[1]}"), "memory.limit_in_bytes", "total_rss"
    else:
        (path,) = re.findall(rf"^0::(/.*{container})", groups, re.MULTILINE)
        folder, name, used = Path(f"/sys/fs/cgroup{path}"), "memory.max", "anon"
    (held,) = re.findall(rf"^{used} (\d+)$", (folder / "memory.stat").read_text(), re.MULTILINE)
    return folder / name, int(held)


@contextlib.contextmanager
def answering_at(*addresses: str) -> Iterator[None]:
    """This machine at addresses that are not the cluster's, to whose pods it finds the way back."""
    for address in addresses:
        subprocess.run(["ip", "address", "add", f"{address}/32", "dev", layout.HOST_LINK], check=True)
    back = ["ip", "route", "replace", layout.PODS, "via", Node(1, Path()).address, "dev", layout.HOST_LINK]
    subprocess.run(back, check=True)
    try:
        yield
    finally:
        subprocess.run(["ip", "route", "del", layout.PODS], check=True)
        for address in addresses:
            subprocess.run(["ip", "address", "del", f"{address}/32", "dev", layout.HOST_LINK], check=True)


def arriving(process: int, addresses: Sequence[tuple[Any, ...]]) -> set[tuple[str, int]]:
    """Those of the addresses (family, host, port, ...) to which a TCP connection from the network of a process opens
    within a second."""
    return arrive({process: addresses})[process]


def arrive(addresses: Mapping[int, Sequence[tuple[Any, ...]]]) -> dict[int, set[tuple[str, int]]]:
    """As `arriving`, from several networks at once."""
    probes = {
        process: subprocess.Popen(
            ["nsenter", f"--target={process}", "--net", "--", sys.executable, "-c", _CONNECT, json.dumps(of_one)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for process, of_one in addresses.items()
    }
    return {process: {(host, port) for host, port in json.loads(it.communicate()[0])} for process, it in probes.items()}
