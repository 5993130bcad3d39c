"""What a VPS has kept: something of each kind that a backup holds."""

import contextlib
import dataclasses
import json
import secrets
import shlex
import time
from dataclasses import dataclass, field
from urllib.parse import urlencode

import httpx
from websockets.exceptions import WebSocketException

from tests.vps.kinds import Vps
from tests.vps.visits import Visitor
from tests.waiting import SLOWNESS, until
from tools.console.steps import Report
from tools.stack.config import merge
from tools.stack.local_stack import Stack

_FETCH = """
import sys, urllib.request as it
_, url, body = sys.argv
asked = it.Request(url, body.encode() or None, {"Content-Type": "application/json"})
print(it.urlopen(asked, timeout=20).read().decode() or "done")
"""
_ROOM = {"environment": "bash", "files": [{"name": "main.sh", "content": "echo from the room"}]}


def with_backups(stack: Stack, storage: Vps, report: Report) -> Stack:
    """The stack with services that keep something, and backups by SFTP on another server."""
    sftp = {"address": storage.namespace.ipv4, "user": "root", "host_key": storage.host_key, "path": "backups/prod"}
    more = {
        "backup": {"sftp": sftp},
        "sandbox": {"rooms": {}},
        "services": {
            "prometheus": {"enabled": True, "scrape_seconds": round(min(SLOWNESS, 10))},
            "alertmanager": {"enabled": True},
            "loki": {"enabled": True},
            "jaeger": {"enabled": True},
        },
    }
    stack.set_secret("vps:backupPassword", secrets.token_urlsafe(), report)
    stack.set_secret("vps:backupSftpKey", storage.identity.read_text(), report)
    return dataclasses.replace(stack, overrides=merge(stack.overrides, more))


@dataclass
class Kept:
    """A room at the API with this host name, a sample of Prometheus, a line in Loki, and the certificate of another
    host name, which is in no other certificate."""

    visitor: Visitor
    host: str
    certified: str
    line: str = field(default_factory=lambda: f"a line of {secrets.token_hex(4)}")
    moment: float = 0.0
    certificate: bytes = b""
    room: dict[str, str] = field(default_factory=dict)

    def make(self, vps: Vps) -> None:
        """Have the platform keep each of them, as soon as its services take them."""
        self.room = until(self._make_room, 60, "a room")
        self.certificate = until(self._certificate, 60, "a certificate")
        until(lambda: self._push(vps), 60, "Loki to take a line")
        until(lambda: self._has_sample(vps, time.time()), 60, "a sample")
        self.moment = time.time()

    def is_found(self, vps: Vps) -> bool:
        """Whether all of them are there."""
        lines = urlencode({"query": '{service="test"}', "start": f"{self.moment - 600:.0f}"})
        with _unless_it_starts():
            return (
                self._has_sample(vps, self.moment)
                and self.line in _ask(vps, "loki", f":3100/loki/api/v1/query_range?{lines}")
                and self.visitor.room(self.host, self.room) == "from the room\n"
                and self._certificate() == self.certificate
            )
        return False

    def _make_room(self) -> dict[str, str] | None:
        with _unless_it_starts():
            made: dict[str, str] = (
                self.visitor.ask("POST", f"https://{self.host}/rooms", json=_ROOM).raise_for_status().json()
            )
            return made
        return None

    def _certificate(self) -> bytes | None:
        with _unless_it_starts():
            return self.visitor.certificate(self.certified)
        return None

    def _push(self, vps: Vps) -> bool:
        pushed = {"streams": [{"stream": {"service": "test"}, "values": [[str(time.time_ns()), self.line]]}]}
        return bool(_ask(vps, "loki", ":3100/loki/api/v1/push", json.dumps(pushed)))

    def _has_sample(self, vps: Vps, moment: float) -> bool:
        query = urlencode({"query": 'max_over_time(up{job="prometheus"}[30s])', "time": f"{moment:.0f}"})
        answer = _ask(vps, "prometheus", f":9090/api/v1/query?{query}")
        return bool(answer and json.loads(answer)["data"]["result"])


def _unless_it_starts() -> contextlib.AbstractContextManager[None]:
    """Suppress the errors of a service that begins to answer."""
    return contextlib.suppress(httpx.HTTPError, OSError, WebSocketException)


def _ask(vps: Vps, service: str, path: str, body: str = "") -> str:
    """What a service of the VPS answers to the VPS itself; empty while it does not."""
    container = f"$(docker ps --quiet --filter label=vps.service={service} --filter label=vps.role=service)"
    shown = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
    address = vps.shell(f"docker inspect --format '{shown}' {container}").split()[0]
    return vps.shell(shlex.join(["python3", "-c", _FETCH, f"http://{address}{path}", body]), check=False)
