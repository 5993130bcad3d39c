"""Makes the vault ready, puts the services' secrets into it, and lets each service's agent log in."""

import hashlib
import hmac
import json
import logging
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from app.keeper.metrics import Metrics
from app.keeper.settings import EXPIRES, ROLE_ID, SECRET_ID, KeeperSettings, Secrets
from app.keeper.vault import Vault, VaultFailed, VaultRefused

_LOG = logging.getLogger("keeper")
ROLE = "keeper"
_MOUNT = "secret"
_AGENT = "agent"
"""The policy of all agents."""
_OWN_TOKEN_SECONDS = 3600
_WRAPPED_SECONDS = 600
_RENEWED_SECONDS = 300
_ATTEMPTS = 300
# An agent reads the secrets of the service that its role is named after. {} is the accessor of the logins.
_AGENT_POLICY = """
path "secret/data/{{{{identity.entity.aliases.{}.metadata.role_name}}}}" {{ capabilities = ["read"] }}
path "auth/token/lookup-self" {{ capabilities = ["read"] }}
path "auth/token/renew-self" {{ capabilities = ["update"] }}
"""
# A role that the keeper makes has the agents' policy, so the keeper can't give itself another one.
_KEEPER_POLICY = """
path "secret/data/+" { capabilities = ["create", "read", "update"] }
path "secret/metadata/+" { capabilities = ["create", "read", "update"] }
path "auth/approle/role/+" {
  capabilities = ["create", "read", "update"]
  allowed_parameters = {
    "token_policies" = ["agent"], "token_no_default_policy" = [true],
    "token_period" = [], "secret_id_num_uses" = [], "secret_id_ttl" = []
  }
}
path "auth/approle/role/keeper" { capabilities = ["deny"] }
path "auth/approle/role/+/role-id" { capabilities = ["read"] }
path "auth/approle/role/+/secret-id" { capabilities = ["update"], min_wrapping_ttl = "1s", max_wrapping_ttl = "1h" }
path "auth/approle/role/keeper/secret-id" { capabilities = ["deny"] }
"""


class Keeper:
    """The one that may write to the vault. What it needs to log in follows from the key of the seal."""

    def __init__(self, settings: KeeperSettings) -> None:
        self._settings = settings
        self._vault = Vault(settings.socket)
        key = (settings.secrets / "seal-key").read_text().strip()
        self._secret_id = hmac.new(key.encode(), ROLE.encode(), hashlib.sha256).hexdigest()
        self._logged_in = 0.0
        self._doubted: dict[str, str] = {}
        self.services: Secrets = json.loads(settings.services.read_text())
        self.metrics = Metrics(self.services)

    def turn(self) -> None:
        """Do what there is to do, which the next call mostly finds done.

        Raises:
            VaultFailed: the vault does not answer, or refuses.
        """
        if not self._vault.token:
            self.initialise()
        anew = self.log_in()
        if anew:
            self.put_secrets()
        for service in self.services:
            self.admit(service, anew=anew)

    def forget_token(self) -> None:
        """Log in anew at the next turn."""
        self._vault.token = ""

    def initialise(self) -> None:
        """Make the vault ready, if nobody has. Its root token is valid until this returns."""
        state = self._vault.get("sys/init")
        if state and state["initialized"]:
            return
        self._vault.token = self._vault.put("sys/init", recovery_shares=1, recovery_threshold=1)["root_token"]
        try:
            self._set_up()
        finally:
            self._vault.put("auth/token/revoke-self")
            self._vault.token = ""
        _LOG.info("The vault is initialised, and its root token revoked.")

    def put_secrets(self) -> None:
        """Put the secrets of the stack's config into the vault, unless they are the ones that were put there last:
        those that were changed in the vault since then stay."""
        options: dict[str, Any] = {
            "token_policies": [_AGENT],
            "token_no_default_policy": True,
            "secret_id_num_uses": 1,
            "secret_id_ttl": _WRAPPED_SECONDS,
            "token_period": self._settings.period_seconds,
        }
        for service, secrets in self.services.items():
            digest = hashlib.sha256(json.dumps(secrets, sort_keys=True).encode()).hexdigest()
            known = self._vault.get(f"{_MOUNT}/metadata/{service}")
            if not known or (known["data"].get("custom_metadata") or {}).get("config") != digest:
                self._vault.put(f"{_MOUNT}/data/{service}", data=dict(secrets))
                self._vault.put(f"{_MOUNT}/metadata/{service}", custom_metadata={"config": digest})
            self._vault.put(f"auth/approle/role/{service}", **options)

    def change(self, secrets: Secrets) -> list[str]:
        """Give services other secrets than they have. Returns these services; a secret that one has not is left out."""
        changed = []
        for service, texts in secrets.items():
            found = (self._vault.get(f"{_MOUNT}/data/{service}") or {}).get("data") or {"data": {}}
            other = {name: text for name, text in texts.items() if found["data"].get(name, text) != text}
            if other:
                options = {"cas": found["metadata"]["version"]}
                self._vault.put(f"{_MOUNT}/data/{service}", data={**found["data"], **other}, options=options)
                changed.append(service)
        return changed

    def log_in(self) -> bool:
        """Log in, again when half of the token's time is over. Returns whether that was due."""
        if self._vault.token and time.monotonic() - self._logged_in < _OWN_TOKEN_SECONDS / 2:
            return False
        self._vault.token = ""
        answer = self._vault.put("auth/approle/login", role_id=ROLE, secret_id=self._secret_id)
        self._vault.token, self._logged_in = answer["auth"]["client_token"], time.monotonic()
        return True

    def admit(self, service: str, *, anew: bool) -> None:
        """Have what the agent of a service logs in with in its folder: it can be used once, and not for long.

        With `anew` the vault may not know the one that is there: it was away, or its data restored.
        """
        folder = self._settings.logins / service
        expires, secret_id = folder / EXPIRES, folder / SECRET_ID
        if expires.exists():
            ends = datetime.fromisoformat(expires.read_text().strip())
            self.metrics.expires.labels(service).set(ends.timestamp())
        if not anew and self._is_good(service, secret_id):
            return
        role = f"auth/approle/role/{service}"
        answer = self._vault.get(f"{role}/role-id") or {}
        _write(folder / ROLE_ID, answer["data"]["role_id"])
        wrapped = self._vault.put(f"{role}/secret-id", wrapped_for=_WRAPPED_SECONDS)
        _write(secret_id, wrapped["wrap_info"]["token"])

    def _is_good(self, service: str, secret_id: Path) -> bool:
        """Whether the agent can log in with what is in this file. If somebody else has unwrapped it, say so.

        The agent removes the file right after it has done that, so only a file that is there at the next turn counts.
        """
        try:
            wrapped, age = secret_id.read_text(), time.time() - secret_id.stat().st_mtime
            self._vault.put("sys/wrapping/lookup", token=wrapped)
        except FileNotFoundError:
            return False
        except VaultRefused:
            if self._doubted.get(service) == wrapped:
                self.metrics.opened.labels(service).inc()
                _LOG.error(f"Somebody has unwrapped the login of the agent of {service}: replace its secrets.")
                return False
            self._doubted[service] = wrapped
        return age < _RENEWED_SECONDS

    def _set_up(self) -> None:
        vault = self._vault
        for _ in range(_ATTEMPTS):
            try:
                vault.get("sys/health")
                break
            except VaultFailed:
                time.sleep(0.1)
        vault.put(f"sys/mounts/{_MOUNT}", type="kv", options={"version": "2"})
        vault.put("sys/auth/approle", type="approle")
        accessor = (vault.get("sys/auth") or {})["approle/"]["accessor"]
        vault.put(f"sys/policies/acl/{_AGENT}", policy=_AGENT_POLICY.format(accessor))
        vault.put(f"sys/policies/acl/{ROLE}", policy=_KEEPER_POLICY)
        own = f"auth/approle/role/{ROLE}"
        vault.put(own, token_policies=[ROLE], token_ttl=_OWN_TOKEN_SECONDS)
        vault.put(f"{own}/role-id", role_id=ROLE)
        vault.put(f"{own}/custom-secret-id", secret_id=self._secret_id)


def _write(file: Path, text: str) -> None:
    """Replace a file, which the agent may read and remove."""
    partial = file.with_suffix(".partial")
    partial.write_text(text)
    partial.chmod(0o640)
    partial.replace(file)
