"""What the keeper asks of the vault, OpenBao's API over a Unix socket."""

from pathlib import Path
from typing import Any

import httpx

_SECONDS_TO_ANSWER = 30


class VaultFailed(Exception):
    """The vault does not answer, or refuses. The message says what was asked and what it said."""


class VaultRefused(VaultFailed):
    """It has understood what was asked, and can't do it."""


class Vault:
    """A client with a token, once there is one."""

    def __init__(self, socket: Path) -> None:
        self.token = ""
        transport = httpx.HTTPTransport(uds=str(socket))
        self._client = httpx.Client(base_url="http://vault/v1/", transport=transport, timeout=_SECONDS_TO_ANSWER)

    def get(self, path: str) -> dict[str, Any] | None:
        """What is at a path; None where nothing is.

        Raises:
            VaultFailed: it does not answer, or refuses.
        """
        answer = self._ask("GET", path)
        return None if answer.status_code == httpx.codes.NOT_FOUND else self._body(answer)

    def put(self, path: str, *, wrapped_for: int = 0, **body: Any) -> dict[str, Any]:
        """Write to a path. With `wrapped_for`, seconds, the answer has a token that gives the real one to one reader.

        Raises:
            VaultFailed: it does not answer, or refuses.
        """
        headers = {"X-Vault-Wrap-TTL": f"{wrapped_for}s"} if wrapped_for else {}
        return self._body(self._ask("POST", path, json=body, headers=headers))

    def _ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        headers = {**request.pop("headers", {}), **({"X-Vault-Token": self.token} if self.token else {})}
        try:
            return self._client.request(method, path, headers=headers, **request)
        except httpx.TransportError as error:
            raise VaultFailed(f"{method} {path}: {error or type(error).__name__}") from error

    def _body(self, answer: httpx.Response) -> dict[str, Any]:
        if answer.is_error:
            asked = f"{answer.request.method} {answer.request.url.path}"
            failure = VaultRefused if answer.status_code == httpx.codes.BAD_REQUEST else VaultFailed
            raise failure(f"{asked}: {answer.status_code} {answer.text.strip()[:500]}")
        return dict(answer.json()) if answer.content else {}
