"""The VPS itself: a fresh Debian or Ubuntu becomes a hardened host with Docker. One command for each concern."""

import json
from typing import Any

import pulumi

from app.runtimes import ENGINES_OWN, RUNTIMES
from infra.host import ssh
from infra.service import OPEN_FILES
from infra.settings import Host as HostSettings


class Host(pulumi.ComponentResource):
    """Runs the scripts beside it in order, over one connection at a time; a changed setting runs its own script again.

    The engine knows `runtime`, which starts the sandboxes. With `ipv6`, containers may be reached over that. At destroy
    each script takes back what it did; packages stay.
    """

    def __init__(
        self, settings: HostSettings, runtime: str, ipv6: bool, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("vps:infra:Host", "host", None, opts)
        concerns = {
            "sysctl": (),
            "time": (settings.time_zone,),
            "swap": (str(settings.swap_mb),),
            "upgrades": (settings.reboot_at or "never",),
            "logs": (),
            "docker": (settings.docker, json.dumps(daemon_settings(settings, runtime, ipv6)), runtime),
            "deploy": (settings.deploy_user, "\n".join(settings.deploy_keys)),
            "sshd": (settings.deploy_user,),
            "fail2ban": (),
        }
        done: list[pulumi.CustomResource] = []
        for concern, arguments in concerns.items():
            following = pulumi.ResourceOptions(parent=self, depends_on=done[-1:])
            done.append(ssh.script(concern, settings.ssh, *arguments, opts=following))
        # Unknown before the first `up` of a host, whose preview must not look for an engine that isn't there yet.
        self.engine = done[-1].id.apply(lambda _: engine_url(settings))
        self.register_outputs({"engine": self.engine})


def engine_url(settings: HostSettings) -> str:
    """The engine as the deploy user reaches it."""
    return f"ssh://{settings.deploy_user}@{settings.ssh.address}:{settings.ssh.port}"


def daemon_settings(settings: HostSettings, runtime: str, ipv6: bool) -> dict[str, Any]:
    """Docker's daemon.json, for an engine that knows `runtime`.

    User namespaces are not remapped: the executor is root with no capability, which is what lets it open the engine's
    socket; as a remapped root it couldn't, and an exemption for it (`--userns=host`) is one for whoever holds the
    socket. Sandboxes are no root in any namespace.
    """
    known = {runtime: {"path": f"/usr/bin/{runtime}", "runtimeArgs": RUNTIMES[runtime].arguments}}
    return {
        "live-restore": True,
        "userland-proxy": False,
        "no-new-privileges": True,
        "log-driver": "json-file",
        "log-opts": {"max-size": "10m", "max-file": "3"},
        "default-ulimits": {"nofile": {"Name": "nofile", "Soft": OPEN_FILES, "Hard": OPEN_FILES}},
        **({"runtimes": known} if runtime != ENGINES_OWN else {}),
        # Ports over IPv6 by the kernel's rules, as those over IPv4: a visitor's address stays what it is. Docker calls
        # that an experiment before version 27, and does so anyway from then on.
        **({"ip6tables": True, "experimental": True} if ipv6 else {}),
        **({"dns": [str(address) for address in settings.name_servers]} if settings.name_servers else {}),
    }
