"""A cert-manager, as a cluster may have one: its own controllers, as a process of this machine."""

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Template

from offline import programs
from offline.kubernetes.cluster import Cluster
from tools.build.images import compiled
from tools.console.steps import Report

ISSUER = "trial"
CERTIFICATE = "traefik-certificate"
"""The edge's, and the Secret that holds it."""
_AUTHORITY = Template("""
apiVersion: v1
kind: Namespace
metadata: {name: cert-manager}
---
apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: {name: $issuer}
spec: {ca: {secretName: authority}}
""")


@dataclass(frozen=True)
class Definitions:
    """What a cluster learns its objects from, and the program that issues certificates."""

    folder: Path

    def teach(self, cluster: Cluster, group: str) -> None:
        """Have a cluster know the objects of a group."""
        files = [f"--filename={it}" for it in sorted(self.folder.glob(f"{group}_*.yaml"))]
        cluster.kubectl("apply", "--server-side", *files)
        cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", *files)

    @contextlib.contextmanager
    def issuing(self, cluster: Cluster, folder: Path) -> Iterator[Path]:
        """A cert-manager, and the certificate of the authority with which its issuer signs. `folder` is empty."""
        self.teach(cluster, "cert-manager.io")
        key, certificate = folder / "tls.key", folder / "tls.crt"
        request = ("openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
        made = ("-subj", "/CN=trial", "-addext", "keyUsage=critical,keyCertSign", "-keyout", key, "-out", certificate)
        subprocess.run([*request, *made], check=True, capture_output=True)
        cluster.kubectl("apply", "-f", "-", stdin=_AUTHORITY.substitute(issuer=ISSUER))
        secret = ("-n", "cert-manager", "create", "secret", "tls", "authority", f"--cert={certificate}", f"--key={key}")
        cluster.kubectl("apply", "-f", "-", stdin=cluster.kubectl(*secret, "--dry-run=client", "-o", "json"))
        command = [self.folder / "cert-manager", cluster.kubeconfig]
        with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as controllers:
            try:
                ready = ("wait", "--for=condition=Ready", f"clusterissuer/{ISSUER}", "--timeout=60s")
                cluster.kubectl(*ready)
                yield certificate
            finally:
                controllers.terminate()


def definitions(report: Report) -> Definitions:
    """Those of cert-manager and of the Gateway API, compiled first if this machine has never done that."""
    return Definitions(compiled().ensure(programs.CERT_MANAGER, report.log, report.say))
