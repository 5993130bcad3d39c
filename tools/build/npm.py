"""Downloads npm packages for an image on this machine with npm, from the registry that npm is set to."""

import base64
import hashlib
import json
from pathlib import Path

from tools.console.steps import Report, StepFailed
from tools.machine import debian, process
from tools.paths import cache, made_once

LOCK = "package-lock.json"
_CPUS = {"amd64": "x64", "arm64": "arm64"}


def fetch(lock: Path, architecture: str, report: Report) -> Path:
    """A folder with the packages that npm's lock file names for Docker's architecture, as npm's archives.

    Raises:
        StepFailed: npm is missing, could not download one of them, or got other bytes than the lock file says.
    """
    locked = json.loads(lock.read_text())["packages"]
    wanted = {path.removeprefix("node_modules/"): it for path, it in locked.items() if path}
    wanted = {name: it for name, it in wanted.items() if _CPUS[architecture] in it.get("cpu", _CPUS[architecture])}

    def download(folder: Path) -> None:
        debian.ensure({"npm": "npm"}, report)
        for name, it in wanted.items():
            _download(f"{name}@{it['version']}", it["integrity"], folder, report)

    return made_once(cache() / "npm" / hashlib.sha256(f"{architecture} {wanted}".encode()).hexdigest()[:16], download)


def _download(package: str, integrity: str, folder: Path, report: Report) -> None:
    report.say(f"fetching {package}")
    fix = "Fix what npm reports (most often the network, or its setting `registry`), then run this again."
    with process.explained(f"npm could not download {package}.", fix, report):
        name = process.capture(["npm", "pack", "--pack-destination", str(folder), package], report).strip()
    digest = hashlib.sha512((folder / name).read_bytes()).digest()
    if integrity != f"sha512-{base64.b64encode(digest).decode()}":
        raise StepFailed(
            f"{package} from npm's registry is not what {LOCK} has locked.",
            "It was not kept. If it happens again, something changes downloads on their way: use another network.",
            report.log,
        )
