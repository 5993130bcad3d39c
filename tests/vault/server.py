"""A real Vault on the loopback address, which is sealed when it starts and keeps its data in files."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from offline.programs import VAULT
from tests.waiting import until
from tools.build.images import compiled
from tools.console.steps import Report
from tools.machine.ports import free_port


class Vault:
    """The server, with its files in `folder`. Its first start initialises it."""

    def __init__(self, folder: Path, report: Report) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{free_port()}"
        self._program = compiled().ensure(VAULT, report.log, report.say) / "vault"
        self._root_token = ""
        self._unseal_key = ""
        self._log = folder / "vault.log"
        self._config = folder / "vault.json"
        config = {
            "listener": {"tcp": {"address": self.url.removeprefix("http://"), "tls_disable": True}},
            "storage": {"raft": {"path": str(folder / "data"), "node_id": "only"}},
            "disable_mlock": True,
            "api_addr": self.url,
            "cluster_addr": f"http://127.0.0.1:{free_port()}",
        }
        self._config.write_text(json.dumps(config))
        (folder / "data").mkdir()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            argv = [str(self._program), "server", f"-config={self._config}"]
            self._process = subprocess.Popen(argv, stdout=log, stderr=log)
        until(self._answers, 60, f"Vault, whose log is {self._log}")
        if not self._unseal_key:
            made = self._put("init", secret_shares=1, secret_threshold=1)
            self._root_token, (self._unseal_key,) = made["root_token"], made["keys"]
            # The documents' commands are those of OpenBao's program.
            (self.folder / "bin").mkdir()
            (self.folder / "bin" / "bao").symlink_to(self._program)

    def unseal(self) -> None:
        self._put("unseal", key=self._unseal_key)
        # Until it is the active one, it answers 429.
        until(lambda: httpx.get(f"{self.url}/v1/sys/health", trust_env=False).is_success, 60, "an unsealed Vault")

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def administer(self, script: str) -> str:
        """Run a shell script of `bao` commands as the vault's administrator, in `folder`, and return what it prints."""
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        own = {"PATH": path, "HOME": str(self.folder), "VAULT_ADDR": self.url, "VAULT_TOKEN": self._root_token}
        argv = ["bash", "-euo", "pipefail", "-c", script]
        return subprocess.run(argv, cwd=self.folder, env=own, check=True, stdout=subprocess.PIPE, text=True).stdout

    def _put(self, path: str, **body: object) -> dict[str, Any]:
        answer = httpx.put(f"{self.url}/v1/sys/{path}", json=body, timeout=60, trust_env=False)
        return dict(answer.raise_for_status().json())

    def _answers(self) -> bool:
        try:
            return bool(httpx.get(f"{self.url}/v1/sys/seal-status", trust_env=False).is_success)
        except httpx.TransportError:
            return False


@contextmanager
def serving(folder: Path, report: Report) -> Iterator[Vault]:
    """A Vault that is unsealed and empty."""
    vault = Vault(folder, report)
    try:
        vault.start()
        vault.unseal()
        yield vault
    finally:
        vault.stop()
