"""Programs that no distribution packages, compiled from Go modules: for images, where no container registry answers,
and for this machine itself: actionlint, an S3 server, a Vault, go-judge, a Kubernetes and cert-manager, for tests and
measurements.

Each folder is a Go module that locks one program and its dependencies. After a change of a `go.mod`: remove its
`go.sum`, then run `go list -mod=mod -deps` on the build's packages, with its tags.
"""

from dataclasses import replace
from pathlib import Path

from offline import gomodules
from offline.gomodules import GoBuild, ModuleFile

_FOLDER = Path(__file__).resolve().parent
_TAGS = ("osusergo", "grpcnotrace")


def _command(name: str, module: str, duration: str, tags: tuple[str, ...] = ("osusergo",)) -> GoBuild:
    """The command of a module that has the module's name."""
    title = f"{name} {gomodules.required(_FOLDER / name, module)}"
    return GoBuild(_FOLDER / name, title, duration, (f"{module}/cmd/{name}",), tags)


ACTIONLINT = _command("actionlint", "github.com/rhysd/actionlint", "seconds")
"""A linter of GitHub's workflows."""
S3_SERVER = _command("gofakes3", "github.com/johannesboyne/gofakes3", "seconds")
"""An S3 server, for tests."""
GO_JUDGE = _command("go-judge", "github.com/criyle/go-judge", "1-5 minutes", _TAGS)
"""A server that runs code, which `make bench` compares the platform with."""
_KUBERNETES_VERSION = gomodules.required(_FOLDER / "kubernetes", "k8s.io/kubernetes")
_CNI_VERSION = gomodules.required(_FOLDER / "cni", "github.com/containernetworking/plugins")
KUBERNETES = GoBuild(
    source=_FOLDER / "kubernetes",
    title=f"Kubernetes {_KUBERNETES_VERSION}",
    duration="7-15 minutes",
    packages=("./cmd/kube", "./cmd/coredns", "./cmd/pause"),
    tags=_TAGS,
    variables=tuple(
        f"k8s.io/component-base/version.{name}={value}"
        for name, value in (
            ("gitVersion", f"v{_KUBERNETES_VERSION}"),
            ("gitMajor", _KUBERNETES_VERSION.split(".")[0]),
            ("gitMinor", _KUBERNETES_VERSION.split(".")[1]),
        )
    ),
)
"""A node with its control plane: one executable for all programs of Kubernetes and for etcd, CoreDNS, and pause."""
CNI = GoBuild(
    source=_FOLDER / "cni",
    title=f"the CNI plugins {_CNI_VERSION}",
    duration="seconds",
    packages=tuple(
        f"github.com/containernetworking/plugins/plugins/{name}"
        for name in ("main/bridge", "main/loopback", "ipam/host-local")
    ),
    tags=("osusergo",),
)
"""The network of a node's pods."""
VAULT = GoBuild(
    source=_FOLDER / "vault",
    title=f"Vault {gomodules.required(_FOLDER / 'vault', 'github.com/hashicorp/vault')}",
    duration="5-8 minutes",
    packages=("github.com/hashicorp/vault",),
    # Without cloud storage, cloud logins and databases' secrets.
    tags=("osusergo", "minimal"),
)
"""A server of secrets that speaks OpenBao's API, for tests."""
NETPOL = GoBuild(
    source=_FOLDER / "netpol",
    title=f"kube-network-policies {gomodules.required(_FOLDER / 'netpol', 'sigs.k8s.io/kube-network-policies')}",
    duration="1-3 minutes",
    packages=(".",),
    tags=_TAGS,
)
"""Enforces NetworkPolicies on a node. Its dependencies have the versions of `KUBERNETES`, so that both compile once."""
_CERT_MANAGER, _GATEWAY_API = "github.com/cert-manager/cert-manager", "sigs.k8s.io/gateway-api"
CERT_MANAGER = GoBuild(
    source=_FOLDER / "cert-manager",
    title=f"cert-manager {gomodules.required(_FOLDER / 'cert-manager', _CERT_MANAGER)}",
    duration="1-3 minutes",
    packages=(".",),
    tags=_TAGS,
    files=(
        *(
            ModuleFile(_CERT_MANAGER, f"deploy/crds/cert-manager.io_{kind}.yaml")
            for kind in ("certificaterequests", "certificates", "clusterissuers", "issuers")
        ),
        *(
            ModuleFile(_GATEWAY_API, f"config/crd/standard/gateway.networking.k8s.io_{kind}.yaml")
            for kind in (
                *("gatewayclasses", "gateways", "httproutes", "referencegrants"),
                *("backendtlspolicies", "grpcroutes", "tlsroutes"),  # Traefik watches these too
            )
        ),
    ),
)
"""Issues the certificates of a cluster, with the definitions of its objects and of the Gateway API's, for tests."""


def program(image: str, architecture: str) -> GoBuild | None:
    """What an image needs compiled, for Docker's architecture (amd64, arm64); None when it needs nothing."""
    return replace(_OF_IMAGES[image], container=architecture) if image in _OF_IMAGES else None


def _jaeger() -> str:
    """The version of Jaeger 2 that is locked. Its module counts on from Jaeger 1: 1.63.0 is 2.0.0."""
    major, minor, patch = map(int, gomodules.required(_FOLDER / "jaeger", "github.com/jaegertracing/jaeger").split("."))
    return f"{major + 1}.{minor - 63}.{patch}"


def _of_image(name: str, title: str, duration: str, package: str, *variables: str) -> GoBuild:
    return GoBuild(_FOLDER / name, title, duration, (package,), _TAGS, variables)


_LOKI, _LOKI_VERSION = "github.com/grafana/loki/v3", gomodules.required(_FOLDER / "loki", "github.com/grafana/loki/v3")
_ADAPTER, _ADAPTER_VERSION = (
    "sigs.k8s.io/prometheus-adapter",
    gomodules.required(_FOLDER / "prometheus-adapter", "sigs.k8s.io/prometheus-adapter"),
)
_COLLECTOR_VERSION = gomodules.required(_FOLDER / "collector", "go.opentelemetry.io/collector/otelcol")
_OF_IMAGES = {
    "loki": _of_image(
        "loki",
        f"Loki {_LOKI_VERSION}",
        "8-12 minutes",
        f"{_LOKI}/cmd/loki",
        f"{_LOKI}/pkg/util/build.Version={_LOKI_VERSION}",
    ),
    "jaeger": _of_image(
        "jaeger",
        f"Jaeger {_jaeger()}",
        "3-5 minutes",
        "github.com/jaegertracing/jaeger/cmd/jaeger",
        f"github.com/jaegertracing/jaeger/internal/version.latestVersion=v{_jaeger()}",
    ),
    "collector": _of_image(
        "collector",
        f"the OpenTelemetry Collector {_COLLECTOR_VERSION}",
        "2-4 minutes",
        "./cmd/otelcol-contrib",
    ),
    "prometheus-adapter": _of_image(
        "prometheus-adapter",
        f"prometheus-adapter {_ADAPTER_VERSION}",
        "3-5 minutes",
        f"{_ADAPTER}/cmd/adapter",
    ),
}
