"""The procedures of docs/OPERATIONS.md on a running stack, with the document's own commands.

The stack is `prod` of a copy of this repository, on this machine's Docker. The tests build on each other, in order.
"""

import contextlib
import functools
import json
import re
import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from infra.settings import STACKS_STORE
from tests.checkout import Checkout, commands
from tests.registry import running
from tests.stack import s3
from tests.stack.variations import Variations
from tests.stack.visitors import Visits, events, visiting, websocket
from tests.stacks import containers
from tests.waiting import until
from tools.build import publish
from tools.console.steps import Report
from tools.machine import docker_bridge
from tools.machine.docker_engine import DockerEngine
from tools.machine.ports import free_port
from tools.machine.preparation import Preparation
from tools.stack import config, docker_objects, health
from tools.stack.config import ONLY_CORE

# So Pulumi tells with --diff what a refresh would take out of the state.
REMOVED = "docker:index/container:Container: (delete)"
CAUSE = "the counts can't be read"
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
        return {name: str(it.id) for name, it in containers(self.engine, self.prefix).items()}

    def image(self, service: str) -> str:
        return str(self.engine.client().containers.get(self.containers()[service]).attrs["Image"])

    def replaced_by(self, script: str) -> set[str]:
        """The services whose containers the script replaced. All services are healthy after it."""
        before = self.containers()
        self.checkout.run(script)
        health.wait(self.engine, self.prefix, f"http://localhost:{self.port}", self.report)
        return {service for service, id_ in self.containers().items() if before.get(service) != id_}

    def doctor(self, asking: str) -> dict[str, list[str]]:
        """The verdict of each check, what was found, and the runbook of what is wrong. At least one check is."""
        asked = self.checkout.attempt(asking)
        assert asked.returncode != 0
        assert "doctor] Error 1" in asked.stderr
        rows = [re.split(r" {3,}", line) for line in asked.stdout.splitlines()]
        return {row[0]: row[1:] for row in rows if row[1:2] in (["ok"], ["WRONG"])}

    def passwords(self) -> dict[str, str]:
        said = self.checkout.run("pulumi stack output passwords --show-secrets --stack prod --json")
        found: dict[str, str] = json.loads(said)
        return found

    def ask(self, service: str, password: str, path: str) -> httpx.Response:
        with httpx.Client(trust_env=False, headers={"host": f"{service}.localhost"}) as client:
            return client.get(f"http://127.0.0.1:{self.port}{path}", auth=("admin", password))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("operations")


@pytest.fixture(scope="module")
def variations(prepared: Preparation, folder: Path) -> Iterator[Variations]:
    made = Variations(prepared, folder)
    yield made
    made.close()


@pytest.fixture(scope="module")
def registry(folder: Path) -> Iterator[str]:
    with running(folder) as address:
        yield address


@pytest.fixture(scope="module")
def server(
    prepared: Preparation, variations: Variations, registry: str, folder: Path, report: Report
) -> Iterator[Server]:
    """A small stack, up. Its last commit changed the image of the app."""
    prefix, port = f"test-{secrets.token_hex(4)}", free_port()
    client = prepared.engine.client()
    platform = {
        "name": prefix,
        "edge": {"http_port": port, "api_hosts": ["localhost"]},
        "sandbox": {"environments": ["bash"], "requests_per_minute": 1000, "start_seconds": 60},
        "services": ONLY_CORE,
    }
    machine = {**config.machine_values(prepared.engine, prepared.images), "unavailable": {}}
    checkout = Checkout(folder / "checkout", config.merge(machine, platform))
    bad = publish.push(client, {"app": variations.make("app", "app")}, registry, report)
    checkout.run(f"pulumi config set --stack prod --path vps:platform.images.app {bad['app']}")
    checkout.commit("Images that run on prod")
    try:
        checkout.run("make up STACK=prod")
        yield Server(checkout, prepared.engine, prefix, port, report)
    finally:
        docker_objects.remove_volumes(client, docker_objects.remove_all(client, prefix))


def test_a_revert_restores_the_last_good_images(server: Server, prepared: Preparation) -> None:
    good = prepared.engine.client().images.get(prepared.images.references["app"]).id
    assert server.image("api") != good
    (script,) = commands("docs/OPERATIONS.md", "Back to the last good version")
    reverting = script.replace("<the commit that named the bad ones>", "HEAD")
    assert server.replaced_by(reverting) == {"api"}
    assert server.image("api") == good


def test_a_container_removed_by_hand_is_seen_by_preview_doctor_and_refresh_and_comes_back(server: Server) -> None:
    previewing, _, _ = commands("docs/DEPLOYMENT.md", "Preview and up")[0].partition("make up")
    asking, _ = commands("docs/OPERATIONS.md", "Ask the doctor")
    looking, undoing = commands("docs/OPERATIONS.md", "Drift")
    # The operator of a copy says yes to all, and a refresh that changes nothing has nothing to confirm.
    looking = f"unset PULUMI_SKIP_CONFIRMATIONS\n{looking}"
    refreshing, _, deploying = undoing.partition("\n")
    assert re.search(r"\d+ unchanged", server.checkout.run(previewing))
    assert REMOVED not in server.checkout.run(looking)
    found = server.doctor(asking)
    assert found["services"] == ["ok", f"{len(server.containers())} healthy"]
    assert found["backup"] == ["WRONG", "the setting backup is not set", "docs/OPERATIONS.md#backup-and-restore"]
    assert found["drift"] == ["ok", "none"]

    server.engine.client().containers.get(server.containers()["api"]).remove(force=True)
    assert "api was removed by hand" in server.checkout.attempt("make up STACK=prod").stdout
    drifted = server.checkout.attempt(looking)
    assert drifted.returncode != 0
    assert REMOVED in drifted.stdout
    found = server.doctor(asking)
    assert found["services"] == ["WRONG", "api is missing", "docs/OPERATIONS.md#containerstopped"]
    assert found["drift"] == ["WRONG", "what is there differs from the state", "docs/OPERATIONS.md#drift"]

    assert "1 deleted" in server.checkout.run(refreshing)
    assert server.replaced_by(deploying) == {"api"}
    assert "api" in server.checkout.run("make status STACK=prod")


def test_services_that_were_stopped_by_hand_are_started(server: Server) -> None:
    client, before = server.engine.client(), server.containers()
    for service in ("api", "executor"):
        client.containers.get(before[service]).stop()
    assert "started what was stopped: api, executor" in server.checkout.run("make up STACK=prod")
    assert server.containers() == before


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ("unset PULUMI_BACKEND_URL", "PULUMI_BACKEND_URL is not set"),
        ("unset PULUMI_CONFIG_PASSPHRASE_FILE", "PULUMI_CONFIG_PASSPHRASE_FILE is not set"),
        ("export PULUMI_CONFIG_PASSPHRASE_FILE=gone", "names can't be read"),
        ("export PULUMI_CONFIG_PASSPHRASE=wrong", "The passphrase is not the one"),
        ("mkdir other; export PULUMI_BACKEND_URL=file://./other", "pulumi stack init prod"),
    ],
)
def test_make_names_what_is_missing_in_the_operators_environment(
    server: Server, folder: Path, variables: str, said: str
) -> None:
    nowhere = f"export PULUMI_CREDENTIALS_PATH={folder}/logins"
    refused = server.checkout.attempt(f"{nowhere}\n{variables}\nmake preview STACK=prod")
    assert refused.returncode != 0
    assert said in refused.stdout
    assert "Traceback" not in refused.stdout + refused.stderr


def test_an_upgrade_of_one_service_replaces_only_that_one(server: Server, variations: Variations) -> None:
    newer = variations.make("traefik", "traefik")
    (script,) = commands("docs/OPERATIONS.md", "Upgrade of one service")
    assert "images.loki grafana/loki:" in script
    upgrade = script.replace("images.loki", "images.traefik").replace(
        next(word for word in script.split() if word.startswith("grafana/loki:")), newer
    )
    assert server.replaced_by(upgrade) == {"traefik"}


@contextlib.contextmanager
def visitors(server: Server) -> Iterator[Visits]:
    """Five executions a second and two open streams through the edge."""
    url = f"http://localhost:{server.port}"
    with httpx.Client(trust_env=False, timeout=60) as client:
        post = functools.partial(client.post, f"{url}/execute")
        with visiting(post, lambda: events(post), lambda: websocket(url)) as visits:
            yield visits


def test_no_request_is_lost_and_no_stream_ends_early_while_a_unit_and_the_routes_are_replaced(
    server: Server, variations: Variations
) -> None:
    images = {name: variations.make(f"next-{name}", name, "LABEL next=1") for name in ("app", "executor")}
    sets = [f"pulumi config set --stack prod --path vps:platform.images.{name} {it}" for name, it in images.items()]
    sets.append("pulumi config set --stack prod --path 'vps:platform.edge.api_hosts[1]' next.localhost")
    with visitors(server) as visits:
        until(lambda: visits.executions >= 5, 60, "visitors")
        assert server.replaced_by("\n".join([*sets, "make up STACK=prod"])) == {"api", "executor"}
        seen = visits.executions
        until(lambda: visits.executions >= seen + 5, 60, "visitors of the next unit")
    assert visits.failures == []
    assert visits.streams >= 4
    with httpx.Client(trust_env=False, headers={"host": "next.localhost"}) as client:
        assert client.get(f"http://127.0.0.1:{server.port}/health").status_code == httpx.codes.OK


def test_an_api_that_never_gets_healthy_leaves_the_old_one_serving(server: Server, variations: Variations) -> None:
    fault = {"rate.py": f"raise SystemExit({CAUSE!r})"}
    broken = variations.make("broken", "app", "COPY rate.py /srv/app/api/", **fault)
    good = variations.make("good", "app", "LABEL good=1")
    put = "pulumi config set --stack prod --path vps:platform.sandbox.start_seconds {}\n"
    put += "pulumi config set --stack prod --path vps:platform.images.app {}\n"
    (script,) = commands("docs/OPERATIONS.md", "A change nobody notices")
    status, logs, deploying = script.splitlines()
    before = server.containers()
    with visitors(server) as visits:
        failed = server.checkout.attempt(f"{put.format(10, broken)}{deploying}")
        assert failed.returncode != 0
        assert "The new api did not get healthy" in failed.stdout
        assert set(before.values()) <= {str(it.id) for it in server.engine.client().containers.list(sparse=True)}
        looked = server.checkout.attempt(status)
        assert looked.returncode != 0
        healths = re.findall(r"^api +(\S+)", looked.stdout, re.MULTILINE)
        assert len(healths) == 2
        assert healths.count("healthy") == 1
        assert CAUSE in server.checkout.run(logs)
        assert "removed what never got healthy" in server.checkout.run(f"{put.format(60, good)}{deploying}")
    assert visits.failures == []
    assert server.containers()["api"] != before["api"]
    assert server.containers()["executor"] == before["executor"]


def test_a_service_that_is_added_as_documented_answers_and_an_incident_that_is_told_so_is_read(
    server: Server, variations: Variations
) -> None:
    (change,) = commands("CONTRIBUTING.md", "Add a service", "diff")
    server.checkout.apply(change)
    image = variations.make("hello", "app", "COPY hello /hello", hello=HELLO)
    setting = "pulumi config set --stack prod --path vps:platform"
    (script,) = commands("docs/OPERATIONS.md", "Tell visitors of an incident")
    assert "make up" in script
    script = f"{setting}.images.hello {image}\n{setting}.services.status.enabled true\n{script}"
    assert server.replaced_by(script) == {"hello", "status", "traefik"}
    assert server.ask("hello", "guessed", "/").status_code == httpx.codes.UNAUTHORIZED
    assert server.ask("hello", server.passwords()["dashboardPassword"], "/").text == "hello"
    with httpx.Client(trust_env=False, headers={"host": "status.localhost"}) as client:
        page = client.get(f"http://127.0.0.1:{server.port}/").text
    assert "Executions are slow" in page
    assert "<strong>10:40</strong>" in page


def test_a_rotated_password_replaces_only_the_service_that_reads_it(server: Server) -> None:
    old = server.passwords()["dashboardPassword"]
    before = server.containers()
    rotate, show = commands("docs/OPERATIONS.md", "Rotate a password")
    said = server.checkout.run(rotate)
    after = server.containers()
    assert {service for service in before if before[service] != after[service]} == {"traefik"}
    new = server.passwords()["dashboardPassword"]
    assert f"The new password is deployed: {new}\n" in said
    assert new in server.checkout.run(show)
    assert server.ask("traefik", old, "/api/version").status_code == httpx.codes.UNAUTHORIZED
    assert server.ask("traefik", new, "/api/version").status_code == httpx.codes.OK
    assert new not in server.checkout.run("pulumi stack output --stack prod")
    assert new not in (server.checkout.folder / "Pulumi.prod.yaml").read_text()


def test_data_goes_back_to_what_a_backup_holds(server: Server) -> None:
    counting = f"pulumi config set --stack prod --path vps:platform.sandbox.rate_store {STACKS_STORE}"
    keeping = "pulumi config set --stack prod --path vps:platform.sandbox.keep_counts true"
    set_up, making, restoring = commands("docs/OPERATIONS.md", "Backup and restore")
    *_, choosing = commands("docs/OPERATIONS.md", "Backup and restore", "sh")
    assert server.replaced_by("\n".join([counting, keeping, set_up])) == {"api", "valkey", "backup"}
    store = server.engine.client().containers.get(server.containers()["valkey"])
    (oldest, *_) = re.findall(r"^([0-9a-f]{8}) ", server.checkout.run(making), re.MULTILINE)
    store.exec_run(["valkey-cli", "set", "counted", "3"])
    said = server.checkout.run(making)
    assert "valkey-data: " in said
    # Of one day it keeps the newest, and the oldest of all.
    assert re.findall(r"^([0-9a-f]{8}) ", said, re.MULTILINE)[0] == oldest
    store.exec_run(["valkey-cli", "set", "counted", "4"])
    assert server.replaced_by(choosing.replace("1a2b3c4d", oldest)) == set()
    assert store.exec_run(["valkey-cli", "get", "counted"]).output == b"\n"
    assert server.replaced_by(restoring) == set()
    assert store.exec_run(["valkey-cli", "get", "counted"]).output == b"3\n"


def test_a_second_unit_comes_beside_the_first_one_and_goes(server: Server) -> None:
    (script,) = commands("docs/OPERATIONS.md", "More units on a bigger host")
    before = set(server.containers())
    assert server.replaced_by(script) == {"api-2", "executor-2"}
    assert set(server.containers()) == before | {"api-2", "executor-2"}
    assert server.replaced_by(script.replace("units 2", "units 1")) == set()
    assert set(server.containers()) == before


def test_recover_brings_back_what_docker_and_the_state_have_lost(server: Server) -> None:
    client = server.engine.client()
    bucket, *_ = commands("docs/OPERATIONS.md", "Backup and restore", "sh")
    (without_state,) = commands("docs/OPERATIONS.md", "Recover on an empty server", "bash")
    (recovering,) = commands("docs/OPERATIONS.md", "Recover on an empty server")
    with s3.serving(docker_bridge.address(client), server.report) as repository:
        elsewhere = bucket.replace("https://s3.example.com/bucket/prod", repository.url)
        assert elsewhere.count("\nmake secret ") == 2
        elsewhere = elsewhere.replace("\nmake secret ", "\necho secret | make secret ")
        server.checkout.run(f"{elsewhere}\nmake up STACK=prod\nmake backup STACK=prod")
        refused = server.checkout.attempt(recovering).stdout
        assert "is not empty" in refused
        assert "make restore STACK=prod" in refused

        docker_objects.remove_volumes(client, docker_objects.remove_all(client, server.prefix))
        server.checkout.run(f"rm -r state\n{without_state}")
        good = server.checkout.run("pulumi config get --stack prod --path vps:platform.images.app").strip()
        choosing = "pulumi config set --stack prod --path vps:platform.images.app"
        broken_off = server.checkout.attempt(f"{choosing} 127.0.0.1:1/app:1\n{recovering}")
        assert broken_off.returncode != 0
        assert "as they were at" in broken_off.stdout
        said = server.checkout.run(f"{choosing} {good}\n{recovering}")
    assert "was restored before the recovery was broken off" in said
    health.wait(server.engine, server.prefix, f"http://localhost:{server.port}", server.report)
    store = client.containers.get(server.containers()["valkey"])
    assert store.exec_run(["valkey-cli", "get", "counted"]).output == b"3\n"
    assert "recovery" not in str(docker_objects.find(client, server.prefix).names)


@pytest.mark.parametrize("service", ["api", "executor"])
def test_a_flame_graph_shows_what_the_running_process_does(server: Server, service: str) -> None:
    (command,) = commands("docs/OPERATIONS.md", "Where the time goes")
    short = command.replace("SERVICE=api", f"SERVICE={service}").replace("SECONDS=30", "SECONDS=3")
    program = {"environment": "bash", "code": "true"}
    stop = threading.Event()

    def visit() -> None:
        while not stop.is_set():
            httpx.post(f"http://localhost:{server.port}/execute", json=program, trust_env=False)

    with ThreadPoolExecutor(1) as visitor:
        visitor.submit(visit)
        try:
            server.checkout.run(short)
        finally:
            stop.set()
    (drawn,) = (server.checkout.folder / ".vps" / "profiles").glob(f"prod-{service}-*.svg")
    assert f"app/{service}/" in drawn.read_text()


def test_a_state_moves_to_another_backend(server: Server, folder: Path) -> None:
    password = server.passwords()["dashboardPassword"]
    (script,) = commands("docs/OPERATIONS.md", "Move the state to another backend")
    moved = folder / "moved"
    moved.mkdir()
    export, _, rest = script.partition("\n")
    server.checkout.run(export)
    # The export keeps secrets encrypted.
    assert password not in (server.checkout.folder / "state.json").read_text()
    assert "s3://my-bucket/vps" in rest
    moving = rest.replace("s3://my-bucket/vps", f"file://{moved}")
    assert password in server.checkout.run(f"{moving}\npulumi stack output passwords --show-secrets --stack prod")
    there = f"export PULUMI_BACKEND_URL=file://{moved}"
    refused = server.checkout.attempt(f"{there}\nmake down STACK=prod")
    assert "Not confirmed" in refused.stdout
    assert server.containers()
    server.checkout.run(f"{there}\nmake down STACK=prod CONFIRM=prod")
    assert '"resources"' not in server.checkout.run(f"{there}\npulumi stack export --stack prod")
    assert not server.containers()
