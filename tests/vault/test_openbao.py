"""`services.openbao` on a running stack, with the commands of docs/OPERATIONS.md.

The stack is `prod` of a copy of this repository, on this machine's Docker. Its image `openbao` is made of Vault, since
OpenBao's comes from a registry only: tests/vault/bao says what differs. The tests build on each other, in order.
"""

import json
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from docker.models.containers import Container

from infra.services import openbao
from offline.programs import VAULT
from tests.checkout import Checkout, commands
from tests.stack import s3
from tests.stacks import containers
from tests.waiting import until
from tools.build.images import compiled
from tools.console.steps import Report
from tools.machine import docker_bridge
from tools.machine.docker_engine import DockerEngine
from tools.machine.ports import free_port
from tools.machine.preparation import Preparation
from tools.stack import config, docker_objects, health
from tools.stack.config import ONLY_CORE

SWITCH_ON, MAKE_SECRET, MAKE_KEY, ROTATE = commands("docs/OPERATIONS.md", "Secrets by OpenBao")
(OTHER_SEAL,) = commands("docs/OPERATIONS.md", "Secrets by OpenBao", "sh")
FIRST, SECOND, THIRD, FOURTH, FIFTH = (f"https://example.com/hook/{number}" for number in range(1, 6))
FILE = "/run/secrets/alert_webhook_url"
PREVIEW, UP = "make preview STACK=prod", "make up STACK=prod"
VERSIONS = """
from app.keeper.keeper import Keeper
from app.keeper.settings import KeeperSettings
import json, os
keeper = Keeper(KeeperSettings.read(os.environ))
keeper.log_in()
print(json.dumps({it: keeper._vault.get(f"secret/metadata/{it}")["data"]["versions"] for it in keeper.services}))
"""

OPENS = """
import os, pathlib, shutil, sys, tempfile
from app.backup.restic import Restic
from app.backup.settings import BackupSettings
settings, folder = BackupSettings.read(os.environ), pathlib.Path(tempfile.mkdtemp())
copy = folder / "secrets"
shutil.copytree(settings.secrets, copy)
(copy / "backup_password").write_text(sys.argv[1])
print(Restic(settings.model_copy(update={"secrets": copy}), folder).attempt("cat", "config").returncode)
"""
WRONG_PASSWORD = 12
"""What restic ends with."""
BACKUP_PASSWORD = "secret"


@dataclass(frozen=True)
class Vaulted:
    """The stack, up."""

    checkout: Checkout
    engine: DockerEngine
    prefix: str
    port: int
    report: Report

    def containers(self) -> dict[str, Container]:
        return containers(self.engine, self.prefix)

    def starts(self) -> dict[str, tuple[str | None, str]]:
        """The id of each service's container, and when it was started."""
        return {name: (it.id, it.attrs["State"]["StartedAt"]) for name, it in self.containers().items()}

    def output(self, service: str, *command: str) -> str:
        done = self.containers()[service].exec_run(list(command))
        assert isinstance(done.output, bytes)
        return done.output.decode() if done.exit_code == 0 else ""

    def set_hook(self, url: str) -> str:
        return self.checkout.run(f"printf %s {url} | {MAKE_SECRET}")

    def wait_for_hook(self, url: str) -> None:
        """Wait until Alertmanager has this secret. After OpenBao was away, its agent takes a while to ask again."""
        until(lambda: self.output("alertmanager", "cat", FILE) == url, 180, "the secret in Alertmanager")

    def wait(self) -> None:
        health.wait(self.engine, self.prefix, f"http://localhost:{self.port}", self.report)

    def versions(self) -> dict[str, dict[str, Any]]:
        """The versions of each service's secrets that OpenBao has."""
        found: dict[str, dict[str, Any]] = json.loads(self.output("keeper", "python", "-c", VERSIONS))
        return found

    def is_unsealed(self) -> bool:
        return self.output("openbao", "bao", "status", f"-address=unix://{openbao.SOCKET}") != ""

    def opens_backups(self, password: str) -> int:
        """With which code restic ends that opens the repository with this password."""
        return int(self.output("backup", "python", "-c", OPENS, password))

    def execute(self, key: str | None = None) -> int:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        body = {"environment": "bash", "code": "true"}
        url = f"http://localhost:{self.port}/execute"
        return httpx.post(url, headers=headers, json=body, timeout=30, trust_env=False).status_code

    def dashboard(self, password: str) -> int:
        """How Traefik answers who asks for its dashboard with this password; 0 while it starts."""
        with httpx.Client(trust_env=False, headers={"host": "traefik.localhost"}) as client:
            try:
                return client.get(f"http://127.0.0.1:{self.port}/api/version", auth=("admin", password)).status_code
            except httpx.TransportError:
                return 0

    def password(self) -> str:
        return self.checkout.run("pulumi config get --stack prod vps:dashboardPassword").strip()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("openbao")


@pytest.fixture(scope="module")
def image(prepared: Preparation, report: Report, folder: Path) -> Iterator[str]:
    """An image with Vault's program, under the name of OpenBao's."""
    context = folder / "image"
    context.mkdir()
    shutil.copy(compiled().ensure(VAULT, report.log, report.say) / "vault", context)
    shutil.copy(Path(__file__).with_name("bao"), context)
    base = prepared.images.references["app"]
    (context / "Dockerfile").write_text(f"FROM {base}\nCOPY vault bao /usr/local/bin/\n")
    client = prepared.engine.client()
    tag = f"test-{secrets.token_hex(4)}/openbao:1"
    client.images.build(path=str(context), tag=tag, rm=True)
    yield tag
    client.images.remove(tag, force=True)


@pytest.fixture(scope="module")
def stack(prepared: Preparation, image: str, folder: Path, report: Report) -> Iterator[Vaulted]:
    """A small stack with a receiver of alerts and backups elsewhere, whose secrets OpenBao brings."""
    prefix, port, client = f"test-{secrets.token_hex(4)}", free_port(), prepared.engine.client()
    with s3.serving(docker_bridge.address(client), report) as bucket:
        platform = {
            "name": prefix,
            "images": {"openbao": image},
            "edge": {"http_port": port, "api_hosts": ["localhost"]},
            "sandbox": {"environments": ["bash"], "start_seconds": 60},
            "services": {**ONLY_CORE, "alertmanager": {"enabled": True, "webhook": True}},
            "backup": {"s3": {"url": bucket.url}},
        }
        machine = {**config.machine_values(prepared.engine, prepared.images), "unavailable": {}}
        checkout = Checkout(folder / "checkout", config.merge(machine, platform))
        made = Vaulted(checkout, prepared.engine, prefix, port, report)
        try:
            for key in ("backupPassword", "backupS3Id", "backupS3Key"):
                checkout.run(f"echo {BACKUP_PASSWORD} | make secret KEY={key} STACK=prod")
            assert "make up STACK=prod" in made.set_hook(FIRST)
            checkout.run(SWITCH_ON)
            yield made
        finally:
            docker_objects.remove_volumes(client, docker_objects.remove_all(client, prefix))


def test_each_service_has_its_own_secrets_and_can_only_read_them(stack: Vaulted) -> None:
    files = {
        "alertmanager": ["alert_webhook_url"],
        "api": ["keys.json"],
        "backup": ["backup_password", "backup_s3_id", "backup_s3_key"],
        "traefik": ["users"],
    }
    for service, names in files.items():
        assert stack.output(service, "ls", "/run/secrets").split() == names
        mounts = {mount["Destination"]: mount for mount in stack.containers()[service].attrs["Mounts"]}
        assert mounts["/run/secrets"]["RW"] is False
        assert f"{service}-agent" in stack.containers()
    assert stack.output("alertmanager", "cat", FILE) == FIRST
    assert stack.dashboard(stack.password()) == httpx.codes.OK


def test_a_changed_secret_reaches_its_service_without_an_up_or_a_restart(stack: Vaulted) -> None:
    before = stack.starts()
    assert "OpenBao has it, and within 5 s so has alertmanager." in stack.set_hook(SECOND)
    stack.wait_for_hook(SECOND)
    assert stack.starts() == before


def test_a_new_key_of_a_site_is_valid_without_an_up_or_a_restart(stack: Vaulted) -> None:
    before = stack.starts()
    assert stack.execute("vps_guessed") == httpx.codes.UNAUTHORIZED
    said = stack.checkout.run(MAKE_KEY)
    (key,) = [line.rpartition(" ")[2] for line in said.splitlines() if "shown only now" in line]
    until(lambda: stack.execute(key) == httpx.codes.OK, 60, "the key")
    assert stack.starts() == before


def test_a_changed_password_of_backups_reaches_their_repository(stack: Vaulted) -> None:
    before, new = stack.starts(), secrets.token_urlsafe(18)
    assert stack.opens_backups(BACKUP_PASSWORD) == 0
    said = stack.checkout.run(f"printf %s {new} | make secret KEY=backupPassword STACK=prod")
    assert "so has backup." in said
    until(lambda: stack.output("backup", "cat", "/run/secrets/backup_password") == new, 60, "the password")
    stack.checkout.run("make backup STACK=prod")
    assert stack.opens_backups(BACKUP_PASSWORD) == WRONG_PASSWORD
    assert stack.opens_backups(new) == 0
    assert stack.starts() == before


def test_a_rotated_password_replaces_no_service(stack: Vaulted) -> None:
    before, old = stack.starts(), stack.password()
    stack.checkout.run(ROTATE)
    until(lambda: stack.dashboard(stack.password()) == httpx.codes.OK, 60, "the new password")
    assert stack.dashboard(old) == httpx.codes.UNAUTHORIZED
    after = stack.starts()
    assert {service for service in before if before[service] != after[service]} == {"keeper"}


def test_without_the_vault_previews_and_services_work_and_it_unseals_itself(stack: Vaulted) -> None:
    stack.containers()["openbao"].stop()
    said = stack.checkout.run(PREVIEW)
    assert "unchanged" in said
    assert "to replace" not in said
    for service in ("alertmanager", "traefik", "api"):
        stack.containers()[service].restart()
    until(lambda: stack.dashboard(stack.password()) == httpx.codes.OK, 60, "Traefik")
    until(lambda: stack.execute() == httpx.codes.OK, 60, "an execution")
    assert stack.output("alertmanager", "cat", FILE) == SECOND
    refused = stack.checkout.attempt(f"printf %s {THIRD} | {MAKE_SECRET}")
    assert refused.returncode != 0
    assert "The stack's config has it, and OpenBao has not" in refused.stdout
    begin = time.monotonic()
    stack.engine.client().containers.get(f"{stack.prefix}-openbao").start()
    until(stack.is_unsealed, 60, "an unsealed vault")
    assert time.monotonic() - begin < 10
    stack.checkout.run(UP)
    stack.wait_for_hook(THIRD)


def test_restore_and_recover_bring_the_vault_back_unsealed_with_what_it_had(stack: Vaulted) -> None:
    stack.set_hook(FOURTH)
    stack.wait_for_hook(FOURTH)
    before = stack.versions()
    assert len(before["alertmanager"]) > 3
    _, make_backup, make_restore = commands("docs/OPERATIONS.md", "Backup and restore")
    stack.checkout.run(make_backup)
    stack.set_hook(FIFTH)
    stack.wait_for_hook(FIFTH)
    stack.checkout.run(make_restore)
    stack.wait_for_hook(FOURTH)
    assert stack.versions() == before
    client = stack.engine.client()
    docker_objects.remove_volumes(client, docker_objects.remove_all(client, stack.prefix))
    (recover,) = commands("docs/OPERATIONS.md", "Recover on an empty server")
    stack.checkout.run(recover)
    stack.wait()
    # `up`, which is a part of it, puts in force what the config has since the backup.
    stack.wait_for_hook(FIFTH)
    after = stack.versions()
    assert {it: after[it].items() >= before[it].items() for it in before} == dict.fromkeys(before, True)


def test_another_key_of_the_seal_begins_with_empty_data_which_the_config_fills(stack: Vaulted) -> None:
    here = OTHER_SEAL.replace("ssh root@vps.example.com ", "eval ").replace("vps-prod", stack.prefix)
    assert here.count("\neval ") == 3
    stack.checkout.run(here)
    stack.wait()
    assert {len(versions) for versions in stack.versions().values()} == {1}
    stack.set_hook(SECOND)
    stack.wait_for_hook(SECOND)
