"""Preparation of the VPS: turns a fresh Debian or Ubuntu into a hardened host with Docker, one command a concern."""

import json
from pathlib import Path
from typing import Any

import pulumi

from app.executor import apparmor
from infra.host import ssh
from infra.service import OPEN_FILES
from infra.settings import Host as HostSettings

_APPARMOR = Path(__file__).parent / "apparmor"


class Host(pulumi.ComponentResource):
    """Runs the scripts in `scripts/` one after the other. A changed setting runs only the script that reads it again.

    With `ipv6`, Docker publishes ports over IPv6 too. On destroy, each script undoes its changes, but packages stay
    installed.
    """

    def __init__(self, settings: HostSettings, ipv6: bool, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("vps:infra:Host", "host", None, opts)
        concerns = {
            "sysctl": (),
            "time": (settings.time_zone,),
            "swap": (str(settings.swap_mb),),
            "upgrades": (settings.reboot_at or "never",),
            "logs": (),
            "apparmor": tuple((_APPARMOR / name).read_text() for name in (apparmor.EXECUTOR, apparmor.SANDBOX)),
            "docker": (settings.docker, json.dumps(daemon_settings(settings, ipv6))),
            "deploy": (settings.deploy_user, "\n".join(settings.deploy_keys)),
            "sshd": (settings.deploy_user,),
            "fail2ban": (),
        }
        done: list[pulumi.CustomResource] = []
        for concern, arguments in concerns.items():
            following = pulumi.ResourceOptions(parent=self, depends_on=done[-1:])
            done.append(ssh.script(concern, settings.ssh, *arguments, opts=following))
        # An output, so that the first preview does not connect to a Docker that is not installed yet.
        self.docker_url = done[-1].id.apply(lambda _: docker_url(settings))
        self.register_outputs({"docker_url": self.docker_url})


def docker_url(settings: HostSettings) -> str:
    """The URL of Docker for the deploy user."""
    return f"ssh://{settings.deploy_user}@{settings.ssh.address}:{settings.ssh.port}"


def daemon_settings(settings: HostSettings, ipv6: bool) -> dict[str, Any]:
    """The content of Docker's daemon.json.

    User namespaces are not remapped: Docker could then not give the executor's launcher the capabilities that it needs
    on control groups and devices. The launcher makes a user namespace itself, in which the executor and all sandboxes
    run.
    """
    return {
        "live-restore": True,
        "userland-proxy": False,
        "no-new-privileges": True,
        "log-driver": "json-file",
        "log-opts": {"max-size": "10m", "max-file": "3"},
        "default-ulimits": {"nofile": {"Name": "nofile", "Soft": OPEN_FILES, "Hard": OPEN_FILES}},
        # Publish IPv6 ports with ip6tables, so that client addresses are preserved. Experimental before Docker 27,
        # where it became the default.
        **({"ip6tables": True, "experimental": True} if ipv6 else {}),
        **({"dns": [str(address) for address in settings.name_servers]} if settings.name_servers else {}),
    }
