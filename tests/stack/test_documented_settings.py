"""The commands of docs/OPERATIONS.md that name what is elsewhere: another host's folder, a chat, a new server, a site.
What they write is read as the program reads it.

The stack is `prod` of a copy of this repository, with the committed settings of a server. Nothing is deployed.
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.backups import Sftp
from infra.config import parse_settings
from infra.receivers import Telegram
from infra.settings import PlatformSettings
from tests.checkout import Checkout, commands
from tests.program import platform_config
from tools.stack import config
from tools.stack.config import PLATFORM

OPERATIONS = "docs/OPERATIONS.md"
HOST_KEY = f"ssh-ed25519 {'B' * 68}"
PLACEHOLDER = "ssh-ed25519 AAAA..."
TYPED = "123456:typed"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    return Checkout(tmp_path_factory.mktemp("settings") / "checkout", platform_config("prod"))


@pytest.fixture(autouse=True)
def as_committed(checkout: Checkout) -> Iterator[None]:
    yield
    checkout.run("git checkout --quiet Pulumi.prod.yaml")


def platform(checkout: Checkout) -> dict[str, Any]:
    found: dict[str, Any] = config.load(checkout.folder / "Pulumi.prod.yaml")["config"][PLATFORM]
    return found


def settings(checkout: Checkout) -> PlatformSettings:
    return parse_settings(platform(checkout), "prod")


def secret(checkout: Checkout, key: str) -> str:
    return checkout.run(f"pulumi config get --stack prod vps:{key}").removesuffix("\n")


def test_backups_go_to_a_folder_of_another_host(checkout: Checkout, tmp_path: Path) -> None:
    _, script, _ = commands(OPERATIONS, "Backup and restore", "sh")
    key = tmp_path / "key"
    key.write_text("a private key\nof two lines\n")
    assert "~/.ssh/backup_ed25519" in script
    assert PLACEHOLDER in script
    checkout.run(script.replace("~/.ssh/backup_ed25519", str(key)).replace(PLACEHOLDER, HOST_KEY))
    backup = settings(checkout).backup
    assert backup
    assert backup.sftp == Sftp(address="nas.example.com", user="vps", path="backups/prod", host_key=HOST_KEY)
    assert secret(checkout, "backupSftpKey") == "a private key\nof two lines"


def test_alerts_go_to_a_group_of_telegram(checkout: Checkout) -> None:
    setting, deploying, _ = commands(OPERATIONS, "Tell somebody of alerts")[0].partition("make up STACK=prod\n")
    assert deploying
    assert "\nmake secret " in setting
    checkout.run(setting.replace("\nmake secret ", f"\necho {TYPED} | make secret "))
    assert settings(checkout).services.alertmanager.telegram == Telegram(chat=-1001234567890)
    assert secret(checkout, "alertTelegramToken") == TYPED


def test_a_new_server_is_named_before_the_recovery(checkout: Checkout) -> None:
    (script,) = commands(OPERATIONS, "Recover on an empty server", "sh")
    assert PLACEHOLDER in script
    before = settings(checkout)
    checkout.run(script.replace(PLACEHOLDER, HOST_KEY))
    after = settings(checkout)
    assert before.host and after.host and before.dns and after.dns
    new = {"address": "203.0.113.20", "host_key": HOST_KEY}
    assert after.host.ssh == before.host.ssh.model_copy(update=new)
    assert (str(after.dns.ipv4), str(after.dns.ipv6)) == ("203.0.113.20", "2001:db8::20")


def test_a_site_gets_a_key_whose_entry_has_its_budgets_and_origins(checkout: Checkout) -> None:
    (making,) = commands(OPERATIONS, "Keys of sites")
    (documented,) = commands(OPERATIONS, "Keys of sites", "yaml")
    shown = re.search(r"shown only now: (\S+)", checkout.run(making))
    assert shown
    digest = f"sha256:{hashlib.sha256(shown[1].encode()).hexdigest()}"
    assert platform(checkout)["sandbox"]["keys"] == [{"name": "site", "secrets": [digest]}]
    written = yaml.safe_load(re.sub(r"sha256:[0-9a-f]{64}", digest, documented))
    (key,) = parse_settings(config.merge(platform(checkout), written), "prod").sandbox.keys
    assert (key.name, key.secrets) == ("site", (digest,))
    assert (key.origins, key.requests_per_minute) == (("https://site.example",), 120)
