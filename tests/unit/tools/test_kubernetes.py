"""The Kubernetes of `make cluster`: the user's own is found, and ours is described as a node can start it."""

import io
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from offline.kubernetes import archive, certificates, configuration, layout, objects
from offline.kubernetes.layout import Node
from tests.unit.tools.conftest import Program
from tools.console.steps import Report, StepFailed
from tools.machine import kubernetes
from tools.machine.docker_engine import DockerEngine


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)


def test_without_a_kubeconfig_there_is_no_cluster_of_the_users() -> None:
    assert kubernetes.of_user() is None


@pytest.mark.parametrize("content", ["", "[]", "contexts: []\n"])
def test_a_kubeconfig_without_a_current_context_points_at_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    (tmp_path / "config").write_text(content)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    assert kubernetes.of_user() is None


def test_the_first_kubeconfig_with_a_current_context_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one").write_text("clusters: []\n")
    (tmp_path / "two").write_text("current-context: kind-trial\n")
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join(map(str, (tmp_path / "none", tmp_path / "one", tmp_path / "two"))))
    found = kubernetes.of_user()
    assert found
    assert found.settings() == {"kubeconfig": str(tmp_path / "two"), "context": "kind-trial"}


def test_a_kubeconfig_that_is_not_yaml_is_named(tmp_path: Path) -> None:
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube/config").write_text("{")
    with pytest.raises(StepFailed, match=r"\.kube/config can't be read"):
        kubernetes.of_user()


@pytest.mark.parametrize(
    ("context", "called"),
    [
        ("kind-trial", "kind load docker-image vps/app:1 --name trial"),
        ("k3d-trial", "k3d image import vps/app:1 --cluster trial"),
        ("minikube", "minikube image load vps/app:1"),
    ],
)
def test_a_cluster_on_this_machine_takes_images_from_docker(
    program: Program, report: Report, monkeypatch: pytest.MonkeyPatch, context: str, called: str
) -> None:
    program_name, _, arguments = called.partition(" ")
    loader = program(program_name, 'echo "$@" > "$0.calls"')
    monkeypatch.setenv("PATH", f"{loader.parent}{os.pathsep}{os.environ['PATH']}")
    found = kubernetes.Kubernetes("config", context)
    assert found.takes_images()
    assert found.load(DockerEngine("unix:///nowhere"), ["vps/app:1"], report) == ["vps/app:1"]
    assert loader.with_name(f"{program_name}.calls").read_text().strip() == arguments


def test_other_clusters_pull_their_images() -> None:
    assert not kubernetes.Kubernetes("config", "gke_project_zone_name").takes_images()


def test_an_image_of_a_program_is_what_docker_save_would_write(tmp_path: Path) -> None:
    program = tmp_path / "pause"
    program.write_bytes(b"\x7fELF")
    with tarfile.open(fileobj=io.BytesIO(archive.of_program(program, "vps/pause:1", "arm64"))) as saved:
        files = {name: saved.extractfile(name) for name in saved.getnames()}
        content = {name: file.read() for name, file in files.items() if file}
    (manifest,) = json.loads(content["manifest.json"])
    assert manifest["RepoTags"] == ["vps/pause:1"]
    config = json.loads(content[manifest["Config"]])
    assert (config["architecture"], config["config"]["Entrypoint"]) == ("arm64", ["/pause"])
    with tarfile.open(fileobj=io.BytesIO(content["layer.tar"])) as layer:
        assert layer.getmember("pause").mode == 0o755


def test_every_client_has_a_kubeconfig_and_a_certificate_of_the_authority(tmp_path: Path) -> None:
    folder = tmp_path / "certificates"
    certificates.make(folder, [Node(1, tmp_path), Node(2, tmp_path)])
    issued = [it for it in folder.glob("*.crt") if it.stem not in ("ca", "front-proxy-ca", "service-accounts")]
    assert {it.stem for it in issued} >= {"admin", "kube-apiserver", "kube-scheduler", "node-1", "node-2"}
    for certificate in issued:
        authority = folder / ("front-proxy-ca.crt" if certificate.stem == "front-proxy-client" else "ca.crt")
        subprocess.run(["openssl", "verify", "-CAfile", authority, certificate], check=True, capture_output=True)
    assert f'server: "https://10.98.0.11:{layout.API_PORT}"' in certificates.kubeconfig(folder, "node-2").read_text()


def test_only_the_first_node_runs_the_control_plane(tmp_path: Path) -> None:
    of_each = {"containerd", "kubelet", "kube-proxy", "netpol"}
    assert set(configuration.commands(Node(2, tmp_path))) == of_each
    leader = set(configuration.commands(Node(1, tmp_path)))
    assert leader == of_each | {"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"}


def test_nobody_is_anonymous_and_the_kubelet_asks_who_may(tmp_path: Path) -> None:
    node = Node(1, tmp_path)
    configuration.write(node)
    kubelet = json.loads((node.etc / "kubelet.json").read_text())
    assert kubelet["authentication"]["anonymous"] == {"enabled": False}
    assert kubelet["authorization"] == {"mode": "Webhook"}
    api_server = configuration.commands(node)["kube-apiserver"]
    assert {"--anonymous-auth=false", "--authorization-mode=Node,RBAC"} <= set(api_server)


def test_each_node_offers_volumes_of_the_default_class(tmp_path: Path) -> None:
    made = objects.manifests([Node(1, tmp_path), Node(2, tmp_path)])
    volumes = [it for it in made if it["kind"] == "PersistentVolume"]
    assert len(volumes) == 2 * layout.VOLUMES
    assert {it["spec"]["storageClassName"] for it in volumes} == {
        next(it for it in made if it["kind"] == "StorageClass")["metadata"]["name"]
    }
