import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from infra.images import IMAGES_OF_OURS
from tests.unit.tools.conftest import Program
from tools.build.images import ImageSet
from tools.console.steps import Report, StepFailed
from tools.machine.pulumi_toolchain import Toolchain
from tools.stack import config
from tools.stack.cluster_stack import CLUSTER, ClusterStack
from tools.stack.local_stack import Stack, forget

IMAGES = ImageSet({name: f"vps/{name}:1" for name in (*IMAGES_OF_OURS, "sandbox-bash")}, {"grafana": "it can't be had"})
EMPTY: dict[str, Any] = {"deployment": {"secrets_providers": {"state": {"salt": "v1:salt"}}}}
# Records its arguments and environment, and prints what the Pulumi CLI would.
PULUMI = """
echo "$@" >> {folder}/calls
env | grep ^PULUMI_ > {folder}/environment
case "$1 $2" in
  "stack export") cat {folder}/export.json ;;
  "config set") printf '  %s:\\n    secure: v1:%s\\n' "$4" "$(cat | wc -c)" >> {home}/Pulumi.trial.yaml ;;
  "stack init") {init} ;;
  *) {otherwise} ;;
esac
"""


class FakeEngine:
    """An engine with these containers, oldest first, as `id` by name."""

    url = "unix:///var/run/docker.sock"

    def __init__(self, containers: dict[str, str]) -> None:
        self.removed: list[str] = []
        listed = [SimpleNamespace(id=id, attrs={"Names": [f"/{name}"]}) for name, id in reversed(containers.items())]
        self.containers = SimpleNamespace(list=lambda **_: listed)
        self.networks = self.volumes = SimpleNamespace(list=lambda **_: [])
        self.api = SimpleNamespace(remove_container=lambda id, **_: self.removed.append(id))

    def client(self) -> "FakeEngine":
        return self

    def processors(self) -> int:
        return 2

    def socket_on_its_host(self) -> str:
        return "/var/run/docker.sock"

    def cgroup_version(self) -> int:
        return 1

    def apparmor(self, image: str) -> bool:
        return image == IMAGES.references["app"]


MakeStack = Callable[..., Stack]
PROVIDER = "sdk-v2/provider2.go:572: sdk.helper_schema: container failed to be in healthy state: provider=docker@5.2.0"
ONE_UNHEALTHY = f"""
 +  vps:infra:Service container-exporter creating (31s)
 +  docker:index:Container container-exporter-container creating (0s)
 +  docker:index:Container container-exporter-container created (1s)
@ updating....
 +  docker:index:Container executor-2-container creating (120s) error:   {PROVIDER}
 +  docker:index:Container executor-2-container **creating failed** error:   {PROVIDER}
 +  pulumi:pulumi:Stack vps-local **failed** 2 errors
"""
TWO_UNHEALTHY = f"""
Diagnostics:
  docker:index:Container (executor-container):
    error:   {PROVIDER}
    error: 1 error occurred:
    \t* container failed to be in healthy state

  docker:index:Container (status-container):
    warning: the image has no label

  docker:index:Container (api-container):
    error:   {PROVIDER}

  pulumi:pulumi:Stack (vps-local):
    error: update failed
"""


@pytest.fixture
def make_stack(tmp_path: Path, program: Program) -> MakeStack:
    (tmp_path / "export.json").write_text(json.dumps(EMPTY))

    def make(engine: FakeEngine | None = None, init: str = "true", otherwise: str = "true") -> Stack:
        home = tmp_path / "home"
        body = PULUMI.format(folder=tmp_path, home=home, init=init, otherwise=otherwise)
        toolchain = Toolchain(program("pulumi", body), {}, "3.228.0", "fake")
        docker: Any = engine or FakeEngine({})
        return Stack(toolchain, "trial", docker, home=home, overrides={"edge": {"http_port": 1234}})

    return make


def calls(tmp_path: Path) -> list[str]:
    file = tmp_path / "calls"
    return file.read_text().splitlines() if file.exists() else []


def test_configuring_creates_the_stack_its_passphrase_and_its_config(make_stack: MakeStack, report: Report) -> None:
    stack = make_stack()
    stack.configure(IMAGES, report)
    content = yaml.safe_load(stack.config_file.read_text())
    platform = content["config"][config.PLATFORM]
    assert content["encryptionsalt"] == "v1:salt"
    assert platform["images"] == {name: f"vps/{name}:1" for name in IMAGES_OF_OURS}
    assert platform["unavailable"] == {"grafana": "it can't be had"}
    assert platform["sandbox"]["cpus"] == 2
    assert platform["engine"]["apparmor"]
    assert platform["edge"]["http_port"] == 1234
    assert set(content["config"]) == {config.PLATFORM, *config.GENERATED}
    assert stack.passphrase_file.stat().st_mode & 0o777 == 0o600
    assert stack.config_file.stat().st_mode & 0o777 == 0o600
    assert stack.home.stat().st_mode & 0o777 == 0o700


def test_configuring_again_keeps_passphrase_and_secrets(make_stack: MakeStack, report: Report) -> None:
    stack = make_stack()
    stack.configure(IMAGES, report)
    before = stack.passphrase_file.read_text(), stack.config_file.read_text()
    stack.configure(IMAGES, report)
    assert (stack.passphrase_file.read_text(), stack.config_file.read_text()) == before


def test_the_tracked_config_is_never_changed(make_stack: MakeStack, report: Report) -> None:
    tracked = config.template_file("local")
    before = tracked.read_bytes()
    stack = make_stack()
    stack.configure(IMAGES, report)
    stack.up(report)
    assert tracked.read_bytes() == before


def test_a_lost_config_takes_its_salt_from_the_state(make_stack: MakeStack, report: Report) -> None:
    stack = make_stack(init="echo error: stack already exists; exit 1")
    stack.configure(IMAGES, report)
    assert config.load(stack.config_file)["encryptionsalt"] == "v1:salt"


def test_up_and_preview_always_load_the_policy_pack(make_stack: MakeStack, report: Report, tmp_path: Path) -> None:
    stack = make_stack()
    stack.up(report)
    stack.preview(report)
    assert all("--policy-pack" in call and "--config-file" in call for call in calls(tmp_path))
    assert not any("--skip-preview" in call for call in calls(tmp_path))


def test_pulumi_finds_state_and_passphrase_by_its_environment_only(
    make_stack: MakeStack, report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "of something else")
    stack = make_stack()
    stack.up(report)
    told = dict(line.split("=", 1) for line in (tmp_path / "environment").read_text().splitlines())
    assert told == {
        "PULUMI_BACKEND_URL": f"file://{stack.home}/state?metadata=skip",
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(stack.passphrase_file),
    }


@pytest.mark.parametrize(
    ("said", "message", "fix"),
    [
        ("error: incorrect passphrase", "is not the one that the stack was encrypted with", "FORGET=1"),
        ("error: unable to open bucket file:///x: stat /x: no such file", "There is no stack trial yet", "make up"),
        ("error: no stack named trial found", "There is no stack trial yet", "make up"),
        ("error: failed to load checkpoint: place 1: unexpected end", "can't be read", r"\.json\.bak"),
        (
            "    [mandatory]  read-only-root  (docker: x)\nFound: readOnly is None. Fix: Set readOnly to true.",
            r"refuses this stack.\n  read-only-root: readOnly is None\.",
            r"Set readOnly to true\.",
        ),
        (ONE_UNHEALTHY, "The new executor-2 did not get healthy", r"\(make logs SERVICE=executor-2 STACK=trial\)"),
        (TWO_UNHEALTHY, "The new executor, api did not get healthy", "make logs SERVICE=api STACK=trial"),
        ("pulumi:Stack error: unknown config vps:x", "^unknown config vps:x$", "it resumes where it stopped"),
        ("no reason at all", "pulumi up --yes` ended with exit code 255", "it resumes where it stopped"),
    ],
)
def test_an_error_of_pulumi_is_explained(
    make_stack: MakeStack, report: Report, said: str, message: str, fix: str
) -> None:
    stack = make_stack(otherwise=f"echo '{said}'; exit 255")
    with pytest.raises(StepFailed, match=message) as caught:
        stack.up(report)
    assert re.search(fix, caught.value.fix)
    assert said in report.log.read_text()


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        (
            "error: resource 'a/public' does not exist",
            "The cluster has no Gateway a/public, and cluster.edge names it.",
        ),
        ("error: resource 'own' does not exist", "The cluster has no ClusterIssuer own, and cluster.issuer names it."),
        ("* timed out waiting for the condition", "The ClusterIssuer own has not issued the certificate in time."),
    ],
)
def test_what_a_cluster_lacks_is_explained(
    program: Program, report: Report, tmp_path: Path, said: str, cause: str
) -> None:
    pulumi = program("pulumi", f'echo "{said}"; exit 255')
    edge = {"name": "public", "namespace": "a", "listeners": ["https"]}
    stack = ClusterStack(
        Toolchain(pulumi, {}, "3", "here"),
        "trial",
        home=tmp_path,
        template=CLUSTER,
        overrides={"cluster": {"edge": edge, "issuer": "own"}},
    )
    with pytest.raises(StepFailed) as failed:
        stack.up(report)
    assert failed.value.message == cause


def test_a_missing_passphrase_is_never_replaced(make_stack: MakeStack, report: Report) -> None:
    stack = make_stack()
    stack.configure(IMAGES, report)
    stack.passphrase_file.unlink()
    with pytest.raises(StepFailed, match="is gone"):
        stack.configure(IMAGES, report)
    assert not stack.passphrase_file.exists()


def test_nothing_is_repaired_without_an_interrupted_command(
    make_stack: MakeStack, report: Report, tmp_path: Path
) -> None:
    stack = make_stack()
    stack.configure(IMAGES, report)
    before = len(calls(tmp_path))
    assert stack.mend(report) == []
    assert [call.split(" --")[0] for call in calls(tmp_path)[before:]] == ["stack export"]


def test_a_stale_lock_is_removed(make_stack: MakeStack, report: Report, tmp_path: Path) -> None:
    stack = make_stack()
    locks = stack.home / "state" / ".pulumi" / "locks" / "organization" / "vps" / "trial"
    locks.mkdir(parents=True)
    (locks / "lock.json").write_text("{}")
    assert stack.mend(report) == ["removed a stale lock"]
    assert calls(tmp_path)[0].startswith("cancel --yes")


def state(tmp_path: Path, *ids: str, pending: int = 0) -> None:
    resources = [{"type": "docker:index/container:Container", "id": id} for id in ids]
    deployment = {**EMPTY["deployment"], "resources": resources, "pending_operations": [{}] * pending}
    (tmp_path / "export.json").write_text(json.dumps({"deployment": deployment}))


def test_pending_operations_are_cleared(make_stack: MakeStack, report: Report, tmp_path: Path) -> None:
    stack = make_stack()
    state(tmp_path, pending=1)
    stack.mend(report)
    assert any(call.startswith("refresh") and "--clear-pending-creates" in call for call in calls(tmp_path))


def test_resources_that_docker_has_lost_are_refreshed(make_stack: MakeStack, report: Report, tmp_path: Path) -> None:
    stack = make_stack(FakeEngine({}))
    state(tmp_path, "gone")
    assert stack.mend(report) == ["refreshed the state after an interrupted command"]


def test_objects_that_are_not_in_the_state_are_removed_from_the_oldest_on(
    make_stack: MakeStack, report: Report, tmp_path: Path
) -> None:
    engine = FakeEngine({"known": "1", "executor": "2", "sandbox": "3"})
    state(tmp_path, "1")
    assert make_stack(engine).mend(report) == ["removed container executor, container sandbox"]
    assert engine.removed == ["2", "3"]


def test_what_never_got_healthy_is_removed_and_what_it_was_to_replace_stays(
    make_stack: MakeStack, report: Report, tmp_path: Path
) -> None:
    engine = FakeEngine({"old": "1", "new": "2"})
    container = {"type": "docker:index/container:Container"}
    failed = {**container, "id": "2", "outputs": {"name": "new"}, "initErrors": ["not healthy"]}
    resources = [failed, {**container, "id": "1", "delete": True}]
    (tmp_path / "export.json").write_text(json.dumps({"deployment": {**EMPTY["deployment"], "resources": resources}}))
    assert make_stack(engine).mend(report) == ["removed what never got healthy: new"]
    assert engine.removed == ["2"]
    assert any(call.startswith("refresh") for call in calls(tmp_path))


@pytest.mark.parametrize(
    ("answer", "drifted"),
    [("true", False), ("echo error: no changes were expected but changes were proposed; exit 1", True)],
)
def test_drift_is_a_difference_and_not_a_failure(
    make_stack: MakeStack, report: Report, answer: str, drifted: bool
) -> None:
    assert make_stack(otherwise=answer).has_drifted(report) is drifted


def test_destroying_a_stack_that_was_never_created_does_nothing(
    make_stack: MakeStack, report: Report, tmp_path: Path
) -> None:
    make_stack().destroy(report)
    assert calls(tmp_path) == []


def test_a_new_stack_can_be_created_after_forgetting(make_stack: MakeStack, report: Report) -> None:
    stack = make_stack()
    stack.configure(IMAGES, report)
    forget(stack.home, stack.name)
    assert not stack.passphrase_file.exists()
    stack.configure(IMAGES, report)
