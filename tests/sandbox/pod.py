"""The executor of a unit's pod as a node runs it that gives the pod a user namespace, without a cluster around it."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import httpx

from app.executor import seccomp
from app.profile import FLOOR
from tests.pods import ISOLATED
from tests.program import platform_config, run_program
from tests.sandbox import node
from tests.sandbox.executor import IMAGE, Host
from tests.waiting import until

_MB = 1024**2
_CLOSED = ["nosuid", "noexec", "nodev"]
_SECONDS = 60
"""Of a usual machine, until an executor works, or has ended."""
_NAMESPACES = ("pid", "ipc", "uts", "mount", "network", "cgroup")


@cache
def declared() -> dict[str, Any]:
    """The pod as the program describes it, on a cluster that isolates its units."""
    made = run_program("cluster", platform_config("cluster", cluster={"edge": "NodePort", "units": ISOLATED}))
    (found,) = (it.inputs["spec"]["template"]["spec"] for it in made if it.name == "sandbox-deployment")
    return dict(found)


def configuration(
    pod: Mapping[str, Any],
    variables: Mapping[str, str],
    image: Mapping[str, Any],
    folder: Path,
    cgroup: str,
    *,
    delegated: bool,
) -> dict[str, Any]:
    """The config.json, of the OCI runtime specification, with which a runtime starts the pod's executor.

    `variables` replace the program's. `image` is what Docker tells of the image. The socket will be in `folder`/run.
    `cgroup` is the name of its control group in the form of runc, and `delegated` says whether it may write that.
    """
    (container,) = pod["initContainers"]
    security = container["securityContext"]
    assert security["seccompProfile"]["localhostProfile"] == seccomp.file_on_node(seccomp.for_executor())
    named = {it["name"]: it["value"] for it in container["env"]} | dict(variables)
    capabilities = [f"CAP_{it}" for it in security["capabilities"]["add"]]
    sizes = {it["name"]: it["emptyDir"]["sizeLimit"].removesuffix("i") for it in pod["volumes"] if "emptyDir" in it}
    memory = int(container["resources"]["limits"]["memory"].removesuffix("Mi")) * _MB
    access = "rw" if delegated else "ro"
    covered = security.get("procMount") != "Unmasked"
    own_users = pod.get("hostUsers") is False
    ids = [{"containerID": 0, "hostID": node.FIRST, "size": node.USERS}]
    return {
        "ociVersion": "1.0.2",
        "hostname": "sandbox",
        "root": {"path": "root", "readonly": security["readOnlyRootFilesystem"]},
        "process": {
            "args": [*container["command"], *container["args"]],
            "cwd": image["Config"]["WorkingDir"] or "/",
            "env": [*image["Config"]["Env"], *(f"{key}={value}" for key, value in named.items())],
            "user": {"uid": int(security["runAsUser"]), "gid": int(security["runAsGroup"])},
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), capabilities),
            "noNewPrivileges": not security["allowPrivilegeEscalation"],
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": _CLOSED},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64m"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "mode=620"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": [*_CLOSED, "size=64m"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*_CLOSED, "ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": [*_CLOSED, access]},
            *(
                {
                    "destination": f"/etc/{it}",
                    "type": "bind",
                    "source": str(folder / it),
                    "options": ["bind", "ro", *_CLOSED],
                }
                for it in node.SHARED
            ),
            *(_mount(mount, sizes[mount["name"]], folder) for mount in container["volumeMounts"]),
        ],
        "linux": {
            "cgroupsPath": cgroup,
            "namespaces": [{"type": it} for it in (*_NAMESPACES, *(["user"] if own_users else []))],
            **({"uidMappings": ids, "gidMappings": ids} if own_users else {}),
            "resources": {
                "devices": [{"allow": False, "access": "rwm"}],
                "memory": {"limit": memory, "swap": memory},
            },
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/sys/firmware"] if covered else [],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"] if covered else [],
            "seccomp": json.loads(seccomp.for_executor_on_node()),
        },
    }


def _mount(mount: Mapping[str, Any], size: str, folder: Path) -> dict[str, Any]:
    """A folder in memory. The one for the socket is shared with this machine."""
    place = mount["mountPath"]
    if mount["name"] == "executor-run":
        return {"destination": place, "type": "bind", "source": str(folder / "run"), "options": ["rbind"]}
    return {"destination": place, "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777", f"size={size}"]}


class PodExecutor:
    """The executor of one pod on a host, in a folder of its own there, which anybody may enter."""

    def __init__(self, host: Host, name: str) -> None:
        self._host = host
        self._folder = Path("/run", name)
        self._image: Mapping[str, Any] = host.client.images.get(os.environ[IMAGE]).attrs
        # runc gives a pod its group by systemd's driver alone, and with version 2 alone.
        version_2 = host.client.info()["CgroupVersion"] == "2"
        self._cgroup = f"system.slice:vps:{name}" if version_2 else f"/{name}"
        self.socket = self._folder / "run" / "executor.sock"

    def start(
        self,
        pod: Mapping[str, Any],
        variables: Mapping[str, str],
        command: Sequence[str] = (),
        *,
        delegated: bool = True,
    ) -> None:
        """Start it as this pod has it, or another command in its place.

        `delegated`: it may write its control groups. `variables` replace the program's.
        """
        config = configuration(pod, variables, self._image, self._folder, self._cgroup, delegated=delegated)
        if command:
            config["process"]["args"] = list(command)
        driver = self._image["GraphDriver"]["Data"]
        layers = [driver["UpperDir"], *driver["LowerDir"].split(":")]
        self._on_host(f"start(FOLDER, {layers!r}, json.loads({json.dumps(config)!r}), delegated={delegated})")
        self.socket.parent.mkdir(parents=True, exist_ok=True)
        self._host.reach(self.socket)

    def state(self) -> tuple[bool, str]:
        """Whether it has ended, and its log."""
        ended, log = json.loads(self._on_host("state(FOLDER)"))
        return ended, log

    def wait_until_ready(self) -> None:
        """Wait until it has tried each limit and serves."""

        def ready() -> bool:
            ended, log = self.state()
            assert not ended, log
            try:
                with self._client() as client:
                    return client.get("/health").status_code == httpx.codes.OK
            except httpx.TransportError:  # it does not listen yet
                return False

        until(ready, _SECONDS, "an executor that is ready")

    def end(self) -> str:
        """Its log, once it has ended by itself."""
        until(lambda: self.state()[0], _SECONDS, "the end of an executor")
        return self.state()[1]

    def execute(self, environment: str, code: str) -> dict[str, Any]:
        """The result of an execution."""
        body = {"environment": environment, "code": code, "timeout": FLOOR.timeout_seconds}
        with self._client() as client:
            answer = client.post("/execute", json=body)
        assert answer.status_code == httpx.codes.OK, answer.text
        return dict(answer.json())

    def _client(self) -> httpx.Client:
        transport = httpx.HTTPTransport(uds=str(self.socket))
        return httpx.Client(transport=transport, base_url="http://executor", timeout=100)

    def remove(self) -> None:
        """Remove it, with all that was made for it."""
        self._on_host("remove(FOLDER)")
        shutil.rmtree(self._folder, ignore_errors=True)

    def _on_host(self, call: str) -> str:
        return self._host.python(f"{Path(node.__file__).read_text()}\nFOLDER = Path({str(self._folder)!r})\n{call}")
