"""Pebble, Let's Encrypt's own small authority for tests: it issues certificates to whoever proves a name, in memory."""

import contextlib
import json
import os
import shutil
import ssl
import subprocess
import time
from pathlib import Path

import httpx

from tools.console.steps import Report
from tools.machine import debian

_SECONDS_TO_START = 20


def ensure(report: Report) -> str:
    """The program, installed from Debian where that is ours to do."""
    if not shutil.which("pebble"):
        assert debian.may_install(), "the tests of certificates need `pebble` on PATH"
        debian.install(["pebble"], report)
    found = shutil.which("pebble")
    assert found
    return found


class Pebble:
    """One authority at an address, which checks names with one DNS server. `close` ends it.

    It begins in the network namespace of the thread that makes it, and takes `port` and the one a thousand above it.
    `certificate` is what its own HTTPS is checked against, in PEM.
    """

    def __init__(self, program: str, address: str, name_server: str, folder: Path, port: int = 14000) -> None:
        self._folder = folder
        self.url = f"https://{address}:{port}/dir"
        self._management = f"https://{address}:{port + 1000}"
        key, certificate = folder / "pebble-key.pem", folder / "pebble.pem"
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
                *("-days", "2", "-subj", "/CN=pebble", "-addext", f"subjectAltName=IP:{address}"),
                *("-keyout", str(key), "-out", str(certificate)),
            ],
            check=True,
            capture_output=True,
        )
        self.certificate = certificate.read_text()
        config = {
            "listenAddress": f"{address}:{port}",
            "managementListenAddress": f"{address}:{port + 1000}",
            "certificate": str(certificate),
            "privateKey": str(key),
            "httpPort": 80,
            "tlsPort": 443,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": False,
        }
        (folder / "pebble.json").write_text(json.dumps({"pebble": config}))
        with (folder / "pebble.log").open("w") as log:
            self._process = subprocess.Popen(
                [program, "-config", str(folder / "pebble.json"), "-dnsserver", name_server],
                # Without these it waits up to 15 s before it looks, and refuses one nonce in twenty, to test clients.
                env={**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"},
                stdout=log,
                stderr=log,
            )

    @property
    def log(self) -> str:
        return (self._folder / "pebble.log").read_text()

    def root(self) -> str:
        """The root of the certificates that it issues, in PEM. It waits until Pebble answers."""
        trust = ssl.create_default_context(cadata=self.certificate)
        deadline = time.monotonic() + _SECONDS_TO_START
        while True:
            with contextlib.suppress(httpx.TransportError):
                answer = httpx.get(f"{self._management}/roots/0", verify=trust, trust_env=False)
                return answer.raise_for_status().text
            assert time.monotonic() < deadline, self.log
            time.sleep(0.1)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)
