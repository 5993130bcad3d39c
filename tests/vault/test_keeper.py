"""The vault that holds the services' secrets: the keeper and an agent on a real server, as the stack configures them.

The server is Vault. Of OpenBao's configuration, it takes all but the seal: a static key is called `aead` there, and is
chosen by a variable.
"""

import base64
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.keeper.keeper import Keeper
from app.keeper.settings import KeeperSettings
from app.keeper.vault import Vault, VaultFailed
from infra.service import SECRETS
from infra.services import openbao
from offline.programs import VAULT
from tests.waiting import until
from tools.build.images import compiled
from tools.console.steps import Report
from tools.machine.ports import free_port
from tools.paths import ROOT

OURS = {"alertmanager": {"alert_webhook_url": "https://first.example.com"}, "backup": {"backup_password": "of backups"}}
SERVICE, NAME = "alertmanager", "alert_webhook_url"
PERIOD_SECONDS = 30
EXPIRES = f'keeper_agent_token_expires_time_seconds{{service="{SERVICE}"}}'
OPENED = f'keeper_logins_opened_total{{service="{SERVICE}"}}'
LOGIN = "authentication successful"
"""What the agent logs when it has logged in."""


class Machine:
    """The three programs as processes, in folders in place of volumes."""

    def __init__(self, folder: Path, report: Report) -> None:
        self.folder = folder
        self.places = {
            openbao.RUN: folder / "run",
            openbao.DATA: folder / "data",
            openbao.LOGIN: folder / "logins" / SERVICE,
            SECRETS: folder / "out",
        }
        for place in (*self.places.values(), folder / "secrets", folder / "logins" / "backup"):
            place.mkdir(parents=True)
        self.program = str(compiled().ensure(VAULT, report.log, report.say) / "vault")
        self.key = base64.b64encode(secrets.token_bytes(32)).decode()
        (folder / "secrets" / openbao.SEAL_KEY).write_text(self.key)
        (folder / "secrets" / "services.json").write_text(json.dumps(OURS))
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self._ports = free_port(), free_port()
        self.settings = KeeperSettings(
            port=free_port(),
            period_seconds=PERIOD_SECONDS,
            socket=self.places[openbao.RUN] / "openbao.sock",
            secrets=folder / "secrets",
            services=folder / "secrets" / "services.json",
            logins=folder / "logins",
            ready=folder / "ready",
        )

    @property
    def file(self) -> Path:
        """What the service reads."""
        return self.places[SECRETS] / NAME

    def start_server(self) -> None:
        config = self._here(openbao.server_config())
        config["seal"] = {"transit": {"aead_type": "aes-gcm", "key": self.key, "key_id": "stack"}}
        self._start("server", [self.program, "server", self._written("server", config)], VAULT_SEAL_TYPE="aead")

    def start_agent(self) -> None:
        config = self._here(openbao.agent_config(SERVICE, [NAME]))
        self._start("agent", [self.program, "agent", self._written("agent", config)])

    def start_keeper(self) -> None:
        self._start("keeper", [sys.executable, "-m", "app.keeper"], **self.settings.variables())

    def change(self, value: str, name: str = NAME) -> str:
        """The services that had another secret."""
        (_, *argv), changed = openbao.change({SERVICE: {name: value}})
        environment = {**os.environ, **self.settings.variables(), **changed}
        done = subprocess.run([sys.executable, *argv], cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE)
        return done.stdout.decode().strip()

    def figure(self, name: str) -> float:
        """A figure of the keeper."""
        text = httpx.get(f"http://127.0.0.1:{self.settings.port}", trust_env=False).text
        (value,) = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(name)]
        return float(value)

    def stop(self, name: str) -> None:
        process = self.running.pop(name)
        process.terminate()
        process.wait()

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def anew(self, token: str = "") -> Vault:
        vault = Vault(self.settings.socket)
        vault.token = token
        return vault

    def _start(self, name: str, argv: list[str], **variables: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            own = {**os.environ, **variables}
            self.running[name] = subprocess.Popen(argv, cwd=ROOT, env=own, stdout=log, stderr=log)

    def _written(self, name: str, config: Mapping[str, Any]) -> str:
        file = self.folder / f"{name}.json"
        file.write_text(json.dumps(config))
        return f"-config={file}"

    def _here(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration with this test's folders and ports."""
        text = json.dumps(config)
        for place, folder in self.places.items():
            text = text.replace(place, str(folder))
        for port, free in zip((8200, 8201), self._ports, strict=True):
            text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{free}")
        text = text.replace('"tls_disable"', f'"cluster_address": "127.0.0.1:{self._ports[1]}", "tls_disable"')
        return dict(json.loads(text))


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, report: Report) -> Iterator[Machine]:
    made = Machine(tmp_path_factory.mktemp("keeper"), report)
    try:
        made.start_agent()
        made.start_keeper()
        made.start_server()
        until(made.file.exists, 60, "the service's secret")
        yield made
    finally:
        for name in list(made.running):
            made.stop(name)


def login(machine: Machine) -> tuple[str, str]:
    """The agent's role ID, and the token that gives its secret ID once."""
    folder = machine.places[openbao.LOGIN]
    until((folder / "secret-id").exists, 30, "the next login")
    return (folder / "role-id").read_text(), (folder / "secret-id").read_text()


def as_agent(machine: Machine) -> Vault:
    """A client with the rights of the agent."""
    role_id, wrapped = login(machine)
    secret_id = machine.anew(wrapped).put("sys/wrapping/unwrap")["data"]["secret_id"]
    answer = machine.anew().put("auth/approle/login", role_id=role_id, secret_id=secret_id)
    (machine.places[openbao.LOGIN] / "secret-id").unlink()  # as the agent does
    assert answer["auth"]["renewable"]
    with pytest.raises(VaultFailed):
        machine.anew().put("auth/approle/login", role_id=role_id, secret_id=secret_id)
    return machine.anew(answer["auth"]["client_token"])


def test_an_empty_vault_is_made_ready_and_its_root_token_is_revoked(machine: Machine) -> None:
    assert machine.file.read_text() == OURS[SERVICE][NAME]
    assert machine.log("keeper").count("its root token revoked") == 1
    until(machine.settings.ready.exists, 30, "the keeper")
    assert "hvs." not in machine.log("keeper") + machine.log("server")
    keeper = Keeper(machine.settings)
    keeper.log_in()
    with pytest.raises(VaultFailed, match="permission denied"):
        machine.anew(keeper._vault.token).get("sys/mounts")


def test_each_login_is_wrapped_and_good_once_for_the_services_own_secrets(machine: Machine) -> None:
    agent, keeper = as_agent(machine), Keeper(machine.settings)
    keeper.log_in()
    found = agent.get(f"secret/data/{SERVICE}")
    assert found
    assert found["data"]["data"] == OURS[SERVICE]
    for method, path in (
        (agent.get, "secret/data/backup"),
        (agent.put, f"secret/data/{SERVICE}"),
        (agent.get, "cubbyhole/x"),
        (keeper._vault.put, "auth/approle/role/keeper"),
        (keeper._vault.put, "auth/approle/role/keeper/secret-id"),
        (keeper._vault.put, f"auth/approle/role/{SERVICE}/secret-id"),
        (keeper._vault.put, "sys/policies/acl/agent"),
    ):
        with pytest.raises(VaultFailed, match="permission denied"):
            method(path)
    with pytest.raises(VaultFailed, match="permission denied"):
        keeper._vault.put("auth/approle/role/other", token_policies=["root"])


def test_an_agents_token_outlives_its_period_by_renewals(machine: Machine) -> None:
    begin = time.time()
    until(lambda: machine.figure(EXPIRES) > begin + 2 * PERIOD_SECONDS, 4 * PERIOD_SECONDS, "a second renewal")
    assert machine.log("agent").count(LOGIN) == 1
    assert machine.figure("keeper_openbao_answers") == 1


def test_a_login_that_somebody_else_has_opened_is_noticed_and_replaced(machine: Machine) -> None:
    _, wrapped = login(machine)
    assert machine.figure(OPENED) == 0
    machine.anew(wrapped).put("sys/wrapping/unwrap")
    until(lambda: machine.figure(OPENED) == 1, 30, "the keeper's notice")
    assert "Somebody has unwrapped the login of the agent of alertmanager" in machine.log("keeper")
    until(lambda: login(machine)[1] != wrapped, 30, "another login")


def test_a_changed_secret_reaches_the_services_file(machine: Machine) -> None:
    assert machine.change("https://second.example.com") == SERVICE
    assert machine.change("https://second.example.com") == ""
    assert machine.change("", "alert_slack_url") == ""
    until(lambda: machine.file.read_text() == "https://second.example.com", 60, "the changed secret")
    machine.stop("keeper")
    machine.start_keeper()
    until(machine.settings.ready.exists, 30, "the keeper")
    keeper = Keeper(machine.settings)
    keeper.log_in()
    keeper.put_secrets()
    found = keeper._vault.get(f"secret/data/{SERVICE}")
    assert found
    assert found["data"]["data"][NAME] == "https://second.example.com"


def test_a_restart_unseals_by_itself_and_the_services_file_stays(machine: Machine) -> None:
    machine.stop("server")
    until(lambda: not machine.settings.ready.exists(), 30, "the keeper's notice")
    assert machine.file.read_text() == "https://second.example.com"
    until(lambda: machine.figure("keeper_openbao_answers") == 0, 30, "the figure")
    begin = time.monotonic()
    machine.start_server()
    until(lambda: _is_unsealed(machine), 60, "an unsealed vault")
    assert time.monotonic() - begin < 10
    until(machine.settings.ready.exists, 30, "the keeper")
    machine.change("https://third.example.com")
    until(lambda: machine.file.read_text() == "https://third.example.com", 60, "the agent")
    machine.stop("agent")
    machine.file.unlink()
    machine.start_agent()
    until(machine.file.exists, 60, "an agent that logs in anew")
    assert machine.figure(OPENED) == 0


def _is_unsealed(machine: Machine) -> bool:
    try:
        return machine.anew().get("sys/health") is not None
    except VaultFailed:
        return False
