"""The certificates of the cluster, and the kubeconfig of whoever has one. They live as long as the cluster."""

import os
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from offline.kubernetes import layout
from offline.kubernetes.layout import Node

_DAYS = "3650"
_LEADER = Node(1, Path())
AUTHORITY = "ca"
FRONT_AUTHORITY = "front-proxy-ca"
"""Signs the certificate by which the API server proves to servers of further APIs who asks."""
ADMIN = "admin"
_CLIENTS = {
    ADMIN: "/O=system:masters/CN=admin",
    "apiserver-kubelet-client": "/O=system:masters/CN=apiserver-kubelet-client",
    "kube-controller-manager": "/CN=system:kube-controller-manager",
    "kube-scheduler": "/CN=system:kube-scheduler",
    "kube-proxy": "/CN=system:kube-proxy",
    "netpol": "/CN=netpol",
}
_KUBECONFIG = """apiVersion: v1
kind: Config
clusters:
- name: vps
  cluster: {{server: "{server}", certificate-authority: {folder}/ca.crt}}
users:
- name: {name}
  user: {{client-certificate: {folder}/{name}.crt, client-key: {folder}/{name}.key}}
contexts:
- name: vps
  context: {{cluster: vps, user: {name}}}
current-context: vps
"""


def make(folder: Path, nodes: Sequence[Node]) -> None:
    """Write a key, a certificate and, for clients, a kubeconfig of each part into `folder`.

    Raises:
        subprocess.CalledProcessError: openssl failed.
    """
    folder.mkdir(parents=True, mode=0o700)
    for authority in (AUTHORITY, FRONT_AUTHORITY):
        _make(folder, authority, f"/CN={authority}", "basicConstraints=critical,CA:TRUE")
    names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{layout.DOMAIN}"]
    addresses = [layout.API_SERVICE, _LEADER.address, "127.0.0.1"]
    _sign(folder, "kube-apiserver", "/CN=kube-apiserver", [*_names(names), *_addresses(addresses)])
    _sign(folder, "front-proxy-client", "/CN=front-proxy-client", authority=FRONT_AUTHORITY)
    # Service accounts' tokens are signed with it.
    _make(folder, "service-accounts", "/CN=service-accounts")
    for name, subject in _CLIENTS.items():
        _sign(folder, name, subject)
        _kubeconfig(folder, name)
    for node in nodes:
        _sign(
            folder,
            node.name,
            f"/O=system:nodes/CN=system:node:{node.name}",
            [*_names([node.name]), *_addresses([node.address])],
        )
        _kubeconfig(folder, node.name)


def kubeconfig(folder: Path, name: str) -> Path:
    """The kubeconfig of a client."""
    return folder / f"{name}.kubeconfig"


def _kubeconfig(folder: Path, name: str) -> None:
    text = _KUBECONFIG.format(server=f"https://{_LEADER.address}:{layout.API_PORT}", folder=folder, name=name)
    kubeconfig(folder, name).write_text(text)


def _names(names: Iterable[str]) -> list[str]:
    return [f"DNS:{name}" for name in names]


def _addresses(addresses: Iterable[str]) -> list[str]:
    return [f"IP:{address}" for address in addresses]


def _sign(
    folder: Path,
    name: str,
    subject: str,
    alternatives: Sequence[str] = (),
    authority: str = AUTHORITY,
) -> None:
    extensions = ["basicConstraints=critical,CA:FALSE", "extendedKeyUsage=clientAuth,serverAuth"]
    if alternatives:
        extensions.append(f"subjectAltName={','.join(alternatives)}")
    signer = ["-CA", str(folder / f"{authority}.crt"), "-CAkey", str(folder / f"{authority}.key")]
    _make(folder, name, subject, *extensions, signer=signer)


def _make(folder: Path, name: str, subject: str, *extensions: str, signer: Sequence[str] = ()) -> None:
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-config",
                os.devnull,
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
            ),
            *("-days", _DAYS, "-subj", subject, *signer),
            *(part for extension in extensions for part in ("-addext", extension)),
            *("-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.crt")),
        ],
        check=True,
        capture_output=True,
    )
