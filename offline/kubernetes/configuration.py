"""The commands that a node starts, and the files that they read."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from offline.kubernetes import certificates, layout
from offline.kubernetes.layout import Node

CONTAINERD = "/run/containerd/containerd.sock"
_ETCD = "http://127.0.0.1:2379"
# Nothing is evicted and no image is removed because this machine's disk is almost full: its owner sees to that.
_EVICTION = {
    "memory.available": "100Mi",
    **dict.fromkeys(("nodefs.available", "nodefs.inodesFree", "imagefs.available"), "1%"),
}
_PROCESSES = 16_384
"""Processes of one pod. An executor's is all of its sandboxes together."""
_CONTAINERD = """version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", \
"io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.internal.v1.opt"]
[grpc]
address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "docker.io/{pause}"
# A process without CAP_SYS_RESOURCE can't lower what it has inherited.
restrict_oom_score_adj = true
enable_unprivileged_ports = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{cni}"
conf_dir = "{etc}/net.d"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
"""


def write(node: Node) -> None:
    """Write the node's configuration files."""
    (node.etc / "net.d").mkdir(parents=True, exist_ok=True)
    containerd = _CONTAINERD.format(
        socket=CONTAINERD, pause=layout.PAUSE_IMAGE, cni=layout.cni(node.state), etc=node.etc
    )
    (node.etc / "containerd.toml").write_text(containerd)
    for name, content in {
        "net.d/10-pods.conflist": _network(node),
        "kubelet.json": _kubelet(node),
        "kube-proxy.json": _proxy(node),
    }.items():
        (node.etc / name).write_text(json.dumps(content, indent=2))


def commands(node: Node) -> Mapping[str, Sequence[str]]:
    """The node's programs by name."""
    of_each = {"containerd": ["containerd", f"--config={node.etc}/containerd.toml"], **_worker(node)}
    return {**_control_plane(node), **of_each} if node.leads else of_each


def _control_plane(node: Node) -> Mapping[str, Sequence[str]]:
    folder = layout.certificates(node.state)
    authority = folder / f"{certificates.AUTHORITY}.crt"
    own = [f"--tls-cert-file={folder}/kube-apiserver.crt", f"--tls-private-key-file={folder}/kube-apiserver.key"]
    return {
        "etcd": [
            layout.program(node.state, "etcd"),
            "--data-dir=/var/lib/etcd",
            f"--listen-client-urls={_ETCD}",
            f"--advertise-client-urls={_ETCD}",
            "--listen-peer-urls=http://127.0.0.1:2380",
            # The cluster is made anew after a power cut.
            "--unsafe-no-fsync",
            "--log-level=warn",
        ],
        "kube-apiserver": [
            layout.program(node.state, "kube-apiserver"),
            f"--advertise-address={node.address}",
            f"--secure-port={layout.API_PORT}",
            f"--etcd-servers={_ETCD}",
            f"--service-cluster-ip-range={layout.SERVICES}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--kubelet-preferred-address-types=InternalIP",
            "--anonymous-auth=false",
            # As on most clusters: what runs here must be refused by rules of its own.
            "--allow-privileged",
            *own,
            f"--client-ca-file={authority}",
            f"--kubelet-certificate-authority={authority}",
            f"--kubelet-client-certificate={folder}/apiserver-kubelet-client.crt",
            f"--kubelet-client-key={folder}/apiserver-kubelet-client.key",
            f"--service-account-issuer=https://kubernetes.default.svc.{layout.DOMAIN}",
            f"--service-account-key-file={folder}/service-accounts.crt",
            f"--service-account-signing-key-file={folder}/service-accounts.key",
            f"--requestheader-client-ca-file={folder}/{certificates.FRONT_AUTHORITY}.crt",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={folder}/front-proxy-client.crt",
            f"--proxy-client-key-file={folder}/front-proxy-client.key",
        ],
        "kube-controller-manager": [
            layout.program(node.state, "kube-controller-manager"),
            f"--kubeconfig={certificates.kubeconfig(folder, 'kube-controller-manager')}",
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
            "--use-service-account-credentials",
            f"--root-ca-file={authority}",
            f"--service-account-private-key-file={folder}/service-accounts.key",
        ],
        "kube-scheduler": [
            layout.program(node.state, "kube-scheduler"),
            f"--kubeconfig={certificates.kubeconfig(folder, 'kube-scheduler')}",
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
        ],
    }


def _worker(node: Node) -> Mapping[str, Sequence[str]]:
    return {
        "kubelet": [
            layout.program(node.state, "kubelet"),
            f"--config={node.etc}/kubelet.json",
            f"--kubeconfig={certificates.kubeconfig(layout.certificates(node.state), node.name)}",
            f"--hostname-override={node.name}",
            f"--node-ip={node.address}",
        ],
        "kube-proxy": [layout.program(node.state, "kube-proxy"), f"--config={node.etc}/kube-proxy.json"],
        "netpol": [
            layout.program(node.state, "netpol"),
            f"--kubeconfig={certificates.kubeconfig(layout.certificates(node.state), 'netpol')}",
            f"--node={node.name}",
        ],
    }


def _kubelet(node: Node) -> Mapping[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(layout.certificates(node.state) / f"{certificates.AUTHORITY}.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": node.cgroup,
        "failCgroupV1": False,
        "clusterDNS": [layout.DNS_SERVICE],
        "clusterDomain": layout.DOMAIN,
        "containerRuntimeEndpoint": f"unix://{CONTAINERD}",
        "evictionHard": _EVICTION,
        "failSwapOn": False,
        "imageGCHighThresholdPercent": 100,
        "podPidsLimit": _PROCESSES,
        "resolvConf": "",
        "tlsCertFile": str(layout.certificates(node.state) / f"{node.name}.crt"),
        "tlsPrivateKeyFile": str(layout.certificates(node.state) / f"{node.name}.key"),
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
    }


def _proxy(node: Node) -> Mapping[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(certificates.kubeconfig(layout.certificates(node.state), "kube-proxy"))},
        "clusterCIDR": layout.PODS,
        "hostnameOverride": node.name,
        "mode": "nftables",
        # The kernel keeps these for the host's namespace of networks, too.
        "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }


def _network(node: Node) -> Mapping[str, Any]:
    return {
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {
                "type": "bridge",
                "bridge": layout.PODS_BRIDGE,
                "isGateway": True,
                "hairpinMode": True,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": node.pods}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            }
        ],
    }
