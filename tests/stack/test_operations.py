"""The procedures of docs/OPERATIONS.md on a running stack, with the document's own commands.

The stack is `prod` of a copy of this repository, on this machine's Docker. The tests build on each other, in order.
"""

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.checkout import Checkout, commands
from tests.registry import running
from tools.build import publish
from tools.console.steps import Report
from tools.machine.docker_engine import DockerEngine
from tools.machine.ports import free_port
from tools.machine.preparation import Prepared
from tools.stack import config, docker_objects, health
from tools.stack.config import ONLY_CORE

HELLO = """#!/usr/bin/env python3
import http.server, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello")

if "--check" not in sys.argv:
    http.server.HTTPServer(("", 8080), Handler).serve_forever()
"""


class Variations:
    """Images built from those of the stack, with other content. `close` removes them."""

    def __init__(self, prepared: Prepared, folder: Path) -> None:
        self._client = prepared.engine.client()
        self._references = prepared.images.references
        self._folder = folder
        self._run = secrets.token_hex(4)
        self._made: list[str] = []

    def make(self, name: str, original: str, *instructions: str, **files: str) -> str:
        """The reference of an image made from one of the stack's by Dockerfile instructions, which may copy `files`."""
        folder = self._folder / name
        folder.mkdir()
        for file, text in files.items():
            (folder / file).write_text(text)
            (folder / file).chmod(0o755)
        lines = [f"FROM {self._references[original]}", f"LABEL variation={self._run}", *instructions]
        (folder / "Dockerfile").write_text("\n".join(lines) + "\n")
        built, _ = self._client.images.build(path=str(folder), tag=f"test-{self._run}/{name}:1")
        self._made.append(str(built.id))
        return f"test-{self._run}/{name}:1"

    def close(self) -> None:
        for image in reversed(self._made):
            self._client.images.remove(image, force=True)


@dataclass(frozen=True)
class Server:
    """The stack and its containers."""

    checkout: Checkout
    engine: DockerEngine
    prefix: str
    port: int
    report: Report

    def containers(self) -> dict[str, str]:
        """The id of each service's container."""
        labels = [f"vps.stack={self.prefix}", "vps.role=service"]
        found = self.engine.client().containers.list(filters={"label": labels})
        return {container.labels["vps.service"]: str(container.id) for container in found}

    def image(self, service: str) -> str:
        return str(self.engine.client().containers.get(f"{self.prefix}-{service}").attrs["Image"])

    def replaced_by(self, script: str) -> set[str]:
        """The services whose containers the script replaced. All services are healthy after it."""
        before = self.containers()
        self.checkout.shell(script)
        health.wait(self.engine, self.prefix, f"http://localhost:{self.port}", self.report)
        return {service for service, id_ in self.containers().items() if before.get(service) != id_}

    def passwords(self) -> dict[str, str]:
        said = self.checkout.shell("pulumi stack output passwords --show-secrets --stack prod --json")
        found: dict[str, str] = json.loads(said)
        return found

    def ask(self, service: str, password: str, path: str) -> httpx.Response:
        with httpx.Client(trust_env=False, headers={"host": f"{service}.localhost"}) as client:
            return client.get(f"http://127.0.0.1:{self.port}{path}", auth=("admin", password))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("operations")


@pytest.fixture(scope="module")
def variations(prepared: Prepared, folder: Path) -> Iterator[Variations]:
    made = Variations(prepared, folder)
    yield made
    made.close()


@pytest.fixture(scope="module")
def registry(folder: Path) -> Iterator[str]:
    with running(folder) as address:
        yield address


@pytest.fixture(scope="module")
def server(prepared: Prepared, variations: Variations, registry: str, folder: Path, report: Report) -> Iterator[Server]:
    """A small stack, up. Its last commit changed the image of the app."""
    prefix, port = f"test-{secrets.token_hex(4)}", free_port()
    client = prepared.engine.client()
    platform = {
        "name": prefix,
        "edge": {"http_port": port},
        "sandbox": {"environments": ["bash"]},
        "services": ONLY_CORE,
    }
    machine = {**config.machine_values(prepared.engine, prepared.images), "unavailable": {}}
    checkout = Checkout(folder / "checkout", prepared.toolchain, config.merge(machine, platform))
    bad = publish.push(client, {"app": variations.make("app", "app")}, registry, report)
    checkout.shell(f"pulumi config set --stack prod --path vps:platform.images.app {bad['app']}")
    checkout.commit("Images that run on prod")
    try:
        checkout.shell("pulumi up --stack prod --skip-preview")
        yield Server(checkout, prepared.engine, prefix, port, report)
    finally:
        docker_objects.remove_volumes(client, docker_objects.remove_all(client, prefix))


def test_a_revert_restores_the_last_good_images(server: Server, prepared: Prepared) -> None:
    good = prepared.engine.client().images.get(prepared.images.references["app"]).id
    assert server.image("api") != good
    (script,) = commands("docs/OPERATIONS.md", "Back to the last good version")
    reverting = script.replace("<the commit that named the bad ones>", "HEAD")
    assert server.replaced_by(reverting) == {"api"}
    assert server.image("api") == good


def test_an_upgrade_of_one_service_replaces_only_that_one(server: Server, variations: Variations) -> None:
    newer = variations.make("traefik", "traefik")
    (script,) = commands("docs/OPERATIONS.md", "Upgrade of one service")
    assert "images.loki grafana/loki:" in script
    upgrade = script.replace("images.loki", "images.traefik").replace(
        next(word for word in script.split() if word.startswith("grafana/loki:")), newer
    )
    assert server.replaced_by(upgrade) == {"traefik"}


def test_a_service_that_is_added_as_documented_answers_at_the_edge(server: Server, variations: Variations) -> None:
    (change,) = commands("CONTRIBUTING.md", "Add a service", "diff")
    server.checkout.apply(change)
    image = variations.make("hello", "app", "COPY hello /hello", hello=HELLO)
    server.checkout.shell(f"pulumi config set --stack prod --path vps:platform.images.hello {image}")
    assert server.replaced_by("pulumi up --stack prod --policy-pack policies") == {"hello", "traefik"}
    assert server.ask("hello", "guessed", "/").status_code == httpx.codes.UNAUTHORIZED
    assert server.ask("hello", server.passwords()["dashboardPassword"], "/").text == "hello"


def test_a_rotated_password_replaces_only_the_service_that_reads_it(server: Server) -> None:
    old = server.passwords()["dashboardPassword"]
    before = server.containers()
    said = server.checkout.make("rotate", "dashboardPassword", "--stack", "prod")
    after = server.containers()
    assert {service for service in before if before[service] != after[service]} == {"traefik"}
    new = server.passwords()["dashboardPassword"]
    assert f"The new password is deployed: {new}\n" in said
    assert server.ask("traefik", old, "/api/version").status_code == httpx.codes.UNAUTHORIZED
    assert server.ask("traefik", new, "/api/version").status_code == httpx.codes.OK
    assert new not in server.checkout.shell("pulumi stack output --stack prod")
    assert new not in (server.checkout.folder / "Pulumi.prod.yaml").read_text()


def test_a_state_moves_to_another_backend(server: Server, folder: Path) -> None:
    password = server.passwords()["dashboardPassword"]
    (script,) = commands("docs/OPERATIONS.md", "Move the state to another backend")
    moved = folder / "moved"
    moved.mkdir()
    export, _, rest = script.partition("\n")
    server.checkout.shell(export)
    # The export keeps secrets encrypted.
    assert password not in (server.checkout.folder / "state.json").read_text()
    assert "s3://my-bucket/vps" in rest
    moving = rest.replace("s3://my-bucket/vps", f"file://{moved}")
    assert password in server.checkout.shell(f"{moving}\npulumi stack output passwords --show-secrets --stack prod")
    there = f"export PULUMI_BACKEND_URL=file://{moved}"
    server.checkout.shell(f"{there}\npulumi destroy --stack prod --skip-preview")
    assert '"resources"' not in server.checkout.shell(f"{there}\npulumi stack export --stack prod")
    assert not server.containers()
