"""Each receiver of alerts gets one from the real Alertmanager, by its own host name, over HTTPS.

A stand-in has these names in Alertmanager's network, with a certificate that Alertmanager's image trusts.
"""

import json
import shlex
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from tests.checkout import commands
from tests.declared import DeclaredServices
from tests.program import SECRETS
from tests.waiting import until
from tools.machine.preparation import Preparation

HOSTS = (
    *("hooks.example.com", "slack.example.com", "discord.example.com", "teams.example.com"),
    *("api.telegram.org", "api.pushover.net", "events.pagerduty.com"),
)
STAND_IN = """
import http.server, json, ssl

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        print(json.dumps([self.headers["Host"] + self.path, body]), flush=True)
        sent = {"message_id": 1, "date": 1, "chat": {"id": -100, "type": "group"}}
        answer = {"ok": True, "status": 1, "result": sent}
        said = json.dumps(answer).encode()
        self.send_response(202 if "pagerduty" in self.headers["Host"] else 200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *of_a_request):
        pass

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/stand-in/certificate.pem", "/stand-in/key.pem")
server = http.server.ThreadingHTTPServer(("", 443), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
EVERYBODY: Mapping[str, Any] = {
    **dict.fromkeys(("webhook", "discord", "teams", "pushover"), True),
    "slack": {"channel": "#alerts"},
    "telegram": {"chat": -100},
    "pagerduty": {},
}
TITLE = "Trial"
TRUSTING = "ARG BASE\nFROM ${BASE}\nCOPY certificate.pem /etc/ssl/certs/ca-certificates.crt\n"
"""An image of Alertmanager that trusts the stand-in's certificate, and no other."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stand-in's program, its key, and a certificate for the receivers' names that is its own authority."""
    made = tmp_path_factory.mktemp("stand-in")
    argv = [
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"),
        *("-subj", "/CN=receivers", "-addext", "subjectAltName=" + ",".join(f"DNS:{host}" for host in HOSTS)),
        *("-keyout", "key.pem", "-out", "certificate.pem"),
    ]
    subprocess.run(argv, cwd=made, check=True, capture_output=True)
    (made / "program.py").write_text(STAND_IN)
    (made / "Dockerfile").write_text(TRUSTING)
    return made


@pytest.fixture(scope="module")
def received(prepared: Preparation, folder: Path) -> Iterator[dict[str, str]]:
    """The body that each receiver got of one alert, by host and path, once all have it."""
    client, references = prepared.engine.client(), prepared.images.references
    base = references["alertmanager"]
    trusting, _ = client.images.build(
        path=str(folder), buildargs={"BASE": base}, tag="vps-test/alertmanager:1", rm=True
    )
    services = DeclaredServices(
        prepared, images={"alertmanager": "vps-test/alertmanager:1"}, services={"alertmanager": EVERYBODY}
    )
    try:
        alertmanager = services.start("alertmanager")
        stand_in = client.containers.create(
            references["app"],
            entrypoint=["python3", "/stand-in/program.py"],
            user="0:0",
            labels={"vps.stack": services.prefix},
            volumes={str(folder): {"bind": "/stand-in", "mode": "ro"}},
        )
        client.networks.get(f"{services.prefix}-outbound").connect(stand_in, aliases=HOSTS)
        stand_in.start()
        name = str(alertmanager.name)
        until(lambda: client.containers.get(name).health == "healthy", 30, "Alertmanager to be healthy")
        (command,) = commands("docs/OPERATIONS.md", "Tell somebody of alerts")[1:]
        said = alertmanager.exec_run(shlex.split(command.partition("-alertmanager")[2].replace("\\\n", "")))
        assert said.exit_code == 0, said.output

        def bodies() -> dict[str, str] | None:
            found = dict(json.loads(line) for line in stand_in.logs().decode().splitlines())
            return found if len(found) == len(HOSTS) else None

        yield until(bodies, 30, "all receivers")
    finally:
        services.remove()
        client.images.remove(str(trusting.id), force=True)


def place(secret: str) -> str:
    return SECRETS[secret].removeprefix("https://")


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (place("alertWebhookUrl"), lambda body: body["alerts"][0]["labels"]["alertname"] == TITLE),
        (
            place("alertSlackUrl"),
            lambda body: body["channel"] == "#alerts" and TITLE in body["attachments"][0]["title"],
        ),
        (place("alertDiscordUrl"), lambda body: TITLE in body["embeds"][0]["title"]),
        (place("alertTeamsUrl"), lambda body: body["attachments"][0]["content"]["type"] == "AdaptiveCard"),
        (
            f"api.telegram.org/bot{SECRETS['alertTelegramToken']}/sendMessage",
            lambda body: body["chat_id"] == "-100" and TITLE in body["text"],
        ),
        (
            "events.pagerduty.com/v2/enqueue",
            lambda body: (body["routing_key"], body["event_action"]) == (SECRETS["alertPagerdutyKey"], "trigger"),
        ),
    ],
)
def test_a_receiver_gets_the_alert_as_its_peer_takes_it(
    received: dict[str, str], where: str, expected: Callable[[Any], bool]
) -> None:
    assert expected(json.loads(received[where])), received[where]


def test_pushover_gets_the_alert_with_token_and_user(received: dict[str, str]) -> None:
    ((where, body),) = [it for it in received.items() if it[0].startswith("api.pushover.net")]
    sent = parse_qs(body or where.partition("?")[2])
    assert (sent["token"], sent["user"]) == ([SECRETS["alertPushoverToken"]], [SECRETS["alertPushoverUser"]])
    assert TITLE in sent["title"][0]
