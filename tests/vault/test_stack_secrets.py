"""A stack whose secrets a key in a vault encrypts, with the commands of docs/DEPLOYMENT.md and docs/OPERATIONS.md.

The vault is a real one, and the stack is `prod` of a copy of this repository, on this machine's Docker. The tests build
on each other, in order.
"""

import base64
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.checkout import Checkout, commands
from tests.vault.server import Vault, serving
from tools.console.steps import Report
from tools.machine.ports import free_port
from tools.machine.preparation import Preparation
from tools.stack import config, docker_objects
from tools.stack.config import ONLY_CORE

DEPLOYMENT, OPERATIONS = "docs/DEPLOYMENT.md", "docs/OPERATIONS.md"
ENGINE, TOKEN, STACK = commands(DEPLOYMENT, "A vault in place of the passphrase")
ROTATE, CHANGE_KEY, RETIRE = commands(OPERATIONS, "Rotate the key in the vault")
TO_VAULT, TO_PASSPHRASE = commands(OPERATIONS, "From a passphrase to a vault, and back")
# An operator would do this in an editor.
VARIABLES = "sed 's/^# VAULT_/VAULT_/; s|https://vault.example.com:8200|{url}|' .env.example > .env; mkdir -p state"
PREVIEW = "make preview STACK=prod"
CHANGED = (" to create", " to update", " to delete", " to replace")


@dataclass(frozen=True)
class Operated:
    """The stack, up. The api answers at `port`."""

    checkout: Checkout
    port: int

    def config(self) -> dict[str, Any]:
        return config.load(self.checkout.folder / "Pulumi.prod.yaml")

    def wrapped_key(self) -> str:
        """The key of the stack's secrets as the vault has encrypted it."""
        return base64.b64decode(self.config()["encryptedkey"]).decode()

    def secret(self, key: str) -> str:
        return self.checkout.run(f"pulumi config get --stack prod vps:{key}").strip()

    def files_with(self, text: str) -> list[str]:
        """The files of config and state that have a text."""
        folder = self.checkout.folder
        files = [folder / "Pulumi.prod.yaml", *(path for path in (folder / "state").rglob("*") if path.is_file())]
        assert len(files) > 1
        return [str(file) for file in files if text.encode() in file.read_bytes()]

    def refused(self, script: str) -> str:
        """What a script prints that has to fail, in words for the operator."""
        done = self.checkout.attempt(script)
        assert done.returncode != 0
        assert "Traceback" not in done.stdout + done.stderr
        return done.stdout

    def previews_no_change(self) -> bool:
        said = self.checkout.run(PREVIEW)
        return "unchanged" in said and not any(word in said for word in CHANGED)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("vault")


@pytest.fixture(scope="module")
def vault(folder: Path, report: Report) -> Iterator[Vault]:
    with serving(folder, report) as vault:
        vault.administer(f"{ENGINE}\n{TOKEN}")
        yield vault


@pytest.fixture(scope="module")
def stack(prepared: Preparation, vault: Vault, folder: Path) -> Iterator[Operated]:
    """A small stack, up."""
    prefix, port = f"test-{secrets.token_hex(4)}", free_port()
    platform = {
        "name": prefix,
        "edge": {"http_port": port, "api_hosts": ["localhost"]},
        "sandbox": {"environments": ["bash"], "start_seconds": 60},
        "services": ONLY_CORE,
    }
    machine = {**config.machine_values(prepared.engine, prepared.images), "unavailable": {}}
    set_up = f"{VARIABLES.format(url=vault.url)}\ncp {vault.folder}/vault-token .\n{STACK}"
    checkout = Checkout(folder / "checkout", config.merge(machine, platform), set_up)
    try:
        checkout.run("make up STACK=prod")
        yield Operated(checkout, port)
    finally:
        client = prepared.engine.client()
        docker_objects.remove_volumes(client, docker_objects.remove_all(client, prefix))


def test_neither_config_nor_state_has_a_secret_or_its_key_in_clear(stack: Operated, vault: Vault) -> None:
    password = stack.secret("dashboardPassword")
    wrapped = stack.wrapped_key()
    assert wrapped.startswith("vault:v1:")
    assert stack.config()["secretsprovider"] == "hashivault://vps-prod"
    assert config.SALT not in stack.config()
    key = vault.administer(f"bao write -field=plaintext transit/decrypt/vps-prod ciphertext={wrapped}").strip()
    assert len(base64.b64decode(key)) == 32
    assert stack.files_with("secretsprovider")
    assert [stack.files_with(text) for text in (password, key)] == [[], []]


def test_the_operators_token_is_good_for_this_stacks_key_alone(stack: Operated, vault: Vault) -> None:
    vault.administer("bao write -force transit/keys/other")
    operator = 'export VAULT_TOKEN="$(cat vault-token)"'
    data = "plaintext=eHg="
    for written in (
        f"transit/encrypt/other {data}",
        f"transit/encrypt/new {data}",
        "-force transit/keys/vps-prod/rotate",
    ):
        refused = vault.administer(f"{operator}; ! bao write {written} 2>&1")
        assert "permission denied" in refused, written


def test_each_tool_that_reads_or_writes_a_secret_works(stack: Operated) -> None:
    run = stack.checkout.run
    value = secrets.token_urlsafe(18)
    run(f"printf %s {value} | make secret KEY=grafanaPassword STACK=prod")
    assert stack.secret("grafanaPassword") == value
    run("make key NAME=site STACK=prod")
    said = run("make rotate SECRET=dashboardPassword STACK=prod")
    new = stack.secret("dashboardPassword")
    assert f"The new password is deployed: {new}\n" in said
    assert new in run("make outputs STACK=prod")
    assert [stack.files_with(text) for text in (value, new)] == [[], []]
    assert stack.previews_no_change()


@pytest.mark.parametrize(
    ("variables", "cause", "fix"),
    [
        ("unset VAULT_ADDR", "VAULT_ADDR is not set", "set -a; . ./.env"),
        ("unset VAULT_TOKEN", "The vault refuses the token", "bao token lookup"),
        ("export VAULT_TOKEN=guessed", "The vault refuses the token", "bao token lookup"),
    ],
)
def test_make_names_what_the_vault_misses(stack: Operated, variables: str, cause: str, fix: str) -> None:
    said = stack.refused(f"{variables}\n{PREVIEW}")
    assert cause in said
    assert fix in said


def test_while_the_vault_is_away_commands_say_so_and_the_platform_serves(stack: Operated, vault: Vault) -> None:
    vault.stop()
    assert "The vault does not answer" in stack.refused(PREVIEW)
    assert "The vault does not answer" in stack.refused("printf %s x | make secret KEY=grafanaPassword STACK=prod")
    assert httpx.get(f"http://localhost:{stack.port}/health", trust_env=False).is_success
    vault.start()
    assert "The vault is sealed" in stack.refused(PREVIEW)
    vault.unseal()
    assert stack.previews_no_change()


def test_a_rotated_key_leaves_older_copies_unreadable(stack: Operated, vault: Vault) -> None:
    before, password = stack.config(), stack.secret("dashboardPassword")
    vault.administer(ROTATE)
    stack.checkout.run(f"cp Pulumi.prod.yaml older.yaml\n{CHANGE_KEY}")
    assert stack.wrapped_key().startswith("vault:v2:")
    assert stack.secret("dashboardPassword") == password
    encrypted = "vps:dashboardPassword"
    assert stack.config()["config"][encrypted] != before["config"][encrypted]
    older = f"pulumi config get --stack prod --config-file older.yaml {encrypted}"
    assert password in stack.checkout.run(older)
    vault.administer(RETIRE)
    assert password not in stack.refused(older)
    assert stack.previews_no_change()


def test_a_stack_changes_to_a_passphrase_and_back(stack: Operated, vault: Vault) -> None:
    password = stack.secret("dashboardPassword")
    stack.checkout.run(TO_PASSPHRASE)
    assert not {"secretsprovider", "encryptedkey"} & stack.config().keys()
    vault.stop()
    assert stack.secret("dashboardPassword") == password
    assert stack.previews_no_change()
    vault.start()
    vault.unseal()
    stack.checkout.run(TO_VAULT)
    assert stack.wrapped_key().startswith("vault:v2:")
    assert config.SALT not in stack.config()
    assert stack.secret("dashboardPassword") == password
    assert stack.previews_no_change()
    stack.checkout.run("make down STACK=prod CONFIRM=prod")
