"""`make recover`: what it refuses, what it goes on with, and what it leaves of the state."""

import argparse
import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker
import pytest
from rich.console import Console

from infra.config import parse_settings
from infra.settings import PlatformSettings
from tests.program import platform_config
from tests.unit.tools.conftest import Program
from tools.commands import recover
from tools.console.steps import Report, Runner, StepFailed
from tools.machine.pulumi_toolchain import Toolchain
from tools.stack import backup, target
from tools.stack.pulumi_stack import PulumiStack
from tools.stack.recovery import Recovery, without_server

BUCKET = {"s3": {"url": "https://s3.example.com/bucket/prod"}}
DATA, BEGUN, RESTORED = "vps-prod-rooms-data", "vps-prod-recovery-begun", "vps-prod-recovery-restored"
PLATFORM = "vps:infra:Platform"


def urn(name: str) -> str:
    return f"urn:pulumi:prod::vps::{name}"


def resource(kind: str, name: str, *dependencies: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "urn": urn(name), "dependencies": [urn(it) for it in dependencies], **more}


STATE: dict[str, Any] = {
    "manifest": {"version": "v3.228.0"},
    "resources": [
        resource("pulumi:pulumi:Stack", "stack"),
        resource("pulumi:providers:command", "default_1_1_0"),
        resource("vps:infra:Host", "host", "rules", "stack"),
        resource("command:local:Command", "rules", "default_1_1_0"),
        resource("command:remote:Command", "deploy", "rules"),
        resource("pulumi:providers:docker", "engine", "deploy", propertyDependencies={"host": [urn("deploy")]}),
        resource("docker:index/container:Container", "api", "engine", delete=True),
        resource("pulumi:providers:cloudflare", "cloudflare"),
        resource(
            "cloudflare:index/dnsRecord:DnsRecord",
            "record",
            "api",
            propertyDependencies={"content": [urn("api"), urn("stack")], "name": None},
        ),
    ],
    "pending_operations": [
        {"type": "creating", "resource": resource("docker:index/network:Network", "edge")},
        {"type": "creating", "resource": resource("cloudflare:index/dnsRecord:DnsRecord", "next")},
    ],
}


def test_the_state_loses_what_was_on_the_server_and_nothing_names_it() -> None:
    after = without_server(STATE)
    assert [it["urn"] for it in after["resources"]] == [urn(it) for it in ("stack", "host", "cloudflare", "record")]
    assert after["resources"][1]["dependencies"] == [urn("stack")]
    assert after["resources"][3]["dependencies"] == []
    assert after["resources"][3]["propertyDependencies"] == {"content": [urn("stack")], "name": []}
    assert [it["resource"]["urn"] for it in after["pending_operations"]] == [urn("next")]
    assert after["manifest"] == STATE["manifest"]


@pytest.mark.parametrize("empty", [{}, {"resources": None, "pending_operations": None}])
def test_a_state_without_resources_stays_empty(empty: dict[str, Any]) -> None:
    assert without_server(empty) == {"resources": [], "pending_operations": []}


class FakeDocker:
    """A Docker with these containers and volumes, by their role."""

    def __init__(self, containers: Mapping[str, str], volumes: Mapping[str, str]) -> None:
        self.there = {**containers, **volumes}
        made = [SimpleNamespace(id=name, attrs={"Names": [f"/{name}"]}) for name in containers]
        self.containers = SimpleNamespace(list=lambda **_: made)
        self.networks = SimpleNamespace(list=lambda **_: [])
        kept = [SimpleNamespace(name=it, attrs={"Labels": {"vps.role": role}}) for it, role in volumes.items()]
        self.volumes = SimpleNamespace(list=lambda **_: kept, create=self._create)
        self.images = SimpleNamespace(get=self._image, pull=self._pull)
        self.api = SimpleNamespace(remove_container=lambda id_, **_: self.there.pop(id_), remove_volume=self.there.pop)
        self.pulled: list[str] = []

    def client(self) -> "FakeDocker":
        return self

    def version(self) -> str:
        return "28.1"

    def _create(self, name: str, labels: Mapping[str, str]) -> None:
        self.there[name] = labels["vps.role"]

    def _image(self, name: str) -> None:
        raise docker.errors.ImageNotFound("no such image")

    def _pull(self, name: str) -> None:
        if "refused" in self.there:
            raise docker.errors.APIError("500", explanation="denied")
        self.pulled.append(name)


def settings(**platform: Any) -> PlatformSettings:
    return parse_settings({**platform_config("prod"), **platform}, "prod")


Recovers = Callable[..., Recovery]


@pytest.fixture
def recovers(program: Program, monkeypatch: pytest.MonkeyPatch) -> Recovers:
    """A recovery of a stack whose secrets are all set, on a server that has a Docker, or none."""

    def make(found: FakeDocker | None, **platform: Any) -> Recovery:
        @contextlib.contextmanager
        def reached(*_: Any, **__: Any) -> Iterator[FakeDocker]:
            assert found
            yield found

        monkeypatch.setattr(target, "docker", reached)
        program("ssh", "[ -z '{}' ] || echo /usr/bin/docker".format("yes" if found else ""))
        monkeypatch.setenv("PATH", str(program("true", "").parent), prepend=":")
        stack = PulumiStack(Toolchain(program("pulumi", "echo secret"), {}, "3.228.0", "fake"), "prod")
        return Recovery(stack, settings(**{"backup": BUCKET, **platform}))

    return make


def test_a_server_without_docker_is_empty(recovers: Recovers, report: Report) -> None:
    assert recovers(None).look(report) == "it has no Docker yet"


def test_a_docker_without_the_stack_is_empty(recovers: Recovers, report: Report) -> None:
    assert "nothing of vps-prod" in recovers(FakeDocker({}, {})).look(report)


@pytest.mark.parametrize(
    "there", [FakeDocker({"vps-prod-api": "service"}, {}), FakeDocker({}, {DATA: "data"})], ids=["container", "data"]
)
def test_a_server_that_has_something_of_the_stack_is_refused(
    recovers: Recovers, report: Report, there: FakeDocker
) -> None:
    before = dict(there.there)
    with pytest.raises(StepFailed, match="is not empty") as caught:
        recovers(there).look(report)
    assert next(iter(before)) in caught.value.message
    assert "make restore STACK=prod" in caught.value.fix
    assert there.there == before


def test_a_recovery_that_was_broken_off_goes_on_with_what_holds_no_data_removed(
    recovers: Recovers, report: Report
) -> None:
    there = FakeDocker({"vps-prod-api": "service"}, {DATA: "data", BEGUN: "recovery", "vps-prod-api-config-1": ""})
    assert "goes on" in recovers(there).look(report)
    assert set(there.there) == {DATA, BEGUN}


@pytest.mark.parametrize("marks", [(), (BEGUN,), (BEGUN, RESTORED)], ids=len)
def test_data_is_restored_once(
    recovers: Recovers, report: Report, monkeypatch: pytest.MonkeyPatch, marks: tuple[str, ...]
) -> None:
    restored: list[str] = []

    def restore(restoration: backup.Restoration, snapshot: list[str], report: Report) -> str:
        restored.append(restoration.image)
        return "as they were"

    monkeypatch.setattr(backup.Restoration, "unlock", lambda *_: None)
    monkeypatch.setattr(backup.Restoration, "run", restore)
    there = FakeDocker({}, dict.fromkeys(marks, "recovery"))
    recovery = recovers(there)
    recovery.restore(report)
    assert restored == there.pulled == ([] if RESTORED in marks else ["registry.example.com/vps/backup:1"])
    assert set(there.there) == {BEGUN, RESTORED}
    recovery.end(report)
    assert there.there == {}


def test_an_image_that_the_server_cannot_pull_is_named(recovers: Recovers, report: Report) -> None:
    with pytest.raises(StepFailed, match=r"can't pull registry.example.com/vps/backup:1: denied"):
        recovers(FakeDocker({"refused": ""}, {})).restore(report)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Host key verification failed.", ("another key than host.ssh.host_key", "vps:platform.host.ssh.host_key")),
        ("root@vps: Permission denied (publickey).", ("Permission denied", "host.ssh names")),
    ],
)
def test_a_server_that_cannot_be_reached_is_told_with_its_fix(
    recovers: Recovers, program: Program, report: Report, said: str, told: tuple[str, str]
) -> None:
    recovery = recovers(None)
    program("ssh", f"echo '{said}' >&2; exit 255")
    with pytest.raises(StepFailed) as caught:
        recovery.look(report)
    assert told[0] in caught.value.message
    assert told[1] in caught.value.fix


@pytest.mark.parametrize(
    ("configured", "cause"),
    [(None, "`backup` is not set"), ({}, "in a volume of the server's own Docker")],
    ids=["none", "on the server"],
)
def test_a_stack_whose_backups_are_not_elsewhere_is_refused(
    recovers: Recovers, report: Report, configured: Any, cause: str
) -> None:
    with pytest.raises(StepFailed, match=cause):
        recovers(None, backup=configured).look(report)


def test_a_secret_of_the_backups_that_is_not_set_is_named(recovers: Recovers, program: Program, report: Report) -> None:
    recovery = recovers(None)
    program("pulumi", "echo \"error: configuration key 'vps:backupPassword' not found for stack 'prod'\" >&2; exit 255")
    with pytest.raises(StepFailed, match="no secret backupPassword") as caught:
        recovery.look(report)
    assert "make secret KEY=backupPassword STACK=prod" in caught.value.fix


def test_the_stack_on_this_machine_has_two_other_commands(tmp_path: Path) -> None:
    with pytest.raises(StepFailed) as caught:
        recover.run(argparse.Namespace(stack="local"), Runner(Console(), tmp_path))
    assert "make up, then make restore" in caught.value.fix
