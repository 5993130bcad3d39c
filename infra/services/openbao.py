"""Secrets that reach their services without an `up`: OpenBao, its keeper, and an agent beside each service.

OpenBao listens on a Unix socket, in a volume that the keeper and the agents share; it is on no network.
"""

import hashlib
import json
from base64 import b64encode
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pulumi

from app.backup.settings import Copying
from app.keeper.settings import EXPIRES, ROLE_ID, SECRET_ID, KeeperSettings, Secrets
from infra.service import SECRETS, Config, Context, Health, Mount, Secret, Service, ServiceArgs, Target, Volume
from infra.settings import PlatformSettings

RUN = "/run/openbao"
SOCKET = f"{RUN}/openbao.sock"
DATA = "/openbao/data"
LOGIN = "/login"
SEAL_KEY = "seal-key"
_CONFIG = "/etc/openbao"
_USER = "65532:65532"
_SECONDS_TO_START = 120
"""Until an agent has the first files: OpenBao is initialised meanwhile."""
SECONDS_TO_NOTICE = 5
"""How often an agent asks for its secrets."""
_AGAIN = Path(__file__).with_name("again.sh").read_text()


def server_config() -> dict[str, Any]:
    """OpenBao's configuration. Raft needs an address to listen on, even alone: it is the container's own."""
    return {
        "listener": [
            {"unix": {"address": SOCKET, "socket_mode": "0666"}},
            {"tcp": {"address": "127.0.0.1:8200", "tls_disable": True}},
        ],
        "storage": {"raft": {"path": DATA, "node_id": "only"}},
        "seal": {"static": {"current_key_id": "stack", "current_key": f"file://{SECRETS}/{SEAL_KEY}"}},
        "api_addr": "http://127.0.0.1:8200",
        "cluster_addr": "https://127.0.0.1:8201",
        "disable_mlock": True,
    }


def agent_config(service: str, names: Collection[str]) -> dict[str, Any]:
    """The configuration of a service's agent, which writes a file for each of its secrets, and when its token ends.

    It reads its login once, and then renews its token. While OpenBao is away it goes on trying, and the files stay.
    """
    login = {
        "role_id_file_path": f"{LOGIN}/{ROLE_ID}",
        "secret_id_file_path": f"{LOGIN}/{SECRET_ID}",
        "secret_id_response_wrapping_path": f"auth/approle/role/{service}/secret-id",
    }
    return {
        "vault": {"address": f"unix://{SOCKET}", "retry": {"num_retries": -1}},
        "auto_auth": {"method": [{"type": "approle", "max_backoff": "30s", "config": login}]},
        "template_config": {"static_secret_render_interval": f"{SECONDS_TO_NOTICE}s"},
        "template": [
            _template(f"{LOGIN}/{EXPIRES}", "auth/token/lookup-self", ".Data.expire_time"),
            *(
                _template(f"{SECRETS}/{name}", f"secret/data/{service}", f"index .Data.data {json.dumps(name)}")
                for name in sorted(names)
            ),
        ],
    }


def _template(file: str, path: str, value: str) -> dict[str, str]:
    return {
        "contents": f'{{{{ with secret "{path}" }}}}{{{{ {value} }}}}{{{{ end }}}}',
        "destination": file,
        "perms": "0444",
    }


def seal_key(secret: str) -> str:
    """A key of 32 bytes, as OpenBao wants it, from a secret of any length."""
    return b64encode(hashlib.sha256(f"seal:{secret}".encode()).digest()).decode()


_SEAL_KEY = {SEAL_KEY: Secret("openbao_seal_key", seal_key)}
_RUN_VOLUME = Volume("openbao-run", data=False)
# Raft writes its two files in place.
_DATA_VOLUME = Volume("openbao-data", copying=Copying(steady=("**/*",)))


def describe(context: Context) -> ServiceArgs:
    """OpenBao opens its seal itself when it starts, with the key."""
    return ServiceArgs(
        image="openbao",
        entrypoint=["bao"],
        command=["server", f"-config={_CONFIG}/server.json"],
        health=Health(["bao", "status", f"-address=unix://{SOCKET}"]),
        memory_mb=256,
        cpus=0.5,
        user=_USER,
        config=Config(_CONFIG, {"server.json": json.dumps(server_config(), indent=1)}),
        mounts=[Mount(_RUN_VOLUME, RUN, in_image=False), Mount(_DATA_VOLUME, DATA, in_image=False)],
        tmp_mb=16,
    )


def describe_keeper(context: Context) -> ServiceArgs:
    """The keeper has the secrets of all services, and alone may write to OpenBao."""
    services = {it.name: context.files(it) for it in context.services if held(it, context.settings)}
    own = KeeperSettings()
    folder = f"{_CONFIG}-services"
    return ServiceArgs(
        image="app",
        entrypoint=["python", "-m", "app.keeper"],
        health=Health(["test", "-e", str(own.ready)]),
        memory_mb=96,
        cpus=0.25,
        user=_USER,
        networks=["monitoring"] if context.settings.runs("prometheus") else [],
        environment=own.model_copy(update={"services": f"{folder}/services.json"}).variables(),
        config=Config(folder, {"services.json": pulumi.Output.json_dumps(services)}),
        mounts=[
            Mount(_RUN_VOLUME, RUN, read_only=True),
            *(Mount(_login(name), f"{own.logins}/{name}", in_image=False) for name in services),
        ],
        tmp_mb=1,
    )


OPENBAO = Service("openbao", describe, lambda _: _SEAL_KEY)
KEEPER = Service("keeper", describe_keeper, lambda _: _SEAL_KEY, target=Target(f"keeper:{KeeperSettings().port}"))


def held(service: Service, settings: PlatformSettings) -> Mapping[str, Secret]:
    """The files of a service whose texts OpenBao holds."""
    own = service in (OPENBAO, KEEPER) or not settings.runs(OPENBAO.name)
    return {} if own else service.secrets(settings)


def change(texts: Secrets) -> tuple[list[str], dict[str, str]]:
    """The command with which the keeper gives services other secrets, and its environment."""
    return ["python", "-m", "app.keeper", "change"], {KeeperSettings.variable("changed"): json.dumps(texts)}


def with_agent(service: str, args: ServiceArgs, secrets: Mapping[str, Secret]) -> tuple[ServiceArgs, ServiceArgs]:
    """The agent of a service, which writes the files of its secrets, and the service, which only reads them."""
    files = Volume(f"{service}-files", data=False)
    there = " && ".join(f"test -s {SECRETS}/{name}" for name in sorted(secrets))
    agent = ServiceArgs(
        image="openbao",
        entrypoint=["bao"],
        command=["agent", f"-config={_CONFIG}/agent.json"],
        health=Health(["sh", "-c", there]),
        memory_mb=96,
        cpus=0.25,
        user=_USER,
        config=Config(_CONFIG, {"agent.json": json.dumps(agent_config(service, secrets), indent=1)}),
        mounts=[
            Mount(_RUN_VOLUME, RUN, read_only=True),
            Mount(_login(service), LOGIN),
            Mount(files, SECRETS, in_image=False),
        ],
        tmp_mb=1,
        start_seconds=_SECONDS_TO_START,
    )
    again = " ".join(f"{SECRETS}/{name}" for name, it in sorted(secrets.items()) if it.at_start)
    entrypoint = ["sh", "-c", _AGAIN, again, *args.entrypoint] if again else args.entrypoint
    mounts = [*args.mounts, Mount(files, SECRETS, read_only=True)]
    return agent, replace(args, entrypoint=entrypoint, secrets={}, mounts=mounts)


def _login(service: str) -> Volume:
    """Where the keeper puts what the agent of a service logs in with."""
    return Volume(f"{service}-login", data=False)
