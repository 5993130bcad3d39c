"""Pebble, Let's Encrypt's ACME server for tests."""

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
    """The path of the program, which is installed from Debian where this machine allows it."""
    if not shutil.which("pebble"):
        assert debian.may_install(), "the tests of certificates need `pebble` on PATH"
        debian.install(["pebble"], report)
    found = shutil.which("pebble")
    assert found
    return found


class Pebble:
    """One ACME server, which asks one DNS server about challenges. `close` ends it.

    It runs in the network namespace of the thread that makes it, and listens on `port` and `port` + 1000. `certificate`
    is the certificate of its own HTTPS, in PEM.
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
                # Switch off its tests of clients: a delay of up to 15 s, and the refusal of one nonce in twenty.
                env={**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"},
                stdout=log,
                stderr=log,
            )

    @property
    def log(self) -> str:
        return (self._folder / "pebble.log").read_text()

    def root(self) -> str:
        """The root of its certificates, in PEM. Waits until Pebble answers."""
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
