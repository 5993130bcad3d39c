"""Downloads npm packages for an image on this machine, so that the build needs neither npm nor a registry."""

import base64
import hashlib
import json
import os
import urllib.request
from pathlib import Path

from tools.console.steps import Report, StepFailed
from tools.paths import cache

LOCK = "package-lock.json"
REGISTRY = "npm_config_registry"
"""The variable in which npm itself takes the address of another registry than its public one."""
_PUBLIC = "https://registry.npmjs.org"
_CPUS = {"amd64": "x64", "arm64": "arm64"}
_SECONDS_TO_ANSWER = 60


def fetch(lock: Path, architecture: str, report: Report) -> Path:
    """A folder with the packages that npm's lock file names for Docker's architecture, as `<name>.tgz`.

    Raises:
        StepFailed: one of them could not be downloaded, or is not what the lock file says.
    """
    locked = json.loads(lock.read_text())["packages"]
    wanted = {path.removeprefix("node_modules/"): it for path, it in locked.items() if path}
    wanted = {name: it for name, it in wanted.items() if _CPUS[architecture] in it.get("cpu", _CPUS[architecture])}
    folder = cache() / "npm" / hashlib.sha256(f"{architecture} {wanted}".encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    for name, it in wanted.items():
        if not (folder / f"{name}.tgz").exists():
            report.say(f"fetching {name} {it['version']}")
            _download(name, it["version"], it["integrity"], folder / f"{name}.tgz", report)
    return folder


def _download(name: str, version: str, integrity: str, target: Path, report: Report) -> None:
    """Write a package to `target`, which appears once it is complete and has the hash that was locked."""
    registry = os.environ.get(REGISTRY, _PUBLIC).rstrip("/")
    try:
        with urllib.request.urlopen(  # noqa: S310 - https, or what the operator has set
            f"{registry}/{name}/-/{name}-{version}.tgz", timeout=_SECONDS_TO_ANSWER
        ) as answer:
            content = answer.read()
    except OSError as error:
        raise StepFailed(
            f"{name} {version} could not be downloaded from {registry}: {error}",
            f"Fix the network, or name another npm registry in the variable {REGISTRY}, then run this again.",
            report.log,
        ) from error
    if integrity != f"sha512-{base64.b64encode(hashlib.sha512(content).digest()).decode()}":
        raise StepFailed(
            f"{name} {version} from {registry} is not what {LOCK} has locked.",
            "It was not kept. If it happens again, something changes downloads on their way: use another network.",
            report.log,
        )
    # A name of this process's own, because another may fetch the same package.
    partial = target.parent.with_suffix(f".partial-{os.getpid()}")
    partial.write_bytes(content)
    partial.rename(target)
